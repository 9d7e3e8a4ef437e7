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


def test_what_plugins_measure_has_none() -> None:
    assert meaning("own_figure") == ""
