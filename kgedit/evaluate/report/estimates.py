"""A figure with its interval, and the difference of two methods with its own."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from kgedit.evaluate.report import bootstrap


class Frozen(BaseModel):
    """A part of a report: it does not change, and takes no unknown field."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Estimate(Frozen):
    """A figure with its 95 % bootstrap interval; n is the number of cases it rests on."""

    value: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, found: bootstrap.Interval) -> Estimate:
        """The same as a part of a report."""
        return cls(value=found.value, low=found.low, high=found.high, n=found.n)


class Comparison(Frozen):
    """One method less another, in one metric, over the cases that both have.

    Attributes:
        metric: Name of the figure.
        method: The one.
        other: The other.
        difference: Figure of `method` less that of `other`.
        low: Lower end of its 95 % paired-bootstrap interval.
        high: Upper end.
        n: Cases that both have.
        separated: Whether the interval leaves out zero, with at least six cases.
    """

    metric: str
    method: str
    other: str
    difference: float
    low: float
    high: float
    n: int
    separated: bool

    @classmethod
    def of(cls, metric: str, method: str, other: str, found: bootstrap.Comparison) -> Comparison:
        """The same as a part of a report."""
        span = found.difference
        return cls(
            metric=metric,
            method=method,
            other=other,
            difference=span.value,
            low=span.low,
            high=span.high,
            n=span.n,
            separated=found.separated,
        )
