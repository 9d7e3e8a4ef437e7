"""Queries that an endpoint is asked for many changes, while they are planned and their subgraphs are collected.

    python -m benchmarks.sparql_queries --changes 1000

The endpoint is a SPARQL engine on loopback (pyoxigraph, as in the tests) that holds the bundled slice of Wikidata; the
store is empty. The changes are made ones of different subjects (`benchmarks.many_changes`), drawn with the seed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.many_changes import made_changes
from kg_cache.bundled import bundled_store
from kg_cache.settings import Settings
from kg_cache.sparql import Endpoint
from kg_cache.store import Store
from kg_cache.wikidata import Wikidata
from kgedit.editor import Editor
from kgedit.ingest.change import Change, Provenance
from kgedit.ingest.plan.planner import make_plan
from kgedit.mini.cases import Casebook
from kgedit.resolve import Resolver


def slice_as_rdf() -> str:
    """The bundled slice as an endpoint holds it."""
    from servers import wikidata_rdf  # of the tests

    slice_ = bundled_store()
    triples = [tuple(triple) for triple in slice_.triples()]
    items = sorted({end for subject, _, obj in triples for end in (subject, obj)})
    labels = slice_.labels([*items, *sorted({relation for _, relation, _ in triples})])
    named = {id: label.replace("\n", " ") for id, label in labels.items()}
    return str(wikidata_rdf(triples, named, {item: slice_.aliases(item) for item in items}))


def kind(query: str) -> str:
    """What a query asks for."""
    return "names" if "?kind" in query else "claims" if "?property" in query else "presence"


def main() -> None:
    """Plan the changes, collect the subgraphs, print the counts as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from servers import SparqlServer

    told = Provenance(feed="made", position="drawn", seen=datetime.now(UTC))
    cases = made_changes(Casebook(), given.changes, seed=given.seed)
    changes = [Change(edit=case.edit, provenance=told) for case in cases]
    with SparqlServer(slice_as_rdf()) as server, tempfile.TemporaryDirectory() as folder:
        settings = Settings(endpoint=server.url, cache_dir=Path(folder))
        graph = Wikidata(Store(Path(folder) / "empty.sqlite"), Endpoint(settings), settings=settings)
        editor = Editor.from_pretrained("mini", method="glame", graph=graph)
        names, began = Resolver(graph, editor.text, remembered=len(changes)), time.monotonic()
        planned = sum(1 for _ in make_plan(changes, editor, names=names))
        for change in changes:
            names.subgraph(names.resolve(change.edit), editor.subgraph_options)
        counted = Counter(map(kind, server.queries))
    measured = {
        "changes": planned, "queries": sum(counted.values()), **counted, "seconds": round(time.monotonic() - began, 1)
    }  # fmt: skip
    sys.stdout.write(json.dumps(measured, indent=1) + "\n")


if __name__ == "__main__":
    main()
