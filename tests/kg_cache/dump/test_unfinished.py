"""An import that was killed goes on where it was, and ends as if nothing had happened."""

from __future__ import annotations

import bz2
import gzip
import json
import signal
import subprocess
import sys
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import pytest

from benchmarks.import_dump import statements
from kg_cache import importing
from kg_cache.dump import unfinished
from kg_cache.importing import import_triples
from kg_cache.store import Store
from servers import WD, WDT

KILLED = """
import os, sys
from kg_cache import importing
from kg_cache.dump import unfinished
from kg_cache.store import Store
importing._BATCH, left, note = 500, [3], unfinished.note

def noted(*given):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), 9)  # in the middle of a transaction
    note(*given)

unfinished.note = noted
with Store(sys.argv[2]) as store:
    importing.import_triples(sys.argv[1], store, properties=sys.argv[3:])
"""


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "_BATCH", 500)
    monkeypatch.setattr("kg_cache.dump.chunks._SIZE", 20_000)


def told(store: Store) -> tuple[object, ...]:
    rows = store.database.rows
    return (
        list(store.triples()), rows("SELECT entity, rank, text FROM name ORDER BY 1, 2"), store.relations(),
        rows("SELECT name FROM sqlite_master ORDER BY 1"),
    )  # fmt: skip


def made(folder: Path, form: str) -> Path:
    text = "".join(islice(statements(0, claims_only=False), 4000)) + "nonsense\n"
    path = folder / f"made.{form}"
    if form.startswith("ttl"):
        text = text.replace("nonsense\n", f"<{WD}Q1> <{WDT}P1> nothing:known .\n")
    if form.startswith("json"):
        facts = [{"P31": [{"mainsnak": {"snaktype": "value", "datavalue": {"type": "wikibase-entityid", "value": {
            "id": f"Q{number * 7}"}}}}]} for number in range(1, 2000)]  # fmt: skip
        text = "\n".join(json.dumps({"id": f"Q{n}", "claims": c}) for n, c in enumerate(facts, 1)) + "\nnonsense\n"
    pack = {"gz": gzip.compress, "bz2": bz2.compress}.get(form.rpartition(".")[2], bytes)
    path.write_bytes(pack(text.encode()))
    return path


@pytest.mark.parametrize("form", ["nt.gz", "json.bz2", "ttl.gz", "nt"])
def test_a_killed_process_loses_and_doubles_nothing(tmp_path: Path, form: str, monkeypatch) -> None:
    file = made(tmp_path, form)
    chosen = ["P31", "P2", "P5", "P8"] if form in ("nt", "json.bz2") else []
    with Store(tmp_path / "calm.sqlite") as calm:
        whole = import_triples(file, calm, properties=chosen)
        killed = subprocess.run([sys.executable, "-c", KILLED, file, tmp_path / "killed.sqlite", *chosen], check=False)
        assert killed.returncode == -signal.SIGKILL
        starts = []
        batches = importing._batches
        monkeypatch.setattr(importing, "_batches", lambda *given: starts.append(given[2]) or batches(*given))
        with Store(tmp_path / "killed.sqlite") as store:
            assert store.database.rows("SELECT run FROM unfinished_import")
            assert asdict(import_triples(file, store, properties=chosen)) == asdict(whole)
            assert told(store) == told(calm)
    assert starts[0].offset > 0


class Stop(Exception):
    """In the place of Ctrl-C."""


@pytest.mark.parametrize("form", ["tsv", "tsv.gz", "nt", "nt.bz2", "ttl", "ttl.gz", "json"])
def test_the_mark_of_utf8_costs_no_fact_also_where_an_import_goes_on(tmp_path: Path, form: str, monkeypatch) -> None:
    monkeypatch.setattr(importing, "_BATCH", 1)
    monkeypatch.setattr("kg_cache.dump.chunks._SIZE", 30)
    monkeypatch.setattr("kg_cache.dump.rdf._AT_ONCE", 1)
    numbers = range(1, 41)
    if form.startswith("tsv"):
        text = "".join(f"Q{number}\tP31\tQ99\n" for number in numbers)
    elif form == "json":
        value = {"type": "wikibase-entityid", "value": {"id": "Q99"}}
        claims = {"P31": [{"mainsnak": {"snaktype": "value", "datavalue": value}}]}
        text = "".join(json.dumps({"id": f"Q{number}", "claims": claims}) + "\n" for number in numbers)
    else:
        text = "".join(f"<{WD}Q{number}> <{WDT}P31> <{WD}Q99> .\n" for number in numbers)
    pack = {"gz": gzip.compress, "bz2": bz2.compress}.get(form.rpartition(".")[2], bytes)
    file = tmp_path / f"marked.{form}"
    file.write_bytes(pack(b"\xef\xbb\xbf" + text.encode()))
    left, note = [3], unfinished.note

    def noted(*given) -> None:
        note(*given)
        left[0] -= 1
        if left[0] < 0:
            raise Stop

    monkeypatch.setattr(unfinished, "note", noted)
    with Store(tmp_path / "store.sqlite") as store:
        with pytest.raises(Stop):
            import_triples(file, store)
        assert 1 <= len(list(store.triples())) < 40
        left[0] = 100
        report = import_triples(file, store)
        assert (report.triples, report.malformed, len(list(store.triples()))) == (40, 0, 40)


def test_another_file_or_choice_begins_anew(tmp_path: Path) -> None:
    file = made(tmp_path, "nt")
    with Store(tmp_path / "graph.sqlite") as store:
        subprocess.run([sys.executable, "-c", KILLED, file, store.path], check=False)
        noted = store.database.rows("SELECT work FROM unfinished_import")[0][0]
        assert unfinished.find(store.database, noted) is not None
        assert import_triples(file, store, language="de").skipped > 3000  # all of it was read
        assert unfinished.find(store.database, noted) is None


def test_what_was_read_before_a_file_breaks_off_is_kept(tmp_path: Path, store: Store) -> None:
    file = made(tmp_path, "nt.gz")
    file.write_bytes(file.read_bytes()[:-2000])
    with pytest.raises(importing.ImportFailed, match=r"facts before that are kept"):
        import_triples(file, store)
    assert next(store.triples(), None) is not None


def test_progress_comes_before_the_first_transaction_and_ends_at_the_end(tmp_path: Path, store: Store) -> None:
    file, told = made(tmp_path, "nt.gz"), []
    import_triples(file, store, properties=["P2"], on_bytes=lambda done, total: told.append((done, total)))
    size = file.stat().st_size
    assert {total for _, total in told} == {2 * size}
    assert len({done for done, _ in told}) > 2
    assert told == sorted(told)
    assert told[-1][0] == 2 * size
