"""How values of cases become the figures of a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

Values = Mapping[str, float]  # measure -> value of one case


def harmonic_mean(values: Iterable[float]) -> float:
    """Harmonic mean; 0 as soon as one value is 0.

    Raises:
        ValueError: There is no value, or one is negative.
    """
    found = list(values)
    if not found:
        raise ValueError("a harmonic mean needs at least one value")
    if min(found) < 0:
        raise ValueError(f"a harmonic mean needs values of at least 0, not {min(found)}")
    return 0.0 if min(found) == 0 else len(found) / sum(1 / value for value in found)


def score(efficacy: float, paraphrase: float, neighborhood: float) -> float:
    """CounterFact's Score S: harmonic mean of the data set's ES, PS and NS, never of single cases."""
    return harmonic_mean((efficacy, paraphrase, neighborhood))


def editing_score(efficacy: float, paraphrase: float, neighborhood: float, portability: float) -> float:
    """GLAME's Editing Score (Table 1): harmonic mean of ES, PS, NS and portability of the data set."""
    return harmonic_mean((efficacy, paraphrase, neighborhood, portability))


def mean_of(cases: Sequence[Values], measure: str) -> float | None:
    """Mean of a measure over the cases that have it; None where none has."""
    found = [case[measure] for case in cases if measure in case]
    return fmean(found) if found else None


def mean_of_classes(cases: Sequence[Values], measures: Sequence[str]) -> float | None:
    """Plain mean of several measures' means, as Table 6 averages over 2, 3 and 4 hops; absent classes do not count."""
    found = [mean for measure in measures if (mean := mean_of(cases, measure)) is not None]
    return fmean(found) if found else None
