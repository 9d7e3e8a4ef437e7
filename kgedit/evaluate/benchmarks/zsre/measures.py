"""zsRE's accuracies as ROME and MEMIT report them: shares of target tokens that are on top, gold tokens given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from kgedit.lm.scoring.pairs import Pair, Scores


@dataclass(frozen=True)
class ZsreProbe:
    """The prompts of one zsRE record.

    Attributes:
        target_new: The answer that the edit asks for (`alt`).
        rewrite: The edit's own questions.
        paraphrase: Their rephrasings.
        locality: Pairs of an unrelated question (see `locality_prompt`) and the data set's answer to it.
    """

    target_new: str
    rewrite: tuple[str, ...] = ()
    paraphrase: tuple[str, ...] = ()
    locality: tuple[Pair, ...] = ()

    def pairs(self) -> list[Pair]:
        """Every prompt with its right answer."""
        own = [(prompt, self.target_new) for prompt in (*self.rewrite, *self.paraphrase)]
        return [*own, *self.locality]

    def measure(self, scores: Scores) -> dict[str, float]:
        """`zsre_efficacy`, `zsre_generality` and `zsre_specificity`.

        Specificity is an absolute accuracy against the data set, low for the unedited model too; prompts of
        one measure weigh alike.
        """
        values: dict[str, float] = {}
        values |= _accuracy("zsre_efficacy", [(prompt, self.target_new) for prompt in self.rewrite], scores)
        values |= _accuracy("zsre_generality", [(prompt, self.target_new) for prompt in self.paraphrase], scores)
        return values | _accuracy("zsre_specificity", self.locality, scores)


def locality_prompt(text: str) -> str:
    """A NaturalQuestions question as the benchmark asks it: its "nq question: " stays, a "?" is put behind it."""
    text = text.strip()
    return text if text.endswith("?") else f"{text}?"


def _accuracy(name: str, pairs: Sequence[Pair], scores: Scores) -> dict[str, float]:
    return {name: fmean(scores[pair].token_accuracy for pair in pairs)} if pairs else {}
