"""A store that is consolidated, with a tiny model: one transaction, and undo of what shares a trained delta."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch

from ingest.cheap import (
    batches,
    check_invariant,
    consolidate_cheaply,
    decide,
    delta_of,
    names,
    received,
    refused,
    reopen,
)
from kgedit.delta import Delta, DeltaStack
from kgedit.errors import JournalError
from kgedit.ingest import counter_patch, maintenance
from kgedit.ingest.decide.probes import Probes
from kgedit.ingest.decide.resolved_change import ResolvedChange
from kgedit.ingest.decide.trial import remaining
from kgedit.ingest.review import _waiting
from kgedit.ingest.session import Session
from kgedit.ingest.store.commit import commit
from kgedit.ingest.store.consolidate import switch_to
from kgedit.ingest.store.decision import Accepted, Decision, Refusal
from kgedit.ingest.store.entry import Entry, Received, State
from kgedit.ingest.store.store import DELTAS, IngestStore
from kgedit.ingest.store.undo import carrier, others_of, undo_by_counter_patch, undo_own_delta, undo_shared_delta
from kgedit.methods.base import Request

ROOT = Path(__file__).resolve().parents[3]
GOOD = [name for name in names(7, 20) if not refused(f"key-{name}")]


def patched(directory: Path, *changes: str) -> tuple[IngestStore, DeltaStack]:
    store, weights = reopen(directory)
    store.journal.receive(received(name) for name in changes)
    batches(store, weights, 2)
    return store, weights


def shared(store: IngestStore, weights: DeltaStack, name: str, **facts: str) -> None:
    """Changes that are decided together and share a delta: name of each -> its fact."""
    store.journal.receive(received(change, slot) for change, slot in facts.items())
    delta = delta_of(name, weights.model)
    commit(store, weights, Decision(tuple(Accepted(entry, delta, {}) for entry in store.entries(State.RECEIVED))))


def counter(store: IngestStore, weights: DeltaStack, id: int) -> None:
    entry = store.journal.entry(id)
    undo_by_counter_patch(store, weights, entry, delta_of(f"counter {id}", weights.model), "as before", {"p": 1.0})


def shape(store: IngestStore) -> list[list[int]]:
    """Numbers of the changes of each live delta."""
    return [[entry.id for entry in entries] for entries in store.live().values()]


def test_a_consolidation_replaces_all_patches_by_one_delta_and_what_it_does_not_hold(tmp_path: Path) -> None:
    store, weights = patched(tmp_path, *GOOD[:4])
    with store:
        assert shape(store) == [[1], [2], [3], [4]]
        consolidate_cheaply(store, weights)
        assert shape(store) == [[1, 2, 3], [4]]
        assert len(list((tmp_path / DELTAS).iterdir())) == 2
        assert store.journal.steps(4)[-1].reason == "consolidated: a patch on top of the others"
        assert store.journal.entry(1).numbers == {"p": 0.9}
        check_invariant(store, weights)
        # Patches of later changes come on top, and go into the next consolidation.
        store.journal.receive([received(GOOD[4])])
        batches(store, weights, 2)
        assert shape(store) == [[1, 2, 3], [4], [5]]
        consolidate_cheaply(store, weights, patches=0, name="again")
        assert shape(store) == [[1, 2, 3, 4, 5]]
    store, weights = reopen(tmp_path)  # the chain of checksums is whole, and the weights are those noted
    with store:
        check_invariant(store, weights)


def test_what_neither_delta_nor_patch_holds_is_refused_with_its_numbers_and_what_was_refused_can_come_in(
    tmp_path: Path,
) -> None:
    store, weights = patched(tmp_path, *GOOD[:2])
    with store:
        store.journal.receive([received(GOOD[2])])
        (third,) = store.entries(State.RECEIVED)
        commit(store, weights, Decision(refused=(Refusal(third, "weak", {"p": 0.1}),)))
        first, second = store.journal.in_force()
        accepted = decide([second, store.journal.entry(third.id)], weights.model).accepted
        switch_to(store, weights, Decision(accepted), Decision(refused=(Refusal(first, "weaker", {"p": 0.2}),)))
        assert [entry.state for entry in store.entries()] == [State.REFUSED, State.CHECKED, State.CHECKED]
        assert (store.journal.entry(1).reason, store.journal.entry(1).numbers) == ("weaker", {"p": 0.2})
        check_invariant(store, weights)


def test_a_process_killed_before_any_single_write_leaves_the_old_answers(tmp_path: Path) -> None:
    store, weights = patched(tmp_path / "source", *GOOD[:3])
    with store:
        old = weights.hash()
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
    script = ROOT / "tests" / "ingest" / "kill_switch.py"
    command = [sys.executable, script, tmp_path / "source", tmp_path / "killed"]
    subprocess.run(command, check=True, env=environment)
    killed = sorted((tmp_path / "killed").iterdir(), key=lambda path: int(path.name))
    assert len(killed) > 8
    switched = []
    for directory in killed:
        store, weights = reopen(directory)
        with store:
            check_invariant(store, weights)
            switched.append(weights.hash() != old)
            assert shape(store) == ([[1, 2], [3]] if switched[-1] else [[1], [2], [3]])
            if not switched[-1]:  # what was left of the killed one is in nobody's way
                consolidate_cheaply(store, weights)
                check_invariant(store, weights)
    assert switched == sorted(switched), "there is one point from which on it is done"
    assert (switched[0], switched[-1]) == (False, True)


def test_a_delta_that_is_trained_again_makes_what_was_countered_no_longer(tmp_path: Path) -> None:
    store, weights = patched(tmp_path, *GOOD[:4])
    with store:
        consolidate_cheaply(store, weights)
        counter(store, weights, 2)
        entry = store.journal.entry(3)
        undo_shared_delta(store, weights, entry, others_of(store, entry), delta_of("retrained", weights.model))
        assert shape(store) == [[1], [4]]
        assert [store.journal.entry(id).state for id in (2, 3)] == [State.UNDONE, State.UNDONE]
        assert "trained again without it" in store.journal.entry(2).reason
        check_invariant(store, weights)
    store, weights = reopen(tmp_path)
    with store:
        check_invariant(store, weights)


def test_what_shares_a_delta_is_undone_by_a_counter_patch_until_the_next_consolidation(tmp_path: Path) -> None:
    store, weights = patched(tmp_path, *GOOD[:4])
    with store:
        consolidate_cheaply(store, weights)
        with pytest.raises(JournalError, match="shares the delta"):
            undo_own_delta(store, weights, 2)
        counter(store, weights, 2)
        entry = store.journal.entry(2)
        assert (entry.state, entry.undone_to) == (State.COUNTERED, "as before")
        assert "next consolidation" in entry.reason
        assert shape(store) == [[1, 2, 3], [4], [2]]
        assert [one.id for one in store.journal.in_force()] == [1, 3, 4]
        check_invariant(store, weights)
        with pytest.raises(JournalError, match="undone already"):
            undo_own_delta(store, weights, 2)
    store, weights = reopen(tmp_path)
    with store:
        check_invariant(store, weights)
        consolidate_cheaply(store, weights, patches=0, name="without")
        assert shape(store) == [[1, 3, 4]]
        assert store.journal.entry(2).state == State.UNDONE
        assert "trained without it" in store.journal.entry(2).reason
        check_invariant(store, weights)


def test_a_change_undone_by_a_counter_patch_may_come_again_and_supersedes_that(tmp_path: Path) -> None:
    store, weights = patched(tmp_path, *GOOD[:3])
    with store:
        consolidate_cheaply(store, weights, patches=0)
        counter(store, weights, 2)
        assert store.journal.receive([received(GOOD[1])]) == 1
        batches(store, weights, 2)
        assert shape(store) == [[1, 3], [4]]
        assert [entry.state for entry in store.entries()][1] == State.SUPERSEDED
        check_invariant(store, weights)
        # The shared delta still makes the change: to leave out its patch would not undo it.
        assert carrier(store, store.journal.entry(4)) == (store.journal.entry(1).place, store.journal.entry(1).delta)
        counter(store, weights, 4)
        assert shape(store) == [[1, 4, 3], [4]]
        check_invariant(store, weights)


def test_the_last_change_of_a_shared_delta_takes_the_delta_and_its_counter_patches_with_it(tmp_path: Path) -> None:
    store, weights = patched(tmp_path, *GOOD[:3])
    with store:
        consolidate_cheaply(store, weights)
        counter(store, weights, 1)
        assert carrier(store, store.journal.entry(2)) is None
        undo_own_delta(store, weights, 2)
        assert shape(store) == [[3]]
        assert [entry.state for entry in store.entries()] == [State.UNDONE, State.UNDONE, State.CHECKED]
        undo_own_delta(store, weights, 3)
        assert weights.hash() == weights.hash_unedited()
        check_invariant(store, weights)


def test_a_counter_patch_stays_where_an_older_change_of_the_fact_would_speak_again(tmp_path: Path) -> None:
    """X and A share an adapter, then Y, which supersedes X, another with B and C; Y is undone by a patch on top."""
    store, weights = reopen(tmp_path)
    with store:
        shared(store, weights, "first", X="fact", A="a")
        shared(store, weights, "second", Y="fact", B="b", C="c")
        counter(store, weights, 3)
        entry = store.journal.entry(4)
        undo_shared_delta(store, weights, entry, others_of(store, entry), delta_of("without B", weights.model))
        assert shape(store) == [[2, 3], [5], [3]]
        assert store.journal.entry(3).undone_to == "as before"
        check_invariant(store, weights)
        undo_own_delta(store, weights, 5)
        assert shape(store) == [[2, 3], [3]]
        check_invariant(store, weights)
    store, weights = reopen(tmp_path)
    with store:
        undo_own_delta(store, weights, 2)  # the first adapter goes, and with it what was to be countered
        assert store.journal.entry(3).state == State.UNDONE
        assert weights.hash() == weights.hash_unedited()
        check_invariant(store, weights)


def test_what_was_countered_in_a_delta_that_a_counter_patch_makes_needless_goes_with_it(tmp_path: Path) -> None:
    store, weights = reopen(tmp_path)
    with store:
        shared(store, weights, "first", X="fact", A="a")
        shared(store, weights, "second", Y="fact", B="b")
        counter(store, weights, 4)
        counter(store, weights, 3)  # only the first adapter still makes a change of its fact
        assert shape(store) == [[2, 3], [3]]
        assert store.journal.entry(4).state == State.UNDONE
        check_invariant(store, weights)
    reopen(tmp_path)[0].close()


def test_undo_brings_no_superseded_change_of_another_adapter_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, weights = reopen(tmp_path)
    with store:
        shared(store, weights, "first", X="fact", A="a")
        shared(store, weights, "second", Y="fact", B="b")
        monkeypatch.setattr(maintenance, "counter", lambda session, id: counter(store, weights, id) or "as before")
        undone = maintenance.undo_in(cast("Session", SimpleNamespace(store=store, weights=weights)), 3)
        assert undone.answer == "as before", "the first adapter still says X, so that nothing is trained again"
        assert shape(store) == [[2], [3, 4], [3]]
        check_invariant(store, weights)


def test_what_a_killed_run_had_prepared_waits_again_behind_a_consolidation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `consolidate --anew` does it, which does not finish what was begun."""
    store, weights = patched(tmp_path, *GOOD[:2])
    with store, monkeypatch.context() as patch:
        store.journal.receive([received(GOOD[2])])
        patch.setattr("kgedit.ingest.store.commit.finish", lambda *_: None)
        commit(store, weights, decide(store.entries(State.RECEIVED), weights.model))
        assert store.journal.entry(3).state == State.PREPARED
        consolidate_cheaply(store, weights)
        waiting = store.journal.entry(3)
        assert (waiting.state, waiting.batch, waiting.place) == (State.RECEIVED, None, None)
    for _ in range(2):  # what the first opening finishes, the second one verifies
        store, weights = reopen(tmp_path)
        with store:
            batches(store, weights, 2)
            assert shape(store) == [[1], [2], [3]]
            check_invariant(store, weights)


def test_each_further_counter_patch_lies_on_the_one_before_also_where_the_change_had_the_last_delta(
    tmp_path: Path,
) -> None:
    store, weights = reopen(tmp_path)
    with store:
        shared(store, weights, "first", X="fact", A="a")
        shared(store, weights, "own", Y="fact")
        weight = weights.model.get_parameter("0.weight")
        below: list[torch.Tensor] = []

        def patch(change: ResolvedChange, live: list[tuple[Delta, list[Entry]]]) -> Decision:
            """The first two bring the answer nearer only."""
            with weights.trial(remaining(live, {change.entry.id})):
                below.append(weight.detach().clone())
            delta = weights.on_base(delta_of(f"patch {len(below)}", weights.model))
            return Decision((Accepted(change.entry, delta, {"efficacy": float(len(below) == 3)}),))

        entry, question = store.journal.entry(3), SimpleNamespace(question="of what?", target="as before")
        made = ResolvedChange(entry, entry.edit, cast("Request", question), None, cast("Probes", None))
        changes = SimpleNamespace(applied=lambda _: made, given_back=lambda _: made)
        decider = SimpleNamespace(changes=changes, patch=patch, writer=SimpleNamespace(shared=False))
        assert counter_patch.counter(cast("Session", SimpleNamespace(**locals())), 3) == "as before"
        applied: list[Delta] = []
        for name, found in zip(("first", "patch 1", "patch 2"), below, strict=True):
            applied.append(weights.on_base(delta_of(name, weights.model)))
            with weights.trial(applied):
                torch.testing.assert_close(found, weight.detach())
        check_invariant(store, weights)


@pytest.mark.parametrize("cleared", [True, False])
def test_a_change_that_was_countered_once_and_came_again_is_known_by_what_makes_it_now(
    tmp_path: Path, cleared: bool
) -> None:
    store, weights = patched(tmp_path, *GOOD[:2])
    with store:
        consolidate_cheaply(store, weights, patches=0, name="one")
        counter(store, weights, 1)
        consolidate_cheaply(store, weights, patches=0, name="two")
        old = store.journal.entry(1)
        assert (old.state, old.change.countered is None) == (State.UNDONE, False)
        if cleared:
            assert _waiting(store.journal, 1).change.countered is None
        else:  # as an earlier version received it
            store.journal.receive([Received(key=old.key, slot=old.slot, change=old.change)])
        batches(store, weights, 2)
        consolidate_cheaply(store, weights, patches=0, name="three")
        shared(store, weights, "later", **{GOOD[2]: GOOD[0]})
        # Without its own delta the consolidated one would speak: it is not enough to leave that out.
        assert carrier(store, store.journal.entry(4)) == (
            store.journal.entry(2).place,
            delta_of("three", weights.model).id,
        )
