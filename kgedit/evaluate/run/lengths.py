"""Lengths of a sequence of edits: which of its cases are asked at each, and how much.

After N cases all N are asked for their edits. Everything else (other wordings, neighbours, unrelated facts) costs ten
times as much, so where there are many cases, only some of them are asked it: drawn anew for each length from all cases
so far, since the oldest edits are those that later ones disturb most.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from kgedit.evaluate.benchmarks.case import BenchmarkCase
from kgedit.evaluate.run.disturbed import disturbed, marked


class Lengths:
    """The cases of a sequence, in their order, and those of each length."""

    def __init__(self, cases: Sequence[BenchmarkCase], lengths: Sequence[int], *, most: int, seed: int) -> None:
        """Draw.

        Args:
            cases: As many as the longest length, in the order in which they are edited.
            lengths: Ascending.
            most: The most cases that are asked everything at a length.
            seed: Of the draw, which is the same at a length whatever lengths there are beside it.
        """
        self._cases, self.lengths = tuple(cases), tuple(lengths)
        self._whole: dict[int, frozenset[int]] = {}
        self._disturbed = {length: disturbed(self.until(length)) for length in lengths}
        for length in lengths:
            rng = random.Random(f"{seed} {length}")
            self._whole[length] = frozenset(rng.sample(range(length), min(most, length)))

    def until(self, length: int) -> tuple[BenchmarkCase, ...]:
        """The cases whose edits the model carries at a length."""
        return self._cases[:length]

    def asked(self, length: int) -> list[BenchmarkCase]:
        """The cases in the form in which they are asked; those without a brief form are left out where it is due.

        Where the edits of some change the answers of others, each says whether it is one of these.
        """
        cases, changed = _asked(self.until(length), self._whole[length]), self._disturbed[length]
        return [marked(case, others_change=case.id in changed) for case in cases] if changed else cases

    def asked_all(self, length: int) -> frozenset[str]:
        """Ids of the cases that are asked everything."""
        return frozenset(self._cases[number].id for number in self._whole[length])

    def asked_unedited(self) -> list[BenchmarkCase]:
        """The cases in the fullest form in which one is asked at some length."""
        return _asked(self._cases, frozenset().union(*self._whole.values()))


def _asked(cases: Sequence[BenchmarkCase], whole: frozenset[int]) -> list[BenchmarkCase]:
    forms = (case if number in whole else case.brief for number, case in enumerate(cases))
    return [form for form in forms if form is not None]
