"""Every figure that a benchmark of the package gives is explained on the page."""

from __future__ import annotations

import pytest

from kgedit.evaluate.benchmarks.ripple.record import CRITERIA
from kgedit.evaluate.report.meanings import meaning


@pytest.mark.parametrize("criterion", CRITERIA.values())
def test_every_criterion_of_ripple_edits_has_a_meaning_under_each_protocol(criterion) -> None:
    told = meaning(criterion)
    assert told
    assert meaning(f"{criterion}_strict").startswith(f"{told}; ")
    assert meaning(f"{criterion}_executed").startswith(f"{told}; ")


@pytest.mark.parametrize(
    "name",
    [
        "edit_success",
        "probability",
        "recall_accuracy",
        "multihop_few_shot_mean",
        "multihop_chain_of_thought_before_mean",
    ],
)
def test_figures_have_a_meaning_whatever_their_endings(name) -> None:
    assert meaning(name)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("efficacy_free", "the edit prompt; the text up to its natural stop is a right name and nothing else"),
        ("efficacy_accuracy", "the edit prompt; the greedy answer is the right object"),
        ("neighborhood_free", "the same relation of other subjects; the sentence is the same as before the edit"),
        ("negation_free", "the edit prompt negated: the new object is nowhere in the answer"),
        ("negation_free_contains", "the edit prompt negated: the new object is nowhere in the answer"),
    ],
)
def test_an_ending_says_what_counts_in_the_place_of_the_usual_rule(name, told) -> None:
    assert meaning(name) == told


def test_what_is_counted_by_tokens_or_otherwise_in_one_benchmark_is_told() -> None:
    assert "share of the object's tokens" in meaning("recall_accuracy")
    assert "in MQuAKE it is the greedy answer" in meaning("efficacy")


def test_what_plugins_measure_has_none() -> None:
    assert meaning("own_figure") == ""
