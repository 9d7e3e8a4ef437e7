"""MQuAKE's measures: are the edited facts recalled, is the whole chain, are the questions answered across it?

Edit-wise, instance-wise and multi-hop accuracy of Zhong et al. (2023), and the comparison of probabilities that
GLAME's Table 6 reports, which is another thing than multi-hop accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from kgedit.evaluate.benchmarks.counterfact.measures import more_probable
from kgedit.evaluate.benchmarks.mquake.prompts import MquakePrompts, Style, final_answer
from kgedit.evaluate.measures.matching import Matcher, contains
from kgedit.evaluate.measures.means import Values, mean_of, mean_of_classes
from kgedit.lm.generation.greedy import Answers, Ask
from kgedit.lm.scoring.fit import as_cloze
from kgedit.lm.scoring.pairs import Pair, Scores

HOPS = (2, 3, 4)


@dataclass(frozen=True)
class Hop:
    """A single fact of a chain.

    Attributes:
        cloze: A text that the answer continues.
        answers: The object and other names of it.
        question: The same as a question.
        relation: Property id; picks the demonstrations.
        edited: Whether the edit made it so: then it is asked by its cloze, without demonstrations.
    """

    cloze: str
    answers: tuple[str, ...]
    question: str = ""
    relation: str | None = None
    edited: bool = False

    def ask(self, prompts: MquakePrompts) -> Ask:
        """How this fact is asked."""
        if self.edited:
            return Ask(self.cloze)
        return prompts.single_hop(self.question, self.cloze, self.relation)


@dataclass(frozen=True)
class MquakeProbe:
    """One case.

    Attributes:
        rewrites: The edited facts, `edited` set.
        chain: All facts of the chain after the edit, C*.
        chain_before: All facts of the chain before it.
        questions: The phrasings of the multi-hop question.
        answers: The new answer and other names of it.
        answers_before: The old answer and other names of it.
    """

    rewrites: tuple[Hop, ...]
    chain: tuple[Hop, ...]
    chain_before: tuple[Hop, ...]
    questions: tuple[str, ...]
    answers: tuple[str, ...]
    answers_before: tuple[str, ...]

    @property
    def hops(self) -> int:
        """Facts in the chain after the edit."""
        return len(self.chain)

    def asks(self, prompts: MquakePrompts, styles: Sequence[Style] = ("zero_shot",)) -> list[Ask]:
        """What the edited model is asked; `asks_before` is for the unedited one."""
        single = [hop.ask(prompts) for hop in (*self.rewrites, *self.chain)]
        return single + [prompts.multi_hop(question, style) for style in styles for question in self.questions]

    def asks_before(self, prompts: MquakePrompts) -> list[Ask]:
        """The facts of the chain before the edit, for the filter of the benchmark."""
        return [hop.ask(prompts) for hop in self.chain_before]

    def judge(
        self,
        answers: Answers,
        prompts: MquakePrompts,
        styles: Sequence[Style] = ("zero_shot",),
        *,
        match: Matcher = contains,
    ) -> dict[str, float]:
        """Recall and multi-hop accuracy of one case.

        `edit_wise`: share of rewrites recalled. `instance_wise`: whether every fact of the chain is. `multihop`:
        whether one of the phrasings is answered (the published measure), `multihop_mean`: the share of them,
        `multihop_2` to `multihop_4`: `multihop` under the case's number of hops; zero-shot. Other styles have
        their name in it: `multihop_few_shot`, `multihop_few_shot_mean`, `multihop_few_shot_2` and so on.
        """
        found: dict[str, float] = {}
        if self.rewrites:
            found["edit_wise"] = fmean(match(answers[hop.ask(prompts)], hop.answers) for hop in self.rewrites)
        if self.chain:
            found["instance_wise"] = float(recalled(self.chain, answers, prompts, match=match))
        for style in styles if self.questions else ():
            name = "multihop" if style == "zero_shot" else f"multihop_{style}"
            texts = [final_answer(answers[prompts.multi_hop(q, style)], style) for q in self.questions]
            right = [match(text, self.answers) for text in texts]
            found[name] = found[f"{name}_{self.hops}"] = float(any(right))
            found[f"{name}_mean"] = fmean(right)
        return found

    def judge_before(self, answers: Answers, prompts: MquakePrompts, *, match: Matcher = contains) -> dict[str, float]:
        """`recalled_before`: whether the unedited model knows the chain; without it the other figures mean little."""
        if not self.chain_before:
            return {}
        return {"recalled_before": float(recalled(self.chain_before, answers, prompts, match=match))}

    def pairs(self) -> list[Pair]:
        """Every question, with the suffix of the paper's evaluation, with the new and the old answer."""
        both = (self.answers[0], self.answers_before[0])
        return [(as_cloze(question), answer) for question in self.questions for answer in both]

    def measure(self, scores: Scores) -> dict[str, float]:
        """The measure of GLAME's Table 6 (methods.md 5.9): P(new answer) > P(old answer), length-normalised.

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


def recalled(hops: Sequence[Hop], answers: Answers, prompts: MquakePrompts, *, match: Matcher = contains) -> bool:
    """Whether every one of these facts is recalled."""
    return all(match(answers[hop.ask(prompts)], hop.answers) for hop in hops)


def table6(cases: Sequence[Values]) -> dict[str, float]:
    """Table 6 of GLAME: one figure per number of hops, and their plain mean; classes without cases are absent."""
    names = [f"multihop_probability_{hops}" for hops in HOPS]
    found = {name: mean for name in names if (mean := mean_of(cases, name)) is not None}
    average = mean_of_classes(cases, names)
    return found if average is None else {"multihop_probability": average, **found}
