"""CounterFact's measures: is the right object more probable than the other one, by how much, and is it on top?

ES, PS and NS of Meng et al. (2022), their magnitudes, and MEMIT's accuracies. All values are shares in [0, 1], or
differences of probabilities; reports multiply by 100.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from kgedit.lm.scoring.pairs import Pair, Scores
from kgedit.lm.scoring.teacher_forced import TargetScore


def more_probable(right: TargetScore, other: TargetScore) -> bool:
    """1[P(wanted) > P(other)], length-normalised; a tie fails, and so does NaN."""
    return right.mean_logprob > other.mean_logprob


@dataclass(frozen=True)
class CounterFactProbe:
    """The prompts of one record that are scored by probability.

    Attributes:
        target_new: o*, the object that the edit asks for.
        target_true: o, the object before.
        rewrite: The edit's own prompt (several for several edits).
        paraphrase: Other wordings of it.
        neighborhood: Prompts about other subjects, whose object is and should stay o.
    """

    target_new: str
    target_true: str
    rewrite: tuple[str, ...] = ()
    paraphrase: tuple[str, ...] = ()
    neighborhood: tuple[str, ...] = ()

    def pairs(self) -> list[Pair]:
        """Every prompt with both objects."""
        prompts = (*self.rewrite, *self.paraphrase, *self.neighborhood)
        return [(prompt, target) for prompt in prompts for target in (self.target_new, self.target_true)]

    def measure(self, scores: Scores) -> dict[str, float]:
        """Per-case means of the three measures, each as success, magnitude and accuracy.

        Names: efficacy (ES), paraphrase (PS), neighborhood (NS); with `_magnitude` P(right) - P(other)
        (EM, PM, NM); with `_accuracy` the share of prompts after which greedy decoding gives the right object.
        """
        values: dict[str, float] = {}
        values |= compared("efficacy", self.rewrite, self.target_new, self.target_true, scores)
        values |= compared("paraphrase", self.paraphrase, self.target_new, self.target_true, scores)
        # Neighbours must keep the old object, so the two objects change places.
        values |= compared("neighborhood", self.neighborhood, self.target_true, self.target_new, scores)
        return values


def compared(name: str, prompts: Sequence[str], right: str, other: str, scores: Scores) -> dict[str, float]:
    """One measure as success, magnitude and accuracy; nothing without prompts."""
    if not prompts:
        return {}
    both = [(scores[prompt, right], scores[prompt, other]) for prompt in prompts]
    return {
        name: fmean(more_probable(good, bad) for good, bad in both),
        f"{name}_magnitude": fmean(good.probability - bad.probability for good, bad in both),
        f"{name}_accuracy": fmean(good.exact for good, _ in both),
    }
