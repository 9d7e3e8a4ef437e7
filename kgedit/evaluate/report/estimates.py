"""A figure with its interval, and the difference of two methods with its own."""

from __future__ import annotations

from kgedit.evaluate.results import Frozen

# With fewer cases not even one method winning all of them is significant at 5 % (two-sided sign test, 2 / 2^n).
MIN_CASES = 6


class Estimate(Frozen):
    """A figure with its 95 % bootstrap interval; n is the number of cases it rests on."""

    value: float
    low: float
    high: float
    n: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval leaves out zero, and there are at least six cases."""
        return self.n >= MIN_CASES and (self.low > 0 or self.high < 0)


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
    def of(cls, metric: str, method: str, other: str, difference: Estimate) -> Comparison:
        """The comparison that a difference with its interval stands for."""
        return cls(
            metric=metric,
            method=method,
            other=other,
            difference=difference.value,
            low=difference.low,
            high=difference.high,
            n=difference.n,
            separated=difference.excludes_zero,
        )

    @property
    def verdict(self) -> str:
        """What reports say: "separated", or "not separated" with the reason."""
        return "separated" if self.separated else f"not separated: {self.reason}"

    @property
    def reason(self) -> str:
        """Why the difference does not count; empty if it does."""
        if self.separated:
            return ""
        few = f"{self.n} case{'' if self.n == 1 else 's'}, and under {MIN_CASES} even winning all is chance"
        return few if self.n < MIN_CASES else "the interval holds zero"


class Spread(Frozen):
    """A figure over runs that differ in their seed only.

    Attributes:
        run: Name of the runs.
        method: Label of the method.
        metric: Name of the figure.
        seeds: Seed of each run.
        values: The figure in each run.
        mean: Their mean.
        deviation: Their standard deviation (of a sample).
    """

    run: str
    method: str
    metric: str
    seeds: tuple[int, ...]
    values: tuple[float, ...]
    mean: float
    deviation: float
