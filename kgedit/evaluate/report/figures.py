"""Figures of a table from the values of cases: which mean each figure is, and over which cases.

Most figures are means over cases. Two are not: the Editing Score is the harmonic mean of the data set's means
(GLAME, Table 1), and the probability figure of its Table 6 the plain mean over the classes of 2, 3 and 4 hops.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from kgedit.evaluate.benchmarks.mquake.measures import HOPS
from kgedit.evaluate.report.bootstrap import (
    Statistic,
    Table,
    compare,
    harmonic,
    interval,
    plain,
    table,
)
from kgedit.evaluate.report.estimates import Estimate
from kgedit.evaluate.results import RECALLED, Values

EDITING_SCORE = "editing_score"
SCORED = ("efficacy", "paraphrase", "neighborhood")
_BY_CLASS = "multihop_probability"
# The figures that the literature compares, in the order of tables; what is not named here follows by name.
MAIN = (
    "efficacy paraphrase neighborhood portability editing_score multihop multihop_2 multihop_3 multihop_4 "
    "multihop_probability multihop_probability_2 multihop_probability_3 multihop_probability_4 "
    "reverse reverse_accuracy object_facts_accuracy"
).split()


def figure_names(names: Iterable[str]) -> list[str]:
    """Different names in the order of tables."""
    place = {name: number for number, name in enumerate(MAIN)}
    return sorted(set(names), key=lambda name: (place.get(name, len(MAIN)), name))


class Figures:
    """The figures of several methods over the same cases."""

    def __init__(self, cases: Sequence[str], methods: Mapping[str, Mapping[str, Values]], *, seed: int) -> None:
        """Lay the values out.

        Args:
            cases: Ids, in the order of resampling.
            methods: Method -> case -> values.
            seed: Of the resampling.
        """
        self._values = {name: [by_case.get(case, {}) for case in cases] for name, by_case in methods.items()}
        self._seed = seed

    def of(self, method: str) -> dict[str, Estimate]:
        """Every figure of one method."""
        estimates: dict[str, Estimate] = {}
        for name in self._names(method):
            columns, statistic = self._made_of(name, method)
            estimate = interval(table(self._values[method], columns), statistic=statistic, seed=self._seed)
            if estimate is not None:
                estimates[name] = estimate
        return estimates

    def compared(self, method: str, other: str) -> dict[str, Estimate]:
        """Every figure that both methods have: the one less the other, over values that both have."""
        theirs = set(self._names(other))
        differences: dict[str, Estimate] = {}
        for name in self._names(method):
            if name not in theirs:
                continue
            columns, statistic = self._made_of(name, method, other)
            ours = table(self._values[method], columns)
            difference = compare(
                *_common(ours, table(self._values[other], columns)), statistic=statistic, seed=self._seed
            )
            if difference is not None:
                differences[name] = difference
        return differences

    def recalled(self) -> Estimate | None:
        """Share of cases whose facts the unedited model recalls, whichever method's row says so."""
        # Every method's row of a case may say it; the first that does counts.
        merged = [
            next(({RECALLED: case[RECALLED]} for case in rows if RECALLED in case), {})
            for rows in zip(*self._values.values(), strict=True)
        ]
        return interval(table(merged, [RECALLED]), seed=self._seed)

    def _names(self, method: str) -> list[str]:
        measured = {name for case in self._values[method] for name in case}
        # The Editing Score is computed here from the means, never averaged over cases.
        whole = {EDITING_SCORE} if measured.issuperset(SCORED) else set()
        return figure_names((measured - {EDITING_SCORE}) | whole)

    def _made_of(self, name: str, *methods: str) -> tuple[list[str], Statistic]:
        """Columns of a figure that all of these methods have, and what is made of their means."""

        def had(columns: Iterable[str]) -> list[str]:
            return [
                column for column in columns if all(any(column in case for case in self._values[m]) for m in methods)
            ]

        if name == EDITING_SCORE:
            return had((*SCORED, "portability")), harmonic
        classes = had(f"{_BY_CLASS}_{hops}" for hops in HOPS) if name == _BY_CLASS else []
        return classes or [name], plain


def _common(ours: Table, theirs: Table) -> tuple[Table, Table]:
    """Both tables with only the values that stand in both."""
    both = ~(np.isnan(ours) | np.isnan(theirs))
    return np.where(both, ours, np.nan), np.where(both, theirs, np.nan)
