"""Lengths of a sequence of edits: which of its cases are asked at each, and how much.

After N cases all N are asked for their edits. Everything else (other wordings, neighbours, unrelated facts) costs ten
times as much, so where there are many cases, only some of them are asked it: drawn anew for each length from all cases
so far, since the oldest edits are those that later ones disturb most.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from kgedit.evaluate.benchmarks.case import BenchmarkCase, Questions
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

    def asked_unedited(self, *, recalled_only: bool) -> list[BenchmarkCase]:
        """The cases in the fullest form in which one is asked at some length.

        Args:
            recalled_only: Whether it must be known of each whether the model recalls its facts; then those that are
                asked at no length are asked that.
        """
        cases = self._cases
        if recalled_only:
            cases = tuple(case if case.brief else replace(case, brief=_recalled_alone(case)) for case in cases)
        return _asked(cases, frozenset().union(*self._whole.values()))


def _recalled_alone(case: BenchmarkCase) -> BenchmarkCase:
    """The case asked for nothing but what the model says before its edits."""
    return BenchmarkCase(
        case.id,
        case.rewrites,
        Questions(),
        lambda replies, before: {},
        # A case without edits is nothing but questions about what the model knows.
        asked_before=case.asked_before if case.rewrites else case.all_questions,
        recalled=case.recalled,
        hops=case.hops,
    )


def _asked(cases: Sequence[BenchmarkCase], whole: frozenset[int]) -> list[BenchmarkCase]:
    forms = (case if number in whole else case.brief for number, case in enumerate(cases))
    return [form for form in forms if form is not None]
