"""The public interface over a store that version 0.1.0 wrote: it opens, verifies, resumes, undoes and exports."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import kgedit.ingest
from kgedit.errors import JournalError
from kgedit.ingest import State, export, open_store, replay, run, undo, verify, verify_export

DATA = Path(__file__).parent / "data"
HASH = "a628682dcc0d77b66d92699fe3b4cbb77a9dbba0836b5642ea778bfe718d5833"  # of the edited weights, by 0.1.0


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DATA / "store-0.1.0", tmp_path / "store"))


def test_every_public_name_is_there_and_others_are_refused() -> None:
    assert all(getattr(kgedit.ingest, name) for name in kgedit.ingest.__all__)
    with pytest.raises(AttributeError, match="public names are"):
        _ = kgedit.ingest.take_back


def test_a_store_of_0_1_0_has_its_changes_and_runs(store: Path) -> None:
    with open_store(store) as opened:
        first, second = opened.entries()
        (noted,) = opened.journal.runs()
        assert len(opened.live_deltas()) == 1
        assert opened.plan_file(noted.fingerprint).is_file()
    assert (first.state, first.edit.subject, first.change.where) == (State.CHECKED, "Q102513", "changes.jsonl, line 1")
    assert (second.state, second.edit.target_new, second.change.number) == (State.REFUSED, "Q3143067", 2)
    assert noted.result is not None
    assert (noted.result.weights_hash, noted.result.refusals[0].numbers["probability"]) == (HASH, 0.3679)


def test_its_weights_are_verified_and_its_changes_answer(store: Path) -> None:
    verified = verify(store)
    assert (verified.weights_hash, verified.deltas, verified.counts["checked"]) == (HASH, 1, 1)
    replayed = replay(store)
    assert replayed.right == 1.0
    assert [answer.answer for answer in replayed.answers] == ["Santa Monica"]


def test_the_same_feed_again_changes_nothing(store: Path) -> None:
    quick = {"ingest": {"facts": 1}, "guards": {"facts": 1}}
    result = run(store, DATA / "changes.jsonl", method="rome", moments="identity", settings=quick)
    assert (result.changed, result.accepted, result.weights_hash) == (0, 1, HASH)


def test_a_change_is_exported_and_undone(store: Path, tmp_path: Path) -> None:
    record = export(store, tmp_path / "out", "delta")
    assert [change.id for change in record.changes] == [1]
    assert verify_export(tmp_path / "out").holds
    assert undo(store, 1).weights_hash == record.base_hash
    with pytest.raises(JournalError, match="is undone, not applied"):
        undo(store, 1)


def test_a_store_that_is_not_there_is_an_error_and_none_is_made(tmp_path: Path) -> None:
    for use in (verify, replay, lambda folder: undo(folder, 1)):
        with pytest.raises(JournalError, match="there is no journal"):
            use(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []
