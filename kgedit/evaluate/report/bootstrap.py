"""Paired bootstrap over cases: 95 % intervals of figures, and of the difference between two methods.

A table is (n, m): n cases, m measures, NaN where a case has no value. A figure is a function of the column means; a
resample draws n cases with replacement, the same cases for both methods of a comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from kgedit.evaluate.report.estimates import Estimate
from kgedit.evaluate.results import Values

Table = NDArray[np.float64]
Statistic = Callable[[Table], Table]  # column means (k, m) -> figures (k,)

RESAMPLES = 2000
_CHUNK = 1_000_000  # numbers drawn at a time


def table(cases: Sequence[Values], measures: Sequence[str]) -> Table:
    """Values of cases as (n, m), NaN where a case lacks a measure."""
    return np.array([[case.get(name, np.nan) for name in measures] for case in cases], dtype=np.float64).reshape(
        len(cases), len(measures)
    )


def plain(means: Table) -> Table:
    """Mean of the columns that have a value; for one column the column itself."""
    known = ~np.isnan(means)
    count = known.sum(axis=-1)
    total = np.where(known, means, 0.0).sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def harmonic(means: Table) -> Table:
    """Harmonic mean of the columns; 0 as soon as one is 0, NaN as soon as one has no value."""
    # The placeholder 1 avoids a division by zero; such rows are replaced in the last step.
    unknown = np.isnan(means).any(axis=-1)
    zero = (means <= 0).any(axis=-1)
    reciprocals = (1 / np.where(means > 0, means, 1.0)).sum(axis=-1)
    return np.where(unknown, np.nan, np.where(zero, 0.0, means.shape[-1] / reciprocals))


def interval(
    values: Table, *, statistic: Statistic = plain, seed: int = 0, resamples: int = RESAMPLES, level: float = 0.95
) -> Estimate | None:
    """A figure over cases with its percentile interval; None where no case has a value.

    Args:
        values: (n, m).
        statistic: What is made of the column means.
        seed: Of the resampling; same seed, same interval.
        resamples: How many.
        level: Share of resamples inside the interval.
    """
    return _interval([values], [1.0], statistic, seed, resamples, level)


def compare(
    ours: Table,
    theirs: Table,
    *,
    statistic: Statistic = plain,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = 0.95,
) -> Estimate | None:
    """The difference of two methods' figures over the same cases, with its interval; None without common values.

    Args:
        ours: (n, m); row i of both tables is the same case.
        theirs: (n, m).
        statistic: As in `interval`, and so the others.
        seed: Of the resampling.
        resamples: How many.
        level: Share of resamples inside the interval.

    Raises:
        ValueError: The tables have different shapes.
    """
    if ours.shape != theirs.shape:
        raise ValueError(
            f"a paired comparison needs the same cases on both sides, not {ours.shape} and {theirs.shape}"
        )
    return _interval([ours, theirs], [1.0, -1.0], statistic, seed, resamples, level)


def _interval(
    tables: Sequence[Table],
    signs: Sequence[float],
    statistic: Statistic,
    seed: int,
    resamples: int,
    level: float,
) -> Estimate | None:
    # Only cases that have a value on every side count.
    known = np.logical_and.reduce([~np.isnan(values).all(axis=1) for values in tables])
    tables = [values[known] for values in tables]
    cases = int(known.sum())
    if not cases:
        return None

    # The figure over one draw of cases: the statistic of its column means, and for a comparison their difference.
    def figure(draw: NDArray[np.int64]) -> Table:
        total: Table = np.zeros(len(draw))
        for sign, values in zip(signs, tables, strict=True):
            total = total + sign * statistic(_means(values, draw))
        return total

    value = float(figure(np.arange(cases)[np.newaxis])[0])
    if np.isnan(value):
        return None
    # Percentile interval over all resamples; those in which the figure has no value are left out.
    figures = np.concatenate([figure(draw) for draw in _draws(cases, resamples, seed)])
    low, high = np.nanquantile(figures, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value=value, low=float(low), high=float(high), n=cases)


def _draws(cases: int, resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Row indices of the resamples, (k, cases) at a time."""
    # Whole cases are drawn, since the measures of one case are not independent. Chunks bound the memory.
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK // cases)
    for start in range(0, resamples, step):
        yield rng.integers(0, cases, size=(min(step, resamples - start), cases))


def _means(values: Table, draw: NDArray[np.int64]) -> Table:
    """Column means of every resample, (k, m); NaN for a column without values."""
    known = ~np.isnan(values)
    filled = np.where(known, values, 0.0)
    # A case that lacks one measure still counts in the columns where it has a value.
    count = known.astype(np.float64)[draw].sum(axis=1)  # (k, m)
    total = filled[draw].sum(axis=1)  # (k, m)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
