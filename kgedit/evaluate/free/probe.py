"""Probes of the free protocol: a prompt, and whether what was said to it is right; every text is kept.

Two rules: `free`, the whole text up to its natural stop is one of the names and nothing else (normalised exact match);
and, for models that talk on, the rule of `--match` beside it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

from kgedit.evaluate.benchmarks.case import FollowUp, Replies
from kgedit.evaluate.free.wordings import Choice, without_echo
from kgedit.evaluate.measures.matching import MATCHERS, contains, exact, normalise
from kgedit.evaluate.results import SaidText, Values
from kgedit.lm.generation.greedy import Ask
from kgedit.text.answer import leading_name
from kgedit.text.sentences import first_sentence

FREE = "free"


@dataclass(frozen=True)
class NameProbe:
    """A prompt that is answered by a name.

    Attributes:
        figure: Name of the figure that it counts for.
        ask: The prompt.
        statement: The text whose repetition is no part of the answer.
        names: Names of the right object.
        absent: The right answer has none of these names in it, whatever the rule.
    """

    figure: str
    ask: Ask | FollowUp
    statement: str
    names: tuple[str, ...]
    absent: bool = False

    def judged(self, replies: Replies, before: Replies, match: str) -> SaidText:
        """What was said, and whether it is right by each rule."""
        said = replies.text(self.ask)
        answer = without_echo(said, self.statement)
        verdicts = {
            _ending(rule): not contains(answer, self.names) if self.absent else MATCHERS[rule](answer, self.names)
            for rule in ("exact", match)
        }
        return _said(self.figure, replies, self.ask, self.names, verdicts)


@dataclass(frozen=True)
class ChoiceProbe:
    """A question with lettered answers, of which the new object is right."""

    figure: str
    ask: Ask
    choice: Choice

    def judged(self, replies: Replies, before: Replies, match: str) -> SaidText:
        """What was said, and whether it chooses the right answer."""
        right = self.choice.chosen(replies.text(self.ask)) == self.choice.right
        return _said(self.figure, replies, self.ask, (self.choice.options[self.choice.right],), {FREE: right})


@dataclass(frozen=True)
class LocalityProbe:
    """A prompt to which the model must say what it said unedited."""

    figure: str
    ask: Ask

    def judged(self, replies: Replies, before: Replies, match: str) -> SaidText:
        """What was said, and whether it is what the unedited model said: the sentence, and the name in it."""
        said, was = first_sentence(replies.text(self.ask)), first_sentence(before.text(self.ask))
        same = normalise(said) == normalise(was)
        verdicts = {FREE: same}
        if match != "exact":
            name = leading_name(was, lambda text: False)
            verdicts[_ending(match)] = same or (bool(name) and MATCHERS[match](said, (name,)))
        return _said(self.figure, replies, self.ask, (was,), verdicts)


FreeProbe = NameProbe | ChoiceProbe | LocalityProbe


def judge_all(probes: Iterable[FreeProbe], replies: Replies, before: Replies, match: str) -> tuple[SaidText, ...]:
    """Every text of a case with its verdicts."""
    return tuple(probe.judged(replies, before, match) for probe in probes)


def figures_of(texts: Iterable[SaidText]) -> Values:
    """Each figure of a case, the mean over its prompts, under each rule: `efficacy_free`, `efficacy_free_contains`."""
    found: dict[str, list[float]] = {}
    for text in texts:
        for rule, right in text.right.items():
            found.setdefault(f"{text.figure}_{rule}", []).append(float(right))
    return {name: fmean(values) for name, values in found.items()}


def _ending(rule: str) -> str:
    """What a figure under a rule of matching ends in."""
    return FREE if MATCHERS[rule] is exact else f"{FREE}_{rule}"


def _said(
    figure: str, replies: Replies, ask: Ask | FollowUp, wanted: tuple[str, ...], right: dict[str, bool]
) -> SaidText:
    prompt = replies.asked(ask).prompt
    return SaidText(figure=figure, prompt=prompt, said=replies.text(ask), wanted=wanted, right=right)
