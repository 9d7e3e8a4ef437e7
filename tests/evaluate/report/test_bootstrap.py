"""Intervals by paired resampling: known cases by hand, coverage, pairing, and what may be called separated."""

from __future__ import annotations

import numpy as np
import pytest

from kgedit.evaluate.report.bootstrap import compare, harmonic, interval, plain, table
from kgedit.evaluate.report.estimates import Estimate


def estimate(value: float, low: float, high: float, n: int) -> Estimate:
    return Estimate.model_construct(value=value, low=low, high=high, n=n)


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=float).reshape(-1, 1)


def test_tables_have_nan_where_a_case_lacks_a_measure() -> None:
    found = table([{"a": 1.0, "b": 0.5}, {"b": 0.25}], ["a", "b"])
    np.testing.assert_array_equal(found, [[1.0, 0.5], [np.nan, 0.25]])
    assert table([], ["a", "b"]).shape == (0, 2)


def test_statistics_of_column_means() -> None:
    means = np.array([[1.0, 0.5], [0.0, 0.5], [np.nan, 0.5], [np.nan, np.nan]])
    np.testing.assert_allclose(plain(means), [0.75, 0.25, 0.5, np.nan])
    np.testing.assert_allclose(harmonic(means), [2 / 3, 0.0, np.nan, np.nan])


def test_values_that_do_not_vary_have_no_width() -> None:
    assert interval(column(0.5, 0.5, 0.5)) == estimate(0.5, 0.5, 0.5, 3)


def test_the_interval_of_two_cases_by_hand() -> None:
    # Resamples of (0, 1) have means 0, 1/2, 1 with chances 1/4, 1/2, 1/4.
    assert interval(column(0, 1)) == estimate(0.5, 0.0, 1.0, 2)
    assert interval(column(0, 1), level=0.4) == estimate(0.5, 0.5, 0.5, 2)


def test_it_agrees_with_the_normal_interval_for_many_cases() -> None:
    values = np.random.default_rng(3).normal(size=(800, 1))
    found = interval(values, resamples=4000)
    width = 1.96 * values.std() / np.sqrt(800)
    assert found is not None
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - width, abs=0.1 * width)
    assert found.high == pytest.approx(values.mean() + width, abs=0.1 * width)


def test_same_seed_same_interval() -> None:
    values = np.random.default_rng(0).random((50, 1))
    assert interval(values, seed=5) == interval(values, seed=5)
    assert interval(values, seed=5) != interval(values, seed=6)


def test_cases_without_a_value_do_not_count() -> None:
    found = interval(column(1, np.nan, 0, 1, np.nan))
    assert found is not None
    assert (found.value, found.n) == (pytest.approx(2 / 3), 3)
    assert interval(column(np.nan, np.nan)) is None
    assert interval(np.empty((0, 1))) is None


def test_a_mean_of_means_is_taken_anew_in_every_resample() -> None:
    # The second column is 0 in some resamples: their harmonic mean is 0, never a division by zero.
    values = np.array([[1.0, 0.0], [1.0, 1.0]])
    assert interval(values, statistic=harmonic) == estimate(pytest.approx(2 / 3), 0.0, 1.0, 2)


def test_classes_of_cases_may_vanish_from_a_resample() -> None:
    two, three = [[1.0, np.nan]] * 5, [[np.nan, 0.5]]
    found = interval(np.array(two + three))
    assert found == estimate(0.75, pytest.approx(0.75), 1.0, 6)  # only 2-hop cases drawn: 1.0


def test_resamples_without_a_figure_are_left_out() -> None:
    values = np.array([[1.0, np.nan]] * 3 + [[1.0, 0.5]])  # three resamples in ten lack the second column
    assert interval(values, statistic=harmonic) == estimate(pytest.approx(2 / 3), pytest.approx(2 / 3), 2 / 3, 4)


def test_pairing_finds_a_difference_that_separate_intervals_hide() -> None:
    noise = np.random.default_rng(1).normal(scale=10, size=(60, 1))
    ours, theirs = noise + 1.0, noise
    one, other = interval(ours), interval(theirs)
    assert one is not None
    assert other is not None
    assert one.low < other.high
    found = compare(ours, theirs)
    assert found is not None
    assert found == estimate(pytest.approx(1.0), pytest.approx(1.0), pytest.approx(1.0), 60)
    assert found.excludes_zero


def test_an_interval_that_touches_zero_is_not_separated() -> None:
    same = column(*[1, 0] * 10)
    assert not compare(same, same).excludes_zero
    ours = column(*[1] * 3, *[0] * 17)  # three wins in twenty: some resamples have none
    found = compare(ours, np.zeros((20, 1)))
    assert found.value == pytest.approx(0.15)
    assert found.low == 0
    assert not found.excludes_zero
    worse = compare(np.zeros((20, 1)), column(*[1] * 10, *[0] * 10))
    assert worse.high < 0
    assert worse.excludes_zero


def test_too_few_cases_are_never_separated() -> None:
    assert not compare(np.ones((5, 1)), np.zeros((5, 1))).excludes_zero
    assert compare(np.ones((6, 1)), np.zeros((6, 1))).excludes_zero


def test_only_common_cases_are_compared() -> None:
    found = compare(column(1, 1, np.nan), column(0, np.nan, 0))
    assert found == estimate(1.0, 1.0, 1.0, 1)
    assert compare(column(1, np.nan), column(np.nan, 1)) is None
    with pytest.raises(ValueError, match="the same cases"):
        compare(column(1, 1), column(1))


def test_compound_figures_are_compared_as_a_whole() -> None:
    rng = np.random.default_rng(2)
    ours, theirs = rng.random((40, 4)), rng.random((40, 4))
    found = compare(ours, theirs, statistic=harmonic)
    expected = 4 / (1 / ours.mean(0)).sum() - 4 / (1 / theirs.mean(0)).sum()
    assert found.value == pytest.approx(expected)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(7)
    held = 0
    for seed in range(200):
        found = interval((rng.random((40, 1)) < 0.6).astype(float), seed=seed, resamples=400)
        held += found.low <= 0.6 <= found.high
    assert 0.90 <= held / 200 <= 0.99
