"""The same questions to a second engine: Virtuoso, started on loopback with the same triples."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kg_cache.bundled import bundled_store
from kg_cache.graph import Neighbourhood
from kg_cache.settings import Settings
from kg_cache.sparql import Endpoint
from kg_cache.store import Store
from kg_cache.wikidata import FetchReport, Wikidata
from servers import WD, WDT, SparqlServer, wikidata_rdf

pytestmark = pytest.mark.skipif(
    not (shutil.which("virtuoso-t") and shutil.which("isql-vt")),
    reason="Virtuoso is not installed (apt-get install virtuoso-opensource-7 virtuoso-opensource-7-bin)",
)
GRAPH = "http://www.wikidata.org/"
ASKED = ["Q937", "Q30", "Q183", "Q3012", "Q900000001", "Q999999999"]
INI = """
[Database]
DatabaseFile = {folder}/virtuoso.db
ErrorLogFile = {folder}/virtuoso.log
LockFile = {folder}/virtuoso.lck
TransactionFile = {folder}/virtuoso.trx
xa_persistent_file = {folder}/virtuoso.pxa
[TempDatabase]
DatabaseFile = {folder}/temp.db
TransactionFile = {folder}/temp.trx
[Parameters]
ServerPort = 127.0.0.1:{sql}
DirsAllowed = {folder}
NumberOfBuffers = 10000
ServerThreads = 4
[HTTPServer]
ServerPort = 127.0.0.1:{http}
ServerThreads = 4
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def rdf() -> str:
    """A piece of the snapshot round some well-known items, with what Wikidata has beside it."""
    with bundled_store() as snapshot:
        triples = snapshot.neighbours(ASKED[:4]).triples
        ids = {id for triple in triples for id in triple}
        labels = {id: {"en": label, "fr": f"{label} (fr)"} for id, label in snapshot.labels(sorted(ids)).items()}
    return wikidata_rdf(
        triples, labels, {"Q937": ["Einstein", 'A. "E."']}, {"Q900000001": "Q937"},
        extra=f'<{WD}Q937> <{WDT}P569> "1879-03-14"^^<http://www.w3.org/2001/XMLSchema#date> .\n'
        f'<{WD}Q937> <{WDT}P2048> "+1.75"^^<http://www.w3.org/2001/XMLSchema#decimal> .\n'
        f"<{WD}Q937> <{WDT}P22> <http://www.wikidata.org/.well-known/genid/5a> .",
    )  # fmt: skip


@pytest.fixture(scope="module")
def virtuoso(rdf: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("virtuoso")
    sql, http = free_port(), free_port()
    (folder / "wd.nt").write_text(rdf)
    (folder / "virtuoso.ini").write_text(INI.format(folder=folder, sql=sql, http=http))
    command = ["virtuoso-t", "+foreground", "+configfile", str(folder / "virtuoso.ini")]
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        load = f"DB.DBA.TTLP_MT(file_to_string_output('{folder}/wd.nt'),'','{GRAPH}',0);"
        deadline = time.monotonic() + 200
        while subprocess.run(
            ["isql-vt", f"127.0.0.1:{sql}", "dba", "dba", f"exec={load}"], capture_output=True, timeout=60
        ).returncode:
            assert time.monotonic() < deadline, (folder / "virtuoso.log").read_text()
            assert server.poll() is None, (folder / "virtuoso.log").read_text()
            time.sleep(0.3)
        yield f"http://127.0.0.1:{http}/sparql"
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def answers(url: str, folder: Path, **options: object) -> tuple[FetchReport, Neighbourhood, dict[str, str], int]:
    settings = Settings(endpoint=url, cache_dir=folder, contact="tests@example.org", **options)
    endpoint = Endpoint(settings)
    with Store(folder / "facts.sqlite") as store:
        graph = Wikidata(store, endpoint, settings=settings)
        report = graph.fetch(ASKED)
        found = graph.neighbours(ASKED)
        labels = graph.labels([*ASKED, *(id for triple in found.triples for id in triple)])
    return report, found, labels, endpoint.requests


@pytest.mark.parametrize("entity_limit", [500, 5])
def test_both_engines_tell_the_same(
    rdf: str, virtuoso: str, tmp_path: Path, entity_limit: int, settings: Callable[..., Settings]
) -> None:
    with SparqlServer(rdf) as oxigraph:
        one = answers(oxigraph.url, tmp_path / "one", entity_limit=entity_limit)
    two = answers(virtuoso, tmp_path / "two", entity_limit=entity_limit, default_graph=GRAPH)
    assert one == two
    report, found, labels, _ = two
    assert report.redirected == {"Q900000001": "Q937"}
    assert report.missing == ["Q999999999"]
    assert report.dropped == (1 if entity_limit == 500 else report.dropped)
    assert ("Q937" in report.partial) == (entity_limit == 5)
    assert labels["Q937"] == "Albert Einstein"
    assert len(found.triples) > 20
