"""A store that nobody may write to is listed, shown, verified, reported and exported."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from shutil import copytree

import pytest
from typer.testing import CliRunner

from kgedit.cli import app
from kgedit.errors import SaveFailed
from kgedit.ingest.store.store import JOURNAL, open_store
from read_only import read_only

OLD = Path(__file__).parent / "data" / "store-0.1.0"
KILLED = "UPDATE entry SET reason = 'told by a writer that was killed' WHERE id = 1"


@pytest.fixture(params=["version 1", "version 2"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Of the first version, whose journal has a write-ahead log, and of this one."""
    directory = copytree(OLD, tmp_path / "store")
    if request.param == "version 2":
        open_store(directory, write=True).close()
    return directory


def asked(*words: str) -> dict[str, object]:
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0, done.output
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_everything_but_a_change_is_possible(store: Path, tmp_path: Path) -> None:
    where, before = ("--store", str(store)), files(store)
    with read_only(store):
        listed = asked("journal", "list", *where)
        assert asked("journal", "show", "1", *where)["id"] == 1
        verified = asked("journal", "verify", *where)
        assert verified["weights_hash"] == listed["weights_hash"]
        page = tmp_path / "report.html"
        assert asked("ingest", "report", *where, "--out", str(page))["weights_hash"] == listed["weights_hash"]
        assert asked("export", "delta", *where, "--out", str(tmp_path / "delta"))["kind"] == "delta"
        with pytest.raises(SaveFailed, match="read-only folder"):
            open_store(store, write=True)
    assert files(store) == before
    assert page.is_file()


def test_what_a_killed_writer_left_beside_the_journal_is_taken_into_account(store: Path, tmp_path: Path) -> None:
    """Committed pages in a write-ahead log, and half a transaction to be rolled back."""
    live = sqlite3.connect(store / JOURNAL, isolation_level=None)
    ((mode,),) = live.execute("PRAGMA journal_mode").fetchall()
    live.execute("PRAGMA cache_size = 1")
    live.execute("BEGIN IMMEDIATE")
    live.execute(KILLED)
    if mode == "wal":
        live.execute("COMMIT")
    else:  # more than the cache holds, so that pages are written before the end
        live.executemany("INSERT INTO about VALUES (?, ?, '')", [(f"{i}", "x" * 3000) for i in range(50)])
    killed = copytree(store, tmp_path / "killed")
    (killed / f"{JOURNAL}-shm").unlink(missing_ok=True)
    live.close()
    before = files(killed)
    assert {f"{JOURNAL}-wal", f"{JOURNAL}-journal"} & set(before)
    with read_only(killed):
        shown = asked("journal", "show", "1", "--store", str(killed))
    assert ("killed" in str(shown["reason"])) == (mode == "wal")
    assert files(killed) == before


def test_a_reader_sees_what_a_living_writer_has_committed(tmp_path: Path) -> None:
    directory = copytree(OLD, tmp_path / "store")
    with open_store(directory, write=True) as writer:
        writer.journal.set_about({"note": "new"})
        with read_only(directory), open_store(directory) as reader:
            assert reader.journal.about("note") == "new"
