"""A journal in which a bit flipped: noticed with the row's name, or it made no difference; never another fact."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from shutil import copytree

import pytest

from ingest.cheap import batches, names, received, reopen
from kgedit.errors import FileCorrupt, KgeditError, PlanError
from kgedit.ingest.maintenance import verify
from kgedit.ingest.plan.plan import Plan
from kgedit.ingest.store.entry import State
from kgedit.ingest.store.journal import Journal
from kgedit.ingest.store.store import JOURNAL, open_store
from kgedit.ingest.store.undo import undo_own_delta

OLD = Path(__file__).parents[1] / "data" / "store-0.1.0"
FLIPS = 150


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with changes in every final state, a run, and changes that wait."""
    directory = tmp_path_factory.mktemp("whole")
    store, weights = reopen(directory)
    with store:
        store.journal.begin_run("f" * 64, {"new": 12}, [received(name) for name in names(1, 12)])
        batches(store, weights, 4)
        undo_own_delta(store, weights, next(store.entries(State.CHECKED)).id)
        store.journal.receive(received(name) for name in names(2, 3))
    return directory


def content(journal: Journal) -> list[object]:
    """All that a journal says."""
    entries = list(journal.entries())
    notes = [journal.about(name) for name in ("model", "base_hash", "weights_hash")]
    lookups = [(journal.find(entry.key), journal.of_slot(entry.slot), journal.steps(entry.id)) for entry in entries]
    waiting = list(journal.entries(State.RECEIVED))
    return [
        entries,
        notes,
        lookups,
        waiting,
        journal.in_force(),
        journal.runs(),
        journal.run("f" * 64),
        journal.counts(),
    ]


def changed(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement)
    connection.close()


def test_a_flipped_bit_anywhere_is_noticed_or_makes_no_difference(store: Path, tmp_path: Path) -> None:
    whole = (store / JOURNAL).read_bytes()
    original = Journal(store / JOURNAL, read_only=True)
    wanted, rng, noticed = content(original), random.Random(0), 0
    original.close()
    path = tmp_path / JOURNAL
    for number in range(FLIPS):
        bit = rng.randrange(8 * (100 if number < 30 else len(whole)))  # some in the header
        path.write_bytes(whole)
        with path.open("r+b") as file:
            file.seek(bit // 8)
            file.write(bytes([whole[bit // 8] ^ 1 << bit % 8]))
        for read_only in (True, False):
            try:
                journal = Journal(path, read_only=read_only)
                found = content(journal)
                journal.close()
            except KgeditError as error:
                told = str(error)
                noticed += 1
            else:
                assert found == wanted, f"bit {bit}"
                told = ""
            assert "\n" not in told
    assert noticed > FLIPS // 2


@pytest.mark.parametrize(
    ("statement", "row"),
    [
        ("UPDATE entry SET change = replace(change, 'P1', 'P2') WHERE id = 2", "change 2"),
        ("UPDATE entry SET state = 'refused' WHERE id = 14", "change 14"),
        ("DELETE FROM entry WHERE id = 15", "change 15"),
        ("UPDATE step SET reason = 'x' WHERE id = 3", r"step 3 \(of change 3\)"),
        ("DELETE FROM step WHERE id = 3", r"step 4 \(of change 4\)"),
        ("UPDATE about SET value = 'gpt2' WHERE name = 'model'", "the note 'model'"),
        ("UPDATE run SET counts = '{}'", "run 'ffffffffffffffff'"),
    ],
)
def test_a_row_that_is_not_as_written_is_named_with_the_way_back(
    store: Path, tmp_path: Path, statement: str, row: str
) -> None:
    directory = copytree(store, tmp_path / "store")
    changed(directory / JOURNAL, statement)
    for write in (False, True):
        with pytest.raises(FileCorrupt, match=f"^{row} of the journal .* is damaged; restore the store from a copy"):
            open_store(directory, write=write)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM sqlite_master WHERE name = 'entry_slot'",  # then a fact's applied change is found all the same
        "UPDATE sqlite_master SET sql = replace(sql, 'prepared', 'prepareb') WHERE name = 'entry_key'",
    ],
)
def test_another_schema_is_damage(store: Path, tmp_path: Path, statement: str) -> None:
    directory = copytree(store, tmp_path / "store")
    connection = sqlite3.connect(directory / JOURNAL)
    connection.execute("PRAGMA writable_schema = ON")
    with connection:
        connection.execute(statement)
    connection.close()
    with pytest.raises(FileCorrupt, match=r"journal\.sqlite is damaged"):
        open_store(directory)


def test_a_journal_of_the_first_version_is_read_and_sealed_by_the_first_writer(tmp_path: Path) -> None:
    directory = copytree(OLD, tmp_path / "store")

    def said(opened: Callable[[], Journal]) -> list[object]:
        journal = opened()
        try:
            return content(journal)
        finally:
            journal.close()

    before = said(lambda: Journal(directory / JOURNAL, read_only=True))
    assert before[0], "the old store has changes"
    assert said(lambda: Journal(directory / JOURNAL)) == before
    assert said(lambda: Journal(directory / JOURNAL, read_only=True)) == before
    changed(directory / JOURNAL, "UPDATE entry SET change = replace(change, 'P', 'Q') WHERE id = 1")
    with pytest.raises(FileCorrupt, match="^change 1 of the journal"):
        open_store(directory)


def test_an_upgrade_that_is_interrupted_leaves_the_old_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = copytree(OLD, tmp_path / "store")
    with monkeypatch.context() as patch:
        patch.setattr("kgedit.ingest.store.tables.entry_checksum", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            Journal(directory / JOURNAL)
    journal = Journal(directory / JOURNAL)
    assert list(journal.entries())
    journal.close()


def test_a_flipped_bit_in_a_plan_or_in_the_manifest_is_noticed(tmp_path: Path) -> None:
    directory = copytree(OLD, tmp_path / "store")
    with open_store(directory, write=True) as opened:
        (run,) = opened.journal.runs()
        path = opened.plan_file(run.fingerprint)
    Plan.load(path).save(path)  # the first version wrote no hash
    whole = path.read_bytes()
    for place in range(0, len(whole), len(whole) // 40):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises((FileCorrupt, PlanError)) as told:
            verify(directory)
        assert "\n" not in str(told.value)
    path.write_bytes(whole)
    manifest = directory / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b"mini", b"mino"))
    with pytest.raises(FileCorrupt, match=r"manifest\.json is damaged.*delete it"):
        verify(directory)
    manifest.unlink()
    with open_store(directory, write=True) as opened:
        opened.bind("mini", opened.base_hash)
    assert b"mini" in manifest.read_bytes()


def test_a_lost_first_page_is_no_empty_journal(store: Path, tmp_path: Path) -> None:
    directory = copytree(store, tmp_path / "store")
    (directory / JOURNAL).write_bytes(b"")
    with pytest.raises(KgeditError, match="without its"):
        open_store(directory, write=True)
