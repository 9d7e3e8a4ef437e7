"""One case of a benchmark, ready to run: its edits, what is asked of the models, and how answers become values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kgedit.errors import EvaluationError
from kgedit.evaluate.benchmarks.counterfact.snippets import Snippets
from kgedit.evaluate.benchmarks.mquake.prompts import MquakePrompts, Style
from kgedit.evaluate.benchmarks.records import Rewrite
from kgedit.evaluate.measures.matching import MATCHERS, Matcher
from kgedit.evaluate.measures.portability import PortabilityProbe
from kgedit.evaluate.results import RECALLED, Values
from kgedit.lm.generation.greedy import Answers, Ask
from kgedit.lm.scoring.pairs import Pair, Scores


class Unusable(EvaluationError):
    """A record from which nothing can be scored under this benchmark; the run counts it and goes on."""


@dataclass(frozen=True)
class Options:
    """What is asked beyond a benchmark's standard measures.

    Attributes:
        styles: Ways in which MQuAKE's questions are put.
        prompts: The published demonstrations that some of them need.
        match: Name of the rule by which generated answers count, one of `MATCHERS`.
        generate: Sample texts as well: fluency, and portability as published.
        snippets: Reference texts, for consistency.
    """

    styles: tuple[Style, ...] = ("zero_shot",)
    prompts: MquakePrompts = field(default_factory=MquakePrompts)
    match: str = "contains"
    generate: bool = False
    snippets: Snippets | None = None

    @property
    def matcher(self) -> Matcher:
        """The rule itself."""
        return MATCHERS[self.match]


@dataclass(frozen=True)
class Questions:
    """What a model is asked about one case.

    Attributes:
        pairs: Prompts with targets, scored under teacher forcing.
        asks: Prompts continued greedily.
        texts: Prompts continued by sampling.
        fuzzy: Questions scored by the published sampling protocol.
    """

    pairs: tuple[Pair, ...] = ()
    asks: tuple[Ask, ...] = ()
    texts: tuple[str, ...] = ()
    fuzzy: PortabilityProbe | None = None


@dataclass(frozen=True)
class Replies:
    """What a model said about one case; fields as in `Questions`, `fuzzy` with the values themselves."""

    scores: Scores = field(default_factory=dict)
    answers: Answers = field(default_factory=dict)
    texts: tuple[str, ...] = ()
    fuzzy: Values = field(default_factory=dict)


@dataclass(frozen=True)
class BenchmarkCase:
    """One case, ready to run.

    Attributes:
        id: Its name in rows.
        rewrites: The facts to change.
        questions: What is asked of every model.
        judge: (what the model under test said, what the unedited one said) -> measure -> value.
        asked_before: What is asked of the unedited model beside that.
        recalled: From what the unedited model said: whether it knows the facts that the case rests on; None where the
            record does not tell them.
        judge_unedited: From what the unedited model said: measures that only it has, such as answers before the edit.
        hops: Facts in the chain after the edit.
    """

    id: str
    rewrites: tuple[Rewrite, ...]
    questions: Questions
    judge: Callable[[Replies, Replies], Values]
    asked_before: Questions = Questions()
    recalled: Callable[[Replies], bool | None] = lambda replies: None
    judge_unedited: Callable[[Replies], Values] = lambda replies: {}
    hops: int | None = None

    @property
    def all_questions(self) -> Questions:
        """All that the unedited model is asked."""
        own, extra = self.questions, self.asked_before
        return Questions((*own.pairs, *extra.pairs), (*own.asks, *extra.asks), own.texts, own.fuzzy)

    def values(self, replies: Replies, before: Replies) -> Values:
        """The values of a row."""
        return self.judge(replies, before) | replies.fuzzy

    def values_before(self, before: Replies) -> Values:
        """The values of the unedited model's row."""
        known = self.recalled(before)
        known_too = {} if known is None else {RECALLED: float(known)}
        return self.values(before, before) | self.judge_unedited(before) | known_too


def says(prompt: str, names: Sequence[str], options: Options) -> Callable[[Replies], bool]:
    """Whether a model continues a prompt with one of these names; the prompt must be among its asks."""
    return lambda replies: options.matcher(replies.answers[Ask(prompt)], names)
