"""The drawing of a sequence of edits, and its table."""

from __future__ import annotations

import pytest

from kgedit.evaluate.report.curves import by_length
from kgedit.evaluate.report.lengths import length_table
from kgedit.evaluate.report.model import SuiteReport, build_report
from kgedit.evaluate.report.wording import points
from kgedit.evaluate.results import UNEDITED, LengthRow, Row

pytest.importorskip("matplotlib")


def measured(
    length: int, *, perplexity: float = 1.01, ability: float | None = None, growth: dict[str, float] | None = None
) -> LengthRow:
    return LengthRow(
        method="memit", length=length, edits=length, asked=length, asked_all=2, seconds=0.5,
        growth=growth or {}, change={}, perplexity=perplexity, ability=ability, ability_before=0.983,
    )  # fmt: skip


@pytest.fixture
def report() -> SuiteReport:
    """One method at two lengths, the second one after a collapse."""
    right = {UNEDITED: 0.0, "memit@2": 1.0, "memit@20": 0.25}
    rows = [
        Row(case=str(case), method=method, hops=None, edits=1, values={"efficacy_free": value})
        for method, value in right.items()
        for case in range(2)
    ]
    lengths = [measured(2, ability=0.95), measured(20, perplexity=1e300, growth={"low": 1.5, "high": 80.0})]
    return build_report(rows, suite="zsre", manifest={"methods": [*right]}, left_out={}, seed=0, lengths=lengths)


def test_a_row_for_each_method_and_length_behind_the_unedited_model(report: SuiteReport) -> None:
    heading, rows = length_table(report, lambda estimate: points(estimate.value))
    assert [*heading] == ["", "edits", "asked", "in full", "efficacy_free", "perplexity", "ability", "norm", "seconds"]
    assert rows == [
        [UNEDITED, "0", "", "", "0.0", "1.000", "98.3", "1.000", ""],
        ["memit", "2", "2", "2", "100.0", "1.01", "95.0", "1.000", "0.50"],
        ["memit", "20", "20", "2", "25.0", "1e+300", "-", "80.000", "0.50"],
    ]


def test_only_the_last_length_is_compared(report: SuiteReport) -> None:
    assert {(one.method, one.other) for one in report.comparisons} == {("memit@20", UNEDITED)}


def test_a_collapse_is_drawn_and_equal_reports_give_equal_bytes(report: SuiteReport) -> None:
    svg = by_length(report)
    assert svg.startswith("<?xml")
    assert svg == by_length(report)
