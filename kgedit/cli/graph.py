"""`kgedit graph`: shows the facts of a graph, fetches them from Wikidata, imports them, counts them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kgedit.cli.graph_fill import fetch, import_facts
from kgedit.cli.options import AsJson, Graph
from kgedit.cli.output import emit, line, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from kg_cache.graph import Neighbourhood
    from kg_cache.store import Store

app = typer.Typer(help="The local knowledge graph: show, fetch, import, count facts.")

app.command("fetch")(fetch)
app.command("import")(import_facts)

Limit = Annotated[int, typer.Option(min=1, max=10_000, help="The most facts shown of one entity.")]


@app.command()
def show(
    entity: Annotated[str, typer.Argument(help="Wikidata id, exact label or exact alias.")],
    incoming: Annotated[bool, typer.Option("--incoming", help="Also show facts whose object it is.")] = False,
    limit: Limit = 50,
    graph: Graph = None,
    as_json: AsJson = False,
) -> None:
    """Shows the stored facts of one entity."""
    with open_graph(graph) as store:
        named = store.resolve(entity)
        outgoing = _facts(store, store.neighbours([named.id], limit=limit))
        arriving = _facts(store, store.incoming([named.id], limit=limit)) if incoming else None
        data = {
            "id": named.id,
            "label": named.label,
            "aliases": list(store.aliases(named.id)),
            "also": store.labels(named.also),
            "source": store.name,
            **outgoing,
            **({"incoming": arriving} if arriving is not None else {}),
        }
    emit(data, lambda: _shown(data), as_json=as_json)


@app.command()
def stats(graph: Graph = None, as_json: AsJson = False) -> None:
    """Counts the facts of a graph and says where they come from."""
    with open_graph(graph) as store:
        data = store.provenance()
    rows = [(name, value) for name, value in data.items() if not isinstance(value, dict)]
    sources = [(name, time) for name, time in data["sources"].items()]  # type: ignore[attr-defined]
    emit(
        data,
        lambda: [table(["graph", ""], rows), table(["source", "first used"], sources)],
        as_json=as_json,
    )


def open_graph(path: Path | None) -> Store:
    """The graph in a file, to read; the bundled snapshot without one."""
    from kg_cache.bundled import bundled_store
    from kg_cache.store import Store

    return bundled_store() if path is None else Store(path, read_only=True)


def _facts(store: Store, neighbourhood: Neighbourhood) -> dict[str, Any]:
    labels = store.labels([part for triple in neighbourhood.triples for part in triple])
    facts = [
        {name: {"id": part, "label": labels[part]} for name, part in triple._asdict().items()}
        for triple in neighbourhood.triples
    ]
    return {"facts": facts, "partial": bool(neighbourhood.partial)}


def _shown(data: dict[str, Any]) -> Iterator[RenderableType]:
    names = f", also called {', '.join(data['aliases'])}" if data["aliases"] else ""
    yield line(f"{data['label']} ({data['id']}){names}")
    if data["also"]:
        others = ", ".join(f"{label} ({id})" for id, label in data["also"].items())
        yield line(f"The name could also mean {others}.")
    yield from _fact_table(data, "object")
    if "incoming" in data:
        yield from _fact_table(data["incoming"], "subject")


def _fact_table(data: dict[str, Any], end: str) -> Iterator[RenderableType]:
    rows = [
        (fact["relation"]["label"], fact["relation"]["id"], fact[end]["label"], fact[end]["id"])
        for fact in data["facts"]
    ]
    yield table(["relation", "", end, ""], rows)
    if data["partial"]:
        yield line("Some facts are left out: because of --limit, or of the limit when they were fetched.")
