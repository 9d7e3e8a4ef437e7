"""MQuAKE's measures: are the edited facts recalled, is the whole chain, are the questions answered across it?

Edit-wise, instance-wise and multi-hop accuracy of Zhong et al. (2023), and the comparison of probabilities that
GLAME's Table 6 reports, which is not the same as multi-hop accuracy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import NamedTuple

from kgedit.evaluate.benchmarks.counterfact.measures import more_probable
from kgedit.evaluate.benchmarks.mquake.prompts import MquakePrompts, Style, final_answer
from kgedit.evaluate.measures.cloze import as_cloze
from kgedit.evaluate.measures.matching import Matcher, contains
from kgedit.lm.generation.greedy import Answers, Ask
from kgedit.lm.scoring.pairs import Pair, Scores

HOPS = (2, 3, 4)


class SingleHop(NamedTuple):
    """One fact asked by itself: the prompt, and the names that count as its object."""

    ask: Ask
    names: tuple[str, ...]


@dataclass(frozen=True)
class MquakeProbe:
    """One case.

    Attributes:
        rewrites: The edited facts.
        questions: The phrasings of the multi-hop question.
        answers: The new answer and other names of it.
        hops: Facts in the chain after the edit; None where the file does not say.
        chain: All facts of the chain after the edit, C*.
        chain_before: All facts of the chain before it.
        answers_before: The old answer and other names of it.
        prompts: Demonstrations for the styles that need some.
        styles: Ways in which the multi-hop question is put.
    """

    rewrites: tuple[SingleHop, ...]
    questions: tuple[str, ...]
    answers: tuple[str, ...]
    hops: int | None
    chain: tuple[SingleHop, ...] = ()
    chain_before: tuple[SingleHop, ...] = ()
    answers_before: tuple[str, ...] = ()
    prompts: MquakePrompts = field(default_factory=MquakePrompts)
    styles: tuple[Style, ...] = ("zero_shot",)

    def asks(self) -> list[Ask]:
        """What the edited model is asked; `asks_before` is for the unedited one."""
        single = [fact.ask for fact in (*self.rewrites, *self.chain)]
        return single + [self.prompts.multi_hop(text, style) for style in self.styles for text in self.questions]

    def asks_before(self) -> list[Ask]:
        """The facts of the chain before the edit, for the filter of the benchmark."""
        return [fact.ask for fact in self.chain_before]

    def judge(self, answers: Answers, *, match: Matcher = contains) -> dict[str, float]:
        """Recall and multi-hop accuracy of one case.

        `edit_wise`: share of rewrites recalled. `instance_wise`: whether every fact of the chain is. `multihop`:
        whether one of the phrasings is answered (the published measure), `multihop_mean`: the share of them,
        `multihop_2` to `multihop_4`: `multihop` under the case's number of hops; zero-shot. Other styles have
        their name in it: `multihop_few_shot`, `multihop_few_shot_mean`, `multihop_few_shot_2` and so on.
        """
        values: dict[str, float] = {}
        if self.rewrites:
            values["edit_wise"] = fmean(match(answers[fact.ask], fact.names) for fact in self.rewrites)
        if self.chain:
            values["instance_wise"] = float(recalled(self.chain, answers, match=match))
        for style in self.styles if self.questions else ():
            name = "multihop" if style == "zero_shot" else f"multihop_{style}"
            values |= self._multi_hop(name, style, self.answers, answers, match)
        return values

    def judge_before(self, answers: Answers, *, match: Matcher = contains) -> dict[str, float]:
        """`recalled_before`: whether the unedited model knows the chain; without it the other figures mean little."""
        if not self.chain_before:
            return {}
        return {"recalled_before": float(recalled(self.chain_before, answers, match=match))}

    def judge_questions_before(self, answers: Answers, *, match: Matcher = contains) -> dict[str, float]:
        """`multihop_before` and the like: the multi-hop questions with their answers before the edit.

        Of the unedited model: the accuracy before any edit that the published tables have beside the one after.
        """
        values: dict[str, float] = {}
        for style in self.styles if self.questions and self.answers_before else ():
            name = "multihop_before" if style == "zero_shot" else f"multihop_{style}_before"
            values |= self._multi_hop(name, style, self.answers_before, answers, match)
        return values

    def _multi_hop(
        self, name: str, style: Style, right_names: Sequence[str], answers: Answers, match: Matcher
    ) -> dict[str, float]:
        said = [answers[self.prompts.multi_hop(question, style)] for question in self.questions]
        # Zhong et al. (2023): a case is right if any one phrasing of its question is answered.
        right = [match(final_answer(text, style), right_names) for text in said]
        by_hops = {f"{name}_{self.hops}": float(any(right))} if self.hops else {}
        return {name: float(any(right)), **by_hops, f"{name}_mean": fmean(right)}

    def pairs(self) -> list[Pair]:
        """Every question, with the suffix of the paper's evaluation, with the new and the old answer."""
        both = (self.answers[0], self.answers_before[0])
        return [(as_cloze(question), answer) for question in self.questions for answer in both]

    def measure(self, scores: Scores) -> dict[str, float]:
        """The measure of GLAME's Table 6 (Zhang et al., 2024): P(new answer) > P(old answer), length-normalised.

        `multihop_probability`: mean over the phrasings, `multihop_probability_2` to `_4` the same under the case's
        number of hops, `multihop_probability_any`: for one of them; `multihop_argmax`: share of phrasings
        after which greedy decoding gives the new answer.
        """
        if not self.questions:
            return {}
        new, old = self.answers[0], self.answers_before[0]
        prompts = [as_cloze(question) for question in self.questions]
        right = [more_probable(scores[prompt, new], scores[prompt, old]) for prompt in prompts]
        return {
            "multihop_probability": fmean(right),
            f"multihop_probability_{self.hops}": fmean(right),
            "multihop_probability_any": float(any(right)),
            "multihop_argmax": fmean(scores[prompt, new].exact for prompt in prompts),
        }


def recalled(facts: Iterable[SingleHop], answers: Answers, *, match: Matcher = contains) -> bool:
    """Whether every one of these facts is recalled."""
    return all(match(answers[fact.ask], fact.names) for fact in facts)
