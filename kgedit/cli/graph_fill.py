"""`kgedit graph fetch` and `kgedit graph import`: fill a graph file from Wikidata or from triples in a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kgedit.cli.options import AsJson, graph_file
from kgedit.cli.output import emit, line, table
from kgedit.cli.progress import working

if TYPE_CHECKING:
    from rich.console import RenderableType

    from kg_cache.store import Store
    from kg_cache.wikidata import FetchReport, Wikidata
    from kgedit.progress import Progress

COUNTS = ("items", "triples", "dropped", "unlabelled")
"""Fields of a fetch report that are summed over chunks; the other fields are collections."""


def fetch(
    entities: Annotated[list[str], typer.Argument(metavar="IDS...", help="Wikidata ids or exact labels.")],
    hops: Annotated[
        int, typer.Option(min=1, max=3, help="2 also fetches the facts of the objects found, and so on.")
    ] = 1,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The most facts stored of one entity.")] = 500,
    graph: Annotated[
        Path | None,
        typer.Option(
            "--graph",
            callback=graph_file,
            help="SQLite file to fill, made if it is absent; by default one per endpoint in the cache folder.",
        ),
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="SPARQL endpoint; by default KGEDIT_ENDPOINT, else that of Wikidata.")
    ] = None,
    contact: Annotated[
        str | None,
        typer.Option(
            help="Mail address or page that the endpoint's operators can reach you at; by default KGEDIT_CONTACT."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fetches the facts of entities from Wikidata into a graph file.

    Entities that are stored already are fetched again.
    """
    from kg_cache.ids import as_id_in_any_case, is_entity_id

    with working("Asking the endpoint") as advance:
        wikidata = _wikidata(graph, endpoint, contact, limit, advance)
        spelled = {text: as_id_in_any_case(text) for text in entities}
        ids = [id if is_entity_id(id) else wikidata.resolve(text).id for text, id in spelled.items()]
        data = _fetch(wikidata, ids, hops, advance)
        data["graph"] = str(wikidata.store.path)
        wikidata.store.close()
    emit(data, lambda: _fetched(data), as_json=as_json)


def import_facts(
    file: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            readable=True,
            help="N-Triples (.nt), Turtle (.ttl), JSON dump (.json) or table of ids; also packed (.gz, .bz2, .xz).",
        ),
    ],
    graph: Annotated[
        Path, typer.Option("--graph", callback=graph_file, help="SQLite file to fill; made if it is absent.")
    ],
    language: Annotated[str, typer.Option(help="Language of the labels read from N-Triples, Turtle or JSON.")] = "en",
    properties: Annotated[
        list[str] | None,
        typer.Option("--property", help="Only facts of this property, e.g. P36; can be given several times."),
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option("--class", help="Only facts of instances of this item, e.g. Q6256; can be given several times."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Imports facts and labels from a file into a graph file.

    The file holds N-Triples or Turtle of Wikidata, its JSON dump, or lines of tab-separated ids. An import that was
    stopped goes on where it was when the same command is given again.
    """
    from kg_cache.importing import import_triples

    with working(f"Importing {file.name}") as advance, _filled(graph) as target:

        def on_bytes(done: int, total: int) -> None:
            advance(f"Importing {file.name}, kB", done // 1000, max(total // 1000, 1))

        report = import_triples(
            file, target, language=language, properties=properties or (), classes=classes or (), on_bytes=on_bytes
        )
    data = {**asdict(report), "graph": str(graph)}
    emit(data, lambda: [table(["imported", str(file)], list(data.items()))], as_json=as_json)


@contextmanager
def _filled(graph: Path) -> Iterator[Store]:
    """A graph file to be filled; one that is made for that, and was brought nothing, is gone after a failure."""
    from kg_cache.errors import KnowledgeGraphError
    from kg_cache.store import Store

    empty = not graph.exists()
    try:
        with Store(graph) as target:
            try:
                yield target
            finally:
                empty = empty and not target.provenance()["sources"]
    except KnowledgeGraphError:
        if empty:
            for part in ("", "-wal", "-shm", ".lock", ".sha256"):
                graph.with_name(graph.name + part).unlink(missing_ok=True)
        raise


def _wikidata(
    graph: Path | None, endpoint: str | None, contact: str | None, limit: int, progress: Progress
) -> Wikidata:
    from kg_cache.bundled import bundled_store
    from kg_cache.settings import Settings
    from kg_cache.sparql import Endpoint
    from kg_cache.store import Store
    from kg_cache.wikidata import Wikidata

    given: dict[str, Any] = {"endpoint": endpoint, "contact": contact, "entity_limit": limit}
    settings = Settings(**{name: value for name, value in given.items() if value is not None})

    def on_wait(seconds: float, reason: str) -> None:
        progress(f"Waiting {seconds:.0f} s: {reason}", 0, 1)

    if graph is None:
        return Wikidata.open(settings, on_wait=on_wait)
    names = bundled_store(settings.cache_dir)
    return Wikidata(Store(graph), Endpoint(settings, on_wait=on_wait), settings=settings, names=names)


def _fetch(wikidata: Wikidata, ids: list[str], hops: int, advance: Progress) -> dict[str, Any]:
    """Fetches in chunks of 50; after a failure the chunks before it are kept."""
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
            _add(total, wikidata.fetch(ids[start : start + 50]))
        if hop < hops:
            ids = wikidata.store.unfetched(triple.object for triple in wikidata.store.neighbours(ids).triples)
    return total


def _add(total: dict[str, Any], report: FetchReport) -> None:
    for name in COUNTS:
        total[name] += getattr(report, name)
    total["partial"].update(report.partial)
    total["missing"] += report.missing
    total["redirected"].update(report.redirected)
    total["notes"] += report.notes()


def _fetched(data: dict[str, Any]) -> Iterator[RenderableType]:
    yield table(["fetched", ""], [(name, data[name]) for name in (*COUNTS, "graph")])
    for note in data["notes"]:
        yield line(f"Note: {note}")
    yield line(f"Look at them: kgedit graph show ID --graph {data['graph']}")
