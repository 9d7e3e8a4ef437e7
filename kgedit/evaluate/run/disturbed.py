"""Cases whose answer another case's edit changes, when the edits of all are in force at once.

Records of a benchmark are made one by one: a fact on the chain of one may be edited by another, or two may edit one
fact to different objects. With both edits in the model the answer that the file gives is no longer right, or cannot be
told ("MQuAKE-Remastered", 2025). So these cases are marked, and figures are given with and without them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from kgedit.evaluate.benchmarks.case import BenchmarkCase, Replies, StatedFact
from kgedit.evaluate.results import Values

DISTURBED, UNDISTURBED = "disturbed", "undisturbed"
# Figures that are given without these cases as well; those of the multi-hop questions begin with the last one.
_FIGURES = ("efficacy", "efficacy_free", "edit_wise", "instance_wise")
_MULTIHOP = "multihop"


def disturbed(cases: Sequence[BenchmarkCase]) -> frozenset[str]:
    """Ids of the cases with a fact, edited or on their chain, to which the edit of another gives another object."""
    edits: dict[tuple[str, ...], list[tuple[str, frozenset[str]]]] = defaultdict(list)
    for case in cases:
        for rewrite in case.rewrites:
            made = StatedFact.made_by(rewrite)
            for key in made.keys:
                edits[key].append((case.id, made.objects))
    return frozenset(
        case.id
        for case in cases
        for fact in (*map(StatedFact.made_by, case.rewrites), *case.chain)
        for key in fact.keys
        for other, objects in edits.get(key, ())
        if other != case.id and not objects & fact.objects
    )


def marked(case: BenchmarkCase, *, others_change: bool) -> BenchmarkCase:
    """The case, whose values say whether it is disturbed, and hold some figures a second time if it is not.

    Args:
        case: The case.
        others_change: Whether another case's edit changes its answer.
    """

    def judge(replies: Replies, before: Replies) -> Values:
        values = case.judge(replies, before)
        kept = (
            {} if others_change else {f"{name}_{UNDISTURBED}": value for name, value in values.items() if _twice(name)}
        )
        return {**values, **kept, DISTURBED: float(others_change)}

    return replace(case, judge=judge)


def _twice(name: str) -> bool:
    return name in _FIGURES or (name.startswith(_MULTIHOP) and "probability" not in name)
