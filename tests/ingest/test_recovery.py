"""A store after crashes, full disks, damage and competitors: nothing lost, nothing twice, one clear error."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ingest.cheap import (
    batches,
    check_invariant,
    consolidate_cheaply,
    names,
    received,
    refused,
    reopen,
    tiny_model,
)
from kgedit.delta import DeltaStack
from kgedit.errors import FileCorrupt, JournalError, SaveFailed, StoreBusy, WrongBase
from kgedit.ingest.store.commit import apply_live, recover
from kgedit.ingest.store.entry import State
from kgedit.ingest.store.journal import Journal
from kgedit.ingest.store.store import DELTAS, IngestStore, open_store
from kgedit.ingest.store.undo import undo_own_delta

ROOT = Path(__file__).resolve().parents[2]
SEED, COUNT = 7, 60


def started(directory: Path, seed: int = SEED, count: int = COUNT) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, ROOT / "tests" / "ingest" / "kill_me.py", directory, str(seed), str(count)],
        stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip


def undisturbed(directory: Path) -> str:
    store, weights = reopen(directory)
    with store:
        store.journal.receive(received(name) for name in names(SEED, COUNT))
        batches(store, weights, 4)
        return weights.hash()


@pytest.mark.parametrize("kills", [1, pytest.param(4, marks=pytest.mark.long)])
def test_a_run_that_is_killed_again_and_again_ends_like_an_undisturbed_one(tmp_path: Path, kills: int) -> None:
    wanted = undisturbed(tmp_path / "calm")
    rng, directory = random.Random(0), tmp_path / "killed"
    accepted: set[str] = set()
    for kill in range(kills):
        child = started(directory)
        assert child.stdout is not None
        for _ in range(1 + rng.randrange(4)):  # so many acknowledgements are waited for
            if not child.stdout.readline():
                break
        time.sleep(rng.random() * 0.02)
        child.send_signal(signal.SIGKILL)
        child.wait()
        store, weights = reopen(directory)
        with store:
            check_invariant(store, weights)
            now = {entry.key for entry in store.entries(State.CHECKED)}
            assert accepted <= now, f"kill {kill} lost a change"
            accepted = now
            assert list(store.entries(State.PREPARED, State.APPLIED)) == []
    store, weights = reopen(directory)
    with store:
        batches(store, weights, 4)
        assert weights.hash() == wanted
        keys = [entry.key for entry in store.entries()]
        assert len(keys) == len(set(keys)) == COUNT
        assert {e.key for e in store.entries(State.CHECKED)} == {key for key in keys if not refused(key)}


class Crash(BaseException):
    """What no handler may swallow."""


@contextmanager
def crash_at(number: int, patch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Fail before the n-th write of the store: a delta, a flush, a rename, a journal transaction."""
    calls: list[str] = []
    with patch.context() as inner:
        for owner, name in ((Journal, "move"), (IngestStore, "save_delta"), (os, "fsync"), (Path, "replace")):
            original = getattr(owner, name)

            def counted(*args: object, _original: object = original, _name: str = name, **kwargs: object) -> object:
                calls.append(_name)
                if len(calls) == number:
                    raise Crash(_name)
                return _original(*args, **kwargs)  # type: ignore[operator]

            inner.setattr(owner, name, counted)
        yield calls


def test_a_crash_before_any_single_write_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calm, few = tmp_path / "calm", [received(name) for name in names(3, 3)]
    store, weights = reopen(calm)
    with store:
        store.journal.receive(few)
        with crash_at(10**9, monkeypatch) as calls:
            batches(store, weights, 2)
        wanted = weights.hash()
    assert len(calls) > 10
    for number in range(1, len(calls) + 1):
        directory = tmp_path / str(number)
        store, weights = reopen(directory)
        with store:
            store.journal.receive(few)
            with crash_at(number, monkeypatch), pytest.raises(Crash):
                batches(store, weights, 2)
        store, weights = reopen(directory)
        with store:
            check_invariant(store, weights)
            batches(store, weights, 2)
            check_invariant(store, weights)
            assert weights.hash() == wanted, f"write {number} ({calls[number - 1]})"


def test_a_full_disk_is_one_error_and_the_next_run_goes_on(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    store, weights = reopen(directory)
    with store:
        store.journal.receive(received(name) for name in names(5, 8))
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))  # no file may grow beyond this
        try:
            with pytest.raises(SaveFailed, match="could not be written"):
                batches(store, weights, 4)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
            signal.signal(signal.SIGXFSZ, handler)
        assert {entry.state for entry in store.entries()} == {State.RECEIVED}
        assert [path for path in directory.rglob("*.tmp")] == []
        batches(store, weights, 4)
        check_invariant(store, weights)


def test_a_folder_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(SaveFailed, match="cannot be written"):
        open_store(tmp_path / "file" / "store", write=True)


def test_a_read_only_journal_is_one_error_and_nothing_changes(tmp_path: Path) -> None:
    reopen(tmp_path)[0].close()
    with open_store(tmp_path) as store:  # opened for reading: root may write to read-only files
        with pytest.raises(SaveFailed, match="read-only"):
            store.journal.receive([received("a")])
        assert list(store.entries()) == []


def test_a_damaged_delta_in_force_is_named_with_its_change_and_can_be_undone(tmp_path: Path) -> None:
    store, weights = reopen(tmp_path)
    with store:
        store.journal.receive(received(name) for name in names(SEED, 6))
        batches(store, weights, 6)
        entry = store.journal.in_force()[1]
    (file,) = (tmp_path / DELTAS / str(entry.delta)).glob("*.safetensors")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(FileCorrupt, match=rf"change {entry.id} of the journal.*undo --store"):
        reopen(tmp_path)
    with open_store(tmp_path, write=True) as store:
        weights = DeltaStack(tiny_model(), sole_writer=True)
        undo_own_delta(store, weights, entry.id)
        check_invariant(store, weights)
    reopen(tmp_path)[0].close()


def test_a_damaged_delta_on_its_way_is_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = undisturbed(tmp_path / "calm")
    store, weights = reopen(tmp_path / "s")
    with store:
        store.journal.receive(received(name) for name in names(SEED, COUNT))
        with monkeypatch.context() as patch:
            patch.setattr(DeltaStack, "put", lambda *_: (_ for _ in ()).throw(Crash()))
            with pytest.raises(Crash):
                batches(store, weights, 4)  # stops behind "prepared"
        (first, *_) = store.entries(State.PREPARED)
    shutil.rmtree(tmp_path / "s" / DELTAS / str(first.delta))
    store, weights = reopen(tmp_path / "s")
    with store:
        assert store.journal.entry(first.id).state == State.RECEIVED
        batches(store, weights, 4)
        check_invariant(store, weights)
        assert {e.key for e in store.entries(State.CHECKED)} == {
            f"key-{name}" for name in names(SEED, COUNT) if not refused(f"key-{name}")
        }
        assert wanted  # the same changes; their order may differ


def test_a_delta_exchanged_for_another_valid_one_is_noticed(tmp_path: Path) -> None:
    store, weights = reopen(tmp_path)
    with store:
        store.journal.receive(received(name) for name in names(SEED, 6))
        batches(store, weights, 6)
        one, two = [tmp_path / DELTAS / str(entry.delta) for entry in store.journal.in_force()[:2]]
    shutil.rmtree(one)
    shutil.copytree(two, one)
    with pytest.raises(FileCorrupt, match="holds the delta"):
        reopen(tmp_path)


def test_a_journal_that_disagrees_with_its_deltas_is_refused(tmp_path: Path) -> None:
    store, weights = reopen(tmp_path)
    with store:
        store.journal.receive(received(name) for name in names(SEED, 6))
        batches(store, weights, 6)
        store.journal.set_about({"weights_hash": "0" * 64})
        with pytest.raises(JournalError, match="its journal noted 0000"):
            recover(store, DeltaStack(tiny_model(), sole_writer=True))


def test_a_journal_from_another_base_model_is_refused_with_both_hashes(tmp_path: Path) -> None:
    reopen(tmp_path)[0].close()
    other = DeltaStack(tiny_model(seed=1), sole_writer=True)
    with open_store(tmp_path, write=True) as store, pytest.raises(WrongBase) as caught:
        store.bind("other", other.hash_unedited())
    assert store.directory.name in str(caught.value)
    assert other.hash_unedited() in str(caught.value)
    assert DeltaStack(tiny_model(), sole_writer=True).hash_unedited() in str(caught.value)


def test_a_second_writer_is_turned_away_with_the_first_ones_number_and_readers_are_not(tmp_path: Path) -> None:
    store, weights = reopen(tmp_path)
    with store:
        store.journal.receive([received("a")])
        with pytest.raises(StoreBusy, match=f"process {os.getpid()} is writing"):
            open_store(tmp_path, write=True, wait=0.0)
        with open_store(tmp_path) as reader:
            assert [entry.key for entry in reader.entries()] == ["key-a"]
    open_store(tmp_path, write=True, wait=0.0).close()
    assert weights.deltas == ()


@pytest.mark.parametrize("moment", ["load", "hash"])
def test_a_reader_beside_a_writer_is_told_so_and_not_that_the_store_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    store, weights = reopen(tmp_path)
    with store, open_store(tmp_path) as reader:
        store.journal.receive(received(name) for name in names(SEED, 6))
        batches(store, weights, 6)
        mine = DeltaStack(tiny_model(), sole_writer=True)
        load, hash = reader.delta, mine.hash
        changes = iter([lambda: consolidate_cheaply(store, weights)])  # ends in the midst of reading

        def meanwhile() -> None:
            next(changes, lambda: None)()

        if moment == "load":
            monkeypatch.setattr(reader, "delta", lambda id: meanwhile() or load(id))
        else:
            monkeypatch.setattr(mine, "hash", lambda: (hash(), meanwhile())[0])
        with pytest.raises(StoreBusy, match="a run changes the store .* try again"):
            apply_live(reader, mine)
        apply_live(reader, mine)
        assert hash() == reader.weights_hash


def test_a_store_without_its_journal_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    reopen(tmp_path)[0].close()
    for path in tmp_path.glob("journal.sqlite*"):
        path.unlink()
    with pytest.raises(JournalError, match="without its"):
        reopen(tmp_path)
