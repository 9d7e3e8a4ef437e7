"""A batch of changes with a delta each: second attempts, halving down to the harm, and nothing left undecided."""

from __future__ import annotations

from typing import Any, cast

from ingest.decide.procedures import FakeRunner, batch
from kgedit.ingest.decide.independent import decide_independent
from kgedit.ingest.store.decision import Decision


def decide(runner: FakeRunner, *ids: int) -> Decision:
    decision = decide_independent(batch(*ids), cast(Any, runner))
    decided = [one.entry.id for one in (*decision.accepted, *decision.refused)]
    assert sorted(decided) == sorted(ids), "each change is decided once"
    return decision


def test_only_what_fails_is_attempted_again_and_comes_after_what_did_not() -> None:
    runner = FakeRunner(mended=(1, 3), weak=(4,))
    decision = decide(runner, 1, 2, 3, 4)
    assert runner.attempts == [[1, 2, 3, 4], [1, 3, 4]]
    assert [one.entry.id for one in decision.accepted] == [2, 1, 3]
    assert [(one.entry.id, one.reason) for one in decision.refused] == [(4, "weak")]


def test_halves_are_tried_left_before_right_until_the_harm_is_alone() -> None:
    runner = FakeRunner(harmful=(3,))
    decision = decide(runner, 1, 2, 3, 4)
    assert runner.joint == [[1, 2, 3, 4], [1, 2], [3, 4], [3], [4]]
    assert [one.entry.id for one in decision.accepted] == [1, 2, 4]
    assert [(one.entry.id, one.reason) for one in decision.refused] == [(3, "harm")]


def test_deltas_that_do_not_add_up_leave_what_was_accepted_before_and_refuse_the_rest() -> None:
    decision = decide(FakeRunner(harmful=(1,), diverging=(3, 4)), 1, 2)
    assert [one.entry.id for one in decision.accepted] == [2]
    decision = decide(FakeRunner(diverging=(3,)), 1, 2, 3)
    assert [one.reason for one in decision.refused] == ["not finite"] * 3


def test_a_warning_is_kept_and_refuses_nothing() -> None:
    runner = FakeRunner(weak=(1,), harmful=(2,), mode="warn")
    decision = decide(runner, 1, 2)
    assert {one.entry.id: one.warnings for one in decision.accepted} == {2: ("harm",), 1: ("weak", "harm")}
