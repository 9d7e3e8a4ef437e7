"""The first line of a report: can these figures mean anything for this model, and which difference is the main one?"""

from __future__ import annotations

from collections.abc import Iterable

from kgedit.evaluate.report.estimates import Comparison, Estimate
from kgedit.evaluate.results import UNEDITED

# Under this share of known cases no table is shown to people: an edit of facts that a model never knew, and
# consequences that it cannot know, are scored by chance. MQuAKE on GPT-2 XL is well above it.
LEAST_KNOWN = 0.05
_MAIN = ("editing_score", "multihop", "multihop_probability", "efficacy")


def meaningful(known: Estimate | None) -> bool:
    """Whether the model knows enough of the suite's facts for a table."""
    return known is None or known.value >= LEAST_KNOWN


def headline_of(suite: str, cases: int, known: Estimate | None, comparisons: Iterable[Comparison]) -> str:
    """What is said first.

    Args:
        suite: Name of the suite.
        cases: Number of cases.
        known: Share of cases whose facts the unedited model recalls.
        comparisons: In the order of importance. The main figures of one pair are named: the leading editor with
            ROME, or else with the first other editor, or else with the unedited model.
    """
    start = f"{suite}, {cases} case{'' if cases == 1 else 's'}"
    if not cases:
        return f"{start}: no case was run"
    if known is not None:
        share = f"the unedited model recalls the facts of {round(known.value * known.n)} of {known.n} cases"
        start = f"{start}: {share} ({100 * known.value:.1f} %)"
    if not meaningful(known):
        return f"{start}; what it does not know cannot be edited or followed, so these figures mean little"
    found = list(comparisons)
    pairs = list(dict.fromkeys((one.method, one.other) for one in found))
    if not pairs:
        return start
    main = min(pairs, key=lambda pair: (pair[1].partition(":")[0] != "rome", pair[1] == UNEDITED))
    named = {one.metric: one for one in found if (one.method, one.other) == main}
    said = [in_words(named[metric]) for metric in _MAIN if metric in named][:2]
    return "; ".join([start, *said])


def in_words(one: Comparison) -> str:
    """A comparison as a clause, in points (hundredths)."""
    span = f"[{100 * one.low:+.1f}, {100 * one.high:+.1f}]"
    if not one.separated:
        return f"{one.method} and {one.other} are not separated in {one.metric} ({100 * one.difference:+.1f} {span})"
    side = "above" if one.difference > 0 else "below"
    return f"{one.method} is {abs(100 * one.difference):.1f} points {side} {one.other} in {one.metric} {span}"
