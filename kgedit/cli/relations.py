"""`kgedit relations`: the relations that an edit may name, with their other names and their first wording."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from kgedit.cli.graph import open_graph
from kgedit.cli.options import AsJson, Graph
from kgedit.cli.output import emit, line, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from kg_cache.store import Store


def relations(
    words: Annotated[
        list[str] | None, typer.Argument(help="Only relations that have all these words in id, name or wording.")
    ] = None,
    graph: Graph = None,
    as_json: AsJson = False,
) -> None:
    """Lists relations: id, names, wording.

    Each of the names is understood by `kgedit edit --relation`, in feeds and in Python. A relation without wording
    is edited with a prompt of your own beside it.
    """
    with open_graph(graph) as store:
        rows = _rows(store)
    wanted = [word.casefold() for word in words or ()]
    found = [row for row in rows if all(word in _searched(row) for word in wanted)]
    found.sort(key=lambda row: " ".join(wanted) not in map(str.casefold, (row["id"], row["label"], *row["aliases"])))
    near = [] if found else _near(" ".join(words or ()), rows)
    emit({"relations": found, "near": near}, lambda: _shown(found, near, " ".join(words or ())), as_json=as_json)


def _rows(store: Store) -> list[dict[str, Any]]:
    """What the graph, relations.toml and property_names.toml know of each property, by number."""
    from kgedit.graph.verbalize import Verbalizer

    text_of = Verbalizer.bundled()
    called, known = text_of.called, {relation.id: relation for relation in store.relations()}
    rows = []
    for id in sorted({*called, *known}, key=lambda id: int(id[1:])):
        text, relation = text_of.texts.get(id), known.get(id)
        own_label, also = called.get(id, (id, ()))
        aliases = dict.fromkeys([*(relation.aliases if relation else ()), *also])
        label = relation.label if relation and relation.label != id else own_label
        rows.append(
            {
                "id": id,
                "label": label,
                "aliases": list(aliases),
                "wording": text.cloze[0] if text else None,
                "inverse": text.inverse if text else None,
            }
        )
    return rows


def _searched(row: dict[str, Any]) -> str:
    return " ".join([row["id"], row["label"], *row["aliases"], row["wording"] or ""]).casefold()


def _near(text: str, rows: list[dict[str, Any]]) -> list[str]:
    from kg_cache.nearest import nearest

    return nearest(text, [name for row in rows for name in (row["label"], *row["aliases"])], cutoff=0.5)


def _shown(found: list[dict[str, Any]], near: list[str], text: str) -> Iterator[RenderableType]:
    if not found:
        from kg_cache.nearest import did_you_mean

        yield line(f"No relation has {text!r} in its names. {did_you_mean(near).capitalize()}".rstrip())
        return
    rows = [
        (row["id"], row["label"], ", ".join(row["aliases"]), row["wording"] or "", row["inverse"] or "")
        for row in found
    ]
    yield table(["id", "relation", "also called", "wording", "inverse"], rows, wide=2)
    if any(row["wording"] is None for row in found):
        yield line("A relation without wording is edited with --prompt beside --relation.")
