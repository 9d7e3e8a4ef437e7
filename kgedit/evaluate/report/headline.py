"""The headline of a report: how much the unedited model knows, and the main difference between methods."""

from __future__ import annotations

from collections.abc import Iterable

from kgedit.evaluate.report.estimates import MIN_CASES, Comparison, Estimate
from kgedit.evaluate.results import UNEDITED

# Under this share of known cases no table is shown to people: an edit of facts that a model never knew, and
# consequences that it cannot know, are scored by chance. MQuAKE on GPT-2 XL is well above it.
LEAST_KNOWN = 0.05
_MAIN = ("reverse_accuracy", "editing_score", "multihop", "multihop_probability", "efficacy")


def meaningful(known: Estimate | None) -> bool:
    """Whether the model knows enough of the benchmark's facts for a table."""
    return known is None or known.value >= LEAST_KNOWN


def headline_of(
    suite: str, cases: int, known: Estimate | None, comparisons: Iterable[Comparison], *, unknown: int = 0
) -> str:
    """What is said first.

    Args:
        suite: Name of the benchmark.
        cases: Number of cases.
        known: Share of cases whose facts the unedited model recalls.
        comparisons: In the order of importance. The main figures of one pair are named: the leading editor with
            ROME, or else with the first other editor, or else with the unedited model.
        unknown: Cases that were left out because the unedited model does not recall their facts.
    """
    start = f"{suite}, {cases} case{'' if cases == 1 else 's'}"
    if not cases:
        told = f"; the unedited model recalls the facts of none of {unknown}" if unknown else ""
        return f"{start}: no case was run{told}"
    if known is not None:
        recalled, asked = round(known.value * known.n), known.n + unknown
        share = f"the unedited model recalls the facts of {recalled} of {asked} cases ({100 * recalled / asked:.1f} %)"
        start = f"{start}: {share}" + ("; only these are run" if unknown else "")
    if not meaningful(known):
        return f"{start}; what it does not know cannot be edited or followed, so these figures mean little"
    pair_comparisons = list(comparisons)
    pairs = list(dict.fromkeys((comparison.method, comparison.other) for comparison in pair_comparisons))
    if not pairs:
        return start
    main = min(pairs, key=lambda pair: (pair[1].partition(":")[0] != "rome", pair[1] == UNEDITED))
    named = {
        comparison.metric: comparison
        for comparison in pair_comparisons
        if (comparison.method, comparison.other) == main
    }
    said = [in_words(named[metric]) for metric in _MAIN if metric in named][:2]
    return "; ".join([start, *said])


def in_words(comparison: Comparison) -> str:
    """A comparison as a clause, in points (hundredths)."""
    method, other, metric = comparison.method, comparison.other, comparison.metric
    points = 100 * comparison.difference
    span = f"[{100 * comparison.low:+.1f}, {100 * comparison.high:+.1f}]"
    if not comparison.separated:
        why = f"; {comparison.reason}" if comparison.n < MIN_CASES else ""  # else the interval says it
        return f"{method} and {other} are not separated in {metric} ({points:+.1f} {span}{why})"
    side = "above" if points > 0 else "below"
    return f"{method} is {abs(points):.1f} points {side} {other} in {metric} {span}"
