"""Reliability, generality and locality by the two protocols of the literature, each figure named for its own.

Teacher-forced figures are shares of target tokens, as EasyEdit reports them, and run well above what the model says
by itself; generated figures are whole greedy answers up to the end of the sentence or line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from kgedit.evaluate.measures.matching import Matcher, exact
from kgedit.lm.generation.greedy import Answers, Ask
from kgedit.lm.scoring.pairs import Pair, Scores
from kgedit.lm.scoring.teacher_forced import TargetScore
from kgedit.text.sentences import first_sentence


@dataclass(frozen=True)
class ProtocolProbe:
    """The prompts of one edit.

    Attributes:
        target: The edit's object y_e.
        prompts: The edit's own prompts x_e.
        rephrasings: Other wordings, N(x_e).
        locality: Pairs of an unrelated prompt and any fixed answer to it, usually the data set's. The answer only
            says along which tokens the two models are compared; it must not be the edited one.
        portability: Pairs of a prompt that follows from the edit and its answer.
        aliases: Other names of the target; count for generated answers.
    """

    target: str
    prompts: tuple[str, ...]
    rephrasings: tuple[str, ...] = ()
    locality: tuple[Pair, ...] = ()
    portability: tuple[Pair, ...] = ()
    aliases: tuple[str, ...] = ()

    def pairs(self) -> list[Pair]:
        """What is scored, on the edited and on the unedited model."""
        return [*self._own(self.prompts), *self._own(self.rephrasings), *self.locality, *self.portability]

    def asks(self) -> list[Ask]:
        """What is generated, on the edited and on the unedited model."""
        return [Ask(prompt) for prompt, _ in self.pairs()]

    def measure(self, scores: Scores, before: Scores) -> dict[str, float]:
        """`reliability_`, `generality_`, `locality_` and `portability_teacher_forced`.

        Args:
            scores: Of the model under test.
            before: Of the unedited model; locality is the share of tokens whose most probable token is the same.
        """
        values = {
            "reliability": [scores[pair].token_accuracy for pair in self._own(self.prompts)],
            "generality": [scores[pair].token_accuracy for pair in self._own(self.rephrasings)],
            "locality": [agreement(scores[pair], before[pair]) for pair in self.locality],
            "portability": [scores[pair].token_accuracy for pair in self.portability],
        }
        return _means(values, "teacher_forced")

    def judge(self, answers: Answers, before: Answers, *, match: Matcher = exact) -> dict[str, float]:
        """`reliability_`, `generality_`, `locality_` and `portability_generated`.

        Args:
            answers: Of the model under test.
            before: Of the unedited model; locality is whether both say the same.
            match: When an answer is right.
        """
        names = (self.target, *self.aliases)
        values = {
            "reliability": [match(answers[Ask(prompt)], names) for prompt in self.prompts],
            "generality": [match(answers[Ask(prompt)], names) for prompt in self.rephrasings],
            "locality": [_same(answers[Ask(prompt)], before[Ask(prompt)]) for prompt, _ in self.locality],
            "portability": [match(answers[Ask(prompt)], (answer,)) for prompt, answer in self.portability],
        }
        return _means(values, "generated")

    def _own(self, prompts: Sequence[str]) -> list[Pair]:
        return [(prompt, self.target) for prompt in prompts]


def agreement(after: TargetScore, before: TargetScore) -> float:
    """Share of places where both models find the same token most probable; NaN agrees with nothing."""
    return fmean(float(a == b != -1) for a, b in zip(after.top, before.top, strict=True))


def _same(after: str, before: str) -> bool:
    """Whether two answers have the same first sentence."""
    return first_sentence(after) == first_sentence(before)


def _means(values: dict[str, list[float]] | dict[str, list[bool]], protocol: str) -> dict[str, float]:
    return {f"{name}_{protocol}": fmean(found) for name, found in values.items() if found}
