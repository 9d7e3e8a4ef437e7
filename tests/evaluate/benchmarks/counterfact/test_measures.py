"""ES, PS, NS, magnitudes and accuracies by hand; a tie fails."""

from __future__ import annotations

import math

import pytest

from kgedit.evaluate.benchmarks.counterfact.measures import CounterFactProbe, more_probable
from kgedit.lm.scoring.teacher_forced import TargetScore

NEW, TRUE = (1, 2), (3,)  # a target of two tokens and one of one


def says(*probabilities: float, ids: tuple[int, ...] = NEW, on_top: bool = False) -> TargetScore:
    return TargetScore(ids, tuple(map(math.log, probabilities)), ids if on_top else (0,) * len(ids))


def true(probability: float, *, on_top: bool = False) -> TargetScore:
    return says(probability, ids=TRUE, on_top=on_top)


PROBE = CounterFactProbe("new", "true", rewrite=("r",), paraphrase=("p1", "p2"), neighborhood=("n1", "n2", "n3", "n4"))
SCORES = {
    ("r", "new"): says(0.9, 0.4, on_top=True),  # geometric mean 0.6, product 0.36
    ("r", "true"): true(0.5),
    ("p1", "new"): says(0.2, 0.2),
    ("p1", "true"): true(0.1),
    ("p2", "new"): says(0.1, 0.1),
    ("p2", "true"): true(0.3),
    ("n1", "new"): says(0.1, 0.1),
    ("n1", "true"): true(0.7, on_top=True),
    ("n2", "new"): says(0.2, 0.2),
    ("n2", "true"): true(0.2),  # a tie
    ("n3", "new"): says(0.4, 0.4),
    ("n3", "true"): true(0.2),
    ("n4", "new"): says(0.2, 0.2),
    ("n4", "true"): true(0.3),
}


def test_every_measure_by_hand() -> None:
    assert set(PROBE.pairs()) == set(SCORES)
    assert PROBE.measure(SCORES) == pytest.approx(
        {
            "efficacy": 1.0,  # 0.6 > 0.5, although the product 0.36 is not
            "efficacy_magnitude": 0.1,
            "efficacy_accuracy": 1.0,
            "paraphrase": 0.5,
            "paraphrase_magnitude": (0.1 - 0.2) / 2,
            "paraphrase_accuracy": 0.0,
            "neighborhood": 0.5,  # n1 and n4; the tie n2 fails
            "neighborhood_magnitude": (0.6 + 0.0 - 0.2 + 0.1) / 4,
            "neighborhood_accuracy": 0.25,
        }
    )


def test_a_tie_fails_both_ways_and_so_does_nan() -> None:
    same = says(0.25, 0.25)
    assert not more_probable(same, same)
    broken = TargetScore(NEW, (math.nan, math.nan), (-1, -1))
    assert not more_probable(broken, broken)
    assert not more_probable(broken, same)
    assert more_probable(same, broken)


def test_probabilities_too_small_for_a_float_still_compare() -> None:
    assert more_probable(TargetScore(TRUE, (-800.0,), (0,)), TargetScore(TRUE, (-900.0,), (0,)))


def test_measures_without_prompts_are_absent() -> None:
    assert CounterFactProbe("new", "true").measure({}) == {}
    only = CounterFactProbe("new", "true", rewrite=("r",))
    assert {name.split("_")[0] for name in only.measure(SCORES)} == {"efficacy"}
