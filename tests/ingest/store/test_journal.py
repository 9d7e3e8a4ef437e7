"""The journal: every change once, states in order, everything durable or nothing, sequence before clock."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kgedit.edit import Edit
from kgedit.errors import FileCorrupt, JournalError, UnknownEdit
from kgedit.ingest.store.entry import Move, PlannedEdit, Received, State
from kgedit.ingest.store.journal import Journal
from kgedit.ingest.store.run_record import RunRecord, RunResult

RESULT = RunResult(
    feed="a.jsonl", method="rome", records=1, classes={"new": 1}, accepted=0, refused=1, superseded=0,
    accepted_right=1.0, unrelated_recalled=1.0, unrelated_asked=0, refusals=(), weights_hash="b" * 64,
)  # fmt: skip


def change(name: str, slot: str | None = None) -> Received:
    edit = Edit(subject=slot or "Q1", relation="P1", target_new=name)
    return Received(key=f"key-{name}", slot=slot or f"slot-{name}", change=PlannedEdit(edit=edit))


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.sqlite")


def walk(journal: Journal, entry: int, *states: State, place: int | None = None) -> None:
    for state in states:
        journal.move([Move(entry=entry, state=state, place=place)])


def test_a_change_is_received_once_however_often_it_is_delivered(journal: Journal) -> None:
    assert journal.receive([change("a"), change("b"), change("a")]) == 2
    assert journal.receive([change("b"), change("c")]) == 1
    assert [entry.key for entry in journal.entries()] == ["key-a", "key-b", "key-c"]
    found = journal.find("key-b")
    assert found is not None
    assert (found.id, found.state, found.edit.target_new) == (2, State.RECEIVED, "b")


def test_writes_are_flushed_to_disk_before_they_are_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []
    connect = sqlite3.connect

    def traced(*args: object, **options: object) -> sqlite3.Connection:
        connection = connect(*args, **options)  # type: ignore[call-overload]
        connection.set_trace_callback(statements.append)
        return connection

    monkeypatch.setattr(sqlite3, "connect", traced)
    Journal(tmp_path / "journal.sqlite").receive([change("a")])
    settings = [statements.index(f"PRAGMA {name}") for name in ("journal_mode = DELETE", "synchronous = FULL")]
    (written,) = [number for number, text in enumerate(statements) if text.startswith("INSERT INTO entry")]
    assert max(settings) < written


def test_states_follow_each_other_and_no_other_way(journal: Journal) -> None:
    journal.receive([change("a"), change("b")])
    for wrong in (State.APPLIED, State.CHECKED, State.UNDONE):
        with pytest.raises(JournalError, match="change 1 is received and cannot become"):
            walk(journal, 1, wrong)
    walk(journal, 1, State.PREPARED, State.APPLIED, State.CHECKED, State.UNDONE)
    with pytest.raises(JournalError, match="possible are: none"):
        walk(journal, 1, State.CHECKED)
    with pytest.raises(UnknownEdit, match="no change 7"):
        walk(journal, 7, State.REFUSED)
    assert [step.state for step in journal.steps(1)] == ["received", "prepared", "applied", "checked", "undone"]


def test_moves_are_taken_together_or_not_at_all(journal: Journal) -> None:
    journal.receive([change("a"), change("b")])
    with pytest.raises(JournalError):
        journal.move(
            [Move(entry=1, state=State.REFUSED, reason="no"), Move(entry=2, state=State.CHECKED)],
            about={"weights_hash": "x"},
        )
    assert [entry.state for entry in journal.entries()] == [State.RECEIVED, State.RECEIVED]
    assert journal.about("weights_hash") is None
    assert len(journal.steps(1)) == 1


def test_changes_of_a_feed_that_breaks_off_are_not_received_at_all(journal: Journal) -> None:
    def broken() -> object:
        yield change("a")
        raise OSError("the feed ended")

    with pytest.raises(OSError, match="the feed ended"):
        journal.begin_run("feed", {"new": 2}, broken())  # type: ignore[arg-type]
    assert list(journal.entries()) == []
    assert journal.run("feed") is None


def test_a_clock_that_goes_backwards_changes_no_order(tmp_path: Path) -> None:
    times = iter(datetime(2026, 1, 1, tzinfo=UTC) - timedelta(days=day) for day in range(100))
    journal = Journal(tmp_path / "journal.sqlite", clock=lambda: next(times))
    journal.receive([change("a"), change("b"), change("c")])
    for entry, place in ((2, 1), (3, 2), (1, 3)):
        walk(journal, entry, State.PREPARED, State.APPLIED, State.CHECKED, place=place)
    assert [entry.id for entry in journal.in_force()] == [2, 3, 1]
    steps = journal.steps(1)
    assert [step.state for step in steps] == ["received", "prepared", "applied", "checked"]
    assert steps[0].time > steps[-1].time  # the clock did go backwards
    assert journal.next_numbers() == (1, 4)


def test_numbers_and_delta_are_kept(journal: Journal) -> None:
    journal.receive([change("a")])
    journal.move([Move(entry=1, state=State.PREPARED, delta="d" * 64, batch=3, numbers={"p": 0.5})])
    entry = journal.entry(1)
    assert (entry.delta, entry.batch, entry.numbers) == ("d" * 64, 3, {"p": 0.5})
    journal.move([Move(entry=1, state=State.REFUSED, numbers={"p": float("nan")})])
    assert journal.entry(1).numbers == {"p": "nan"}, "JSON has no such number"


def test_what_was_written_is_there_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    first = Journal(path)
    first.begin_run("f", {"new": 1}, [change("a")])
    first.end_run("f", RESULT)
    first.close()
    again = Journal(path, read_only=True)
    assert again.run("f") == RunRecord(fingerprint="f", counts={"new": 1}, result=RESULT)
    assert [entry.key for entry in again.entries()] == ["key-a"]


@pytest.mark.parametrize("damage", ["page", "cut", "text", "other"])
def test_a_damaged_journal_is_refused_with_its_name(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "journal.sqlite"
    journal = Journal(path)
    journal.receive([change(f"{number}" * 50) for number in range(300)])
    journal.close()
    data = path.read_bytes()
    if damage == "page":
        path.write_bytes(data[:4096] + b"\xff" * 8192 + data[12288:])
    elif damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "text":
        path.write_text(json.dumps({"no": "journal"}) * 100)
    else:
        path.unlink()
        other = sqlite3.connect(path)
        other.execute("CREATE TABLE t (x)")
        other.close()
    with pytest.raises(FileCorrupt, match=r"journal\.sqlite"):
        Journal(path)


def test_a_missing_journal_is_no_empty_one(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="there is no journal"):
        Journal(tmp_path / "journal.sqlite", read_only=True)
    assert list(tmp_path.iterdir()) == []
