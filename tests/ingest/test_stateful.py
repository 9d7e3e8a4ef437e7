"""Edits, batches, undo, crashes and duplicates in any order: weights equal the base plus the live deltas."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ingest.cheap import check_invariant, decide, received, refused, reopen
from ingest.test_recovery import Crash, crash_at
from kgedit.ingest.store.commit import commit
from kgedit.ingest.store.entry import State
from kgedit.ingest.store.undo import undo_own_delta


class StoreMachine(RuleBasedStateMachine):
    """The store against a model of it: a list of keys received, and a list of those in force."""

    @initialize()
    def begin(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="kgedit-stateful-"))
        self.store, self.weights = reopen(self.directory)
        self.received: list[str] = []
        self.waiting: list[tuple[str, str]] = []
        self.live: dict[str, str] = {}  # slot -> key
        self.undone: list[str] = []

    @rule(names=st.lists(st.sampled_from("abcdefghijkl"), min_size=1, max_size=4), slots=st.booleans())
    def deliver(self, names: list[str], slots: bool) -> None:
        """Twelve changes that come again and again; letters a-d and their doubles share slots."""
        changes = [
            received(name, slot="abcd"[ord(name) % 4] if slots and name in "abcdefgh" else None) for name in names
        ]
        there = {key for key, _ in self.waiting} | set(self.live.values())
        fresh = {c.key: c for c in reversed(changes) if c.key not in there}  # the first of each key
        ordered = sorted(fresh.values(), key=changes.index)
        assert self.store.journal.receive(changes) == len(ordered)
        self.received += [c.key for c in ordered]
        self.waiting += [(c.key, c.slot) for c in ordered]

    def _expect(self, size: int) -> None:
        for key, slot in self.waiting[:size]:
            if not refused(key):
                self.live.pop(slot, None)
                self.live[slot] = key
        self.waiting = self.waiting[size:]

    @rule(size=st.integers(1, 4))
    def batch(self, size: int) -> None:
        entries = list(self.store.journal.entries(State.RECEIVED, limit=size))
        entries = first_of_each_slot(entries)
        if entries:
            commit(self.store, self.weights, decide(entries, self.weights.model))
            self._expect(len(entries))

    @rule(size=st.integers(1, 4), number=st.integers(1, 14))
    def crash(self, size: int, number: int) -> None:
        """Stop before the n-th write of a batch and open again; the batch is then in force or not begun."""
        entries = first_of_each_slot(list(self.store.journal.entries(State.RECEIVED, limit=size)))
        before = {entry.id for entry in entries}
        with crash_at(number, pytest.MonkeyPatch()):
            try:
                if entries:
                    commit(self.store, self.weights, decide(entries, self.weights.model))
            except Crash:
                pass
        self.store.close()
        self.store, self.weights = reopen(self.directory)
        left = {entry.id for entry in self.store.entries(State.RECEIVED)}
        assert before <= left or not before & left, "a part of a batch"
        if not before & left:
            self._expect(len(entries))

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def undo(self, data: Any) -> None:
        slot = data.draw(st.sampled_from(sorted(self.live)))
        entry = self.store.journal.find(self.live.pop(slot))
        assert entry is not None
        undo_own_delta(self.store, self.weights, entry.id)
        self.undone.append(entry.key)

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store, self.weights = reopen(self.directory)

    @invariant()
    def weights_are_base_plus_live_deltas(self) -> None:
        if not hasattr(self, "store"):
            return
        assert [entry.key for entry in self.store.journal.in_force()] == list(self.live.values())
        assert sorted(entry.key for entry in self.store.entries(State.UNDONE)) == sorted(self.undone)
        assert [entry.key for entry in self.store.entries()] == self.received
        check_invariant(self.store, self.weights)

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.directory)


def first_of_each_slot(entries: list[Any]) -> list[Any]:
    """The entries before the first whose fact another one of them speaks of: those need batches of their own."""
    slots: set[str] = set()
    for number, entry in enumerate(entries):
        if entry.slot in slots:
            return entries[:number]
        slots.add(entry.slot)
    return entries


TestStore = StoreMachine.TestCase
TestStore.settings = settings(
    max_examples=25, stateful_step_count=12, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
