"""A batch whose changes share one delta: all or nothing, and what is refused is in no delta."""

from __future__ import annotations

from typing import Any, cast

from ingest.decide.procedures import FakeRunner, batch
from kgedit.ingest.decide.shared import decide_shared
from kgedit.ingest.store.decision import Decision


def decide(runner: FakeRunner, *ids: int) -> Decision:
    decision = decide_shared(batch(*ids), cast(Any, runner))
    decided = [one.entry.id for one in (*decision.accepted, *decision.refused)]
    assert sorted(decided) == sorted(ids), "each change is decided once"
    return decision


def test_one_failure_has_training_go_on_for_all() -> None:
    runner = FakeRunner(mended=(2,))
    assert len(decide(runner, 1, 2, 3).accepted) == 3
    assert runner.attempts == [[1, 2, 3], [1, 2, 3]]


def test_what_fails_twice_is_refused_and_the_others_are_trained_without_it() -> None:
    runner = FakeRunner(weak=(2,))
    decision = decide(runner, 1, 2, 3)
    assert runner.attempts == [[1, 2, 3], [1, 2, 3], [1, 3]]
    assert runner.giving_back == [[], [], [2]]
    assert runner.joint == [[1, 3]]
    assert [one.entry.id for one in decision.accepted] == [1, 3]
    assert [(one.entry.id, one.reason) for one in decision.refused] == [(2, "weak")]


def test_what_begins_to_fail_later_is_in_no_accepted_delta_either() -> None:
    """In the training without another, and in a round after the guards of the whole model."""
    runner = FakeRunner(weak=(2,), weak_later={3: 3, 4: 5}, harmful_at_first=1)
    decision = decide(runner, 1, 2, 3, 4)
    assert runner.attempts == [[1, 2, 3, 4], [1, 2, 3, 4], [1, 3, 4], [1, 4], [1, 4], [1]]
    assert runner.giving_back == [[], [], [2], [2, 3], [2, 3], [2, 3, 4]]
    assert runner.joint == [[1, 4], [1]]
    assert [one.entry.id for one in decision.accepted] == [1]


def test_harm_refuses_the_whole_batch() -> None:
    runner = FakeRunner(harmful=(2,))
    assert [one.reason for one in decide(runner, 1, 2, 3).refused] == ["harm"] * 3
    assert runner.joint == [[1, 2, 3]] * 3, "a shared delta is not halved"


def test_a_batch_that_harms_the_model_a_little_is_trained_on_before_all_of_it_is_refused() -> None:
    runner = FakeRunner(weak=(2,), harmful_at_first=2)
    decision = decide(runner, 1, 2, 3)
    assert [one.entry.id for one in decision.accepted] == [1, 3]
    assert runner.attempts == [[1, 2, 3], [1, 2, 3], [1, 3], [1, 3], [1, 3]]


def test_what_stays_weighs_more_where_the_model_has_lost_too_much_of_it() -> None:
    for harm, weighs in (
        ("locality 0.9 is below 0.965", True),
        ("perplexity 2 is above 1.3", True),
        ("kept 0.9 is below 0.98", True),
        ("norm_cumulative 2 is above 1", False),
    ):
        runner = FakeRunner(harmful_at_first=2, harm=harm)
        assert len(decide(runner, 1, 2).accepted) == 2
        assert runner.keeping == [False, weighs, weighs]


def test_the_same_delta_is_not_measured_again() -> None:
    """Where training goes on from a delta that makes all changes already, another round would train nothing."""
    runner = FakeRunner(harmful=(2,), made=True)
    assert [one.reason for one in decide(runner, 1, 2, 3).refused] == ["harm"] * 3
    assert runner.joint == [[1, 2, 3]]


def test_with_warnings_nothing_is_trained_a_third_time() -> None:
    runner = FakeRunner(weak=(2,), mode="warn")
    assert {one.entry.id: one.warnings for one in decide(runner, 1, 2).accepted} == {1: (), 2: ("weak",)}
    assert runner.attempts == [[1, 2], [1, 2]]


def test_a_delta_that_diverges_refuses_all_that_is_not_refused_yet() -> None:
    decision = decide(FakeRunner(weak=(1,), diverging=(2,)), 1, 2)
    assert {one.entry.id: one.reason for one in decision.refused} == {1: "weak", 2: "not finite"}
