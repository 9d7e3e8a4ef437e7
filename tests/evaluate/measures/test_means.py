"""Harmonic means of data-set means, by hand and against published rows."""

from __future__ import annotations

import pytest

from kgedit.evaluate.measures.means import editing_score, harmonic_mean, mean_of, mean_of_classes, score


def test_by_hand() -> None:
    assert harmonic_mean((1, 0.5)) == pytest.approx(2 / 3)
    assert harmonic_mean((0.3,)) == pytest.approx(0.3)
    assert score(1, 1, 0.5) == pytest.approx(0.75)


def test_a_zero_component_gives_zero() -> None:
    assert editing_score(1.0, 1.0, 1.0, 0.0) == 0
    assert harmonic_mean((0, 0)) == 0


def test_nothing_and_negative_values_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        harmonic_mean(())
    with pytest.raises(ValueError, match=r"-0\.1"):
        harmonic_mean((0.5, -0.1))


@pytest.mark.parametrize(
    ("row", "published"),
    [
        ((99.95, 96.48, 75.44, 21.43), 49.82),  # ROME, GPT-2 XL
        ((99.84, 96.62, 76.82, 23.95), 53.24),  # GLAME, GPT-2 XL
        ((100.00, 99.30, 81.39, 33.04), 63.87),  # GLAME, GPT-J
        ((22.20, 24.70, 78.10, 10.18), 20.35),  # unedited, GPT-2 XL
    ],
)
def test_the_editing_score_reproduces_table_1(row: tuple[float, float, float, float], published: float) -> None:
    assert editing_score(*row) == pytest.approx(published, abs=0.005)


def test_means_run_over_the_cases_that_have_the_measure() -> None:
    cases = [{"a": 1.0, "h2": 1.0}, {"a": 0.0, "h2": 0.0}, {"h3": 0.2}]
    assert mean_of(cases, "a") == 0.5
    assert mean_of(cases, "b") is None
    # By class, not by case: (0.5 + 0.2) / 2; a class without cases does not count.
    assert mean_of_classes(cases, ("h2", "h3", "h4")) == pytest.approx(0.35)
    assert mean_of_classes(cases, ("h4",)) is None
