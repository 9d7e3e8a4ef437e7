"""`kgedit graph fetch` and `kgedit graph import`: what brings facts into a store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kgedit.cli.options import AsJson
from kgedit.cli.output import Advance, emit, line, table, working

if TYPE_CHECKING:
    from rich.console import RenderableType

    from kg_cache.wikidata import FetchReport, Wikidata

COUNTS = ("items", "triples", "dropped", "unlabelled")
"""Fields of a fetch report that add up over chunks; the others are collections."""


def fetch(
    entities: Annotated[list[str], typer.Argument(metavar="IDS...", help="Wikidata ids or exact labels.")],
    hops: Annotated[int, typer.Option(min=1, max=3, help="2 also fetches the objects found, and so on.")] = 1,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Most facts stored of one entity.")] = 500,
    store: Annotated[
        Path | None,
        typer.Option(help="SQLite store to fill; one per endpoint in the cache folder by default."),
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="SPARQL endpoint; KGEDIT_ENDPOINT or Wikidata's by default.")
    ] = None,
    contact: Annotated[
        str | None, typer.Option(help="Your mail address or page, for the operators; or KGEDIT_CONTACT.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fetches the facts of entities from Wikidata into a store, also where they are stored already."""
    with working("Asking the endpoint") as advance:
        graph = _graph(store, endpoint, contact, limit, advance)
        asked = [text if _is_id(text) else graph.resolve(text).id for text in entities]
        data = _fetch(graph, asked, hops, advance)
        data["store"] = str(graph.store.path)
        graph.store.close()
    emit(data, lambda: _fetched(data), as_json=as_json)


def import_facts(
    file: Annotated[
        Path,
        typer.Argument(exists=True, dir_okay=False, readable=True, help="N-Triples (.nt) or tabs; or .gz."),
    ],
    store: Annotated[Path, typer.Option(help="SQLite store to fill; made when there is none.")],
    language: Annotated[str, typer.Option(help="Language of the labels read from N-Triples.")] = "en",
    as_json: AsJson = False,
) -> None:
    """Imports facts and names from a file: N-Triples of Wikidata, or lines of tab-separated ids."""
    from kg_cache.errors import KnowledgeGraphError
    from kg_cache.importing import import_triples
    from kg_cache.store import Store

    new = not store.exists()
    with working(f"Importing {file.name}") as advance:
        try:
            with Store(store) as target:
                total = file.stat().st_size
                report = import_triples(
                    file, target, language=language, on_lines=lambda done: advance(f"{done} lines", 0, total)
                )
        except KnowledgeGraphError:
            if new:  # an import that brought nothing leaves no empty store behind
                for part in ("", "-wal", "-shm", ".lock"):
                    store.with_name(store.name + part).unlink(missing_ok=True)
            raise
    data = {**asdict(report), "store": str(store)}
    emit(data, lambda: [table(["imported", str(file)], list(data.items()))], as_json=as_json)


def _graph(store: Path | None, endpoint: str | None, contact: str | None, limit: int, advance: Advance) -> Wikidata:
    from kg_cache.bundled import bundled_store
    from kg_cache.settings import Settings
    from kg_cache.sparql import Endpoint
    from kg_cache.store import Store
    from kg_cache.wikidata import Wikidata

    given: dict[str, Any] = {"endpoint": endpoint, "contact": contact, "entity_limit": limit}
    settings = Settings(**{name: value for name, value in given.items() if value is not None})

    def on_wait(seconds: float, reason: str) -> None:
        advance(f"Waiting {seconds:.0f} s: {reason}", 0, 1)

    if store is None:
        return Wikidata.open(settings, on_wait=on_wait)
    names = bundled_store(settings.cache_dir)
    return Wikidata(Store(store), Endpoint(settings, on_wait=on_wait), settings=settings, names=names)


def _fetch(graph: Wikidata, ids: list[str], hops: int, advance: Advance) -> dict[str, Any]:
    """Fetches chunk by chunk, so that the bar moves; a failure keeps what came before it."""
    total: dict[str, Any] = dict.fromkeys(COUNTS, 0) | {
        "partial": {},
        "missing": [],
        "redirected": {},
        "notes": [],
    }
    for hop in range(1, hops + 1):
        ids = list(dict.fromkeys(ids))
        for start in range(0, len(ids), 50):
            advance(f"Fetching hop {hop}", start, len(ids))
            _add(total, graph.fetch(ids[start : start + 50]))
        if hop < hops:
            ids = graph.store.unfetched(triple.object for triple in graph.store.neighbours(ids).triples)
    return total


def _add(total: dict[str, Any], report: FetchReport) -> None:
    for name in COUNTS:
        total[name] += getattr(report, name)
    total["partial"].update(report.partial)
    total["missing"] += report.missing
    total["redirected"].update(report.redirected)
    total["notes"] += report.notes()


def _is_id(text: str) -> bool:
    return text.startswith("Q") and text[1:].isdigit()


def _fetched(data: dict[str, Any]) -> Iterator[RenderableType]:
    yield table(["fetched", ""], [(name, data[name]) for name in (*COUNTS, "store")])
    for note in data["notes"]:
        yield line(f"Note: {note}")
    yield line(f"Look at them: kgedit graph show ID --store {data['store']}")
