"""One case of a benchmark, ready to run: its edits, what is asked of the models, and how answers become values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from kgedit.errors import EvaluationError
from kgedit.evaluate.benchmarks.counterfact.snippets import Snippets
from kgedit.evaluate.benchmarks.mquake.prompts import MquakePrompts, Style
from kgedit.evaluate.benchmarks.records import Rewrite
from kgedit.evaluate.measures.matching import MATCHERS, Matcher
from kgedit.evaluate.measures.portability import PortabilityProbe
from kgedit.evaluate.results import RECALLED, SaidText, Values
from kgedit.lm.generation.greedy import Answers, Ask
from kgedit.lm.scoring.pairs import Pair, Scores

# zsRE's edits write the other answer `alt` (MEND), or the first right one (ROME's and MEMIT's loaders).
ZsreTarget = Literal["alt", "answer"]


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
        zsre_target: Which answer zsRE's edits write.
    """

    styles: tuple[Style, ...] = ("zero_shot",)
    prompts: MquakePrompts = field(default_factory=MquakePrompts)
    match: str = "contains"
    generate: bool = False
    snippets: Snippets | None = None
    zsre_target: ZsreTarget = "alt"

    @property
    def matcher(self) -> Matcher:
        """The rule itself."""
        return MATCHERS[self.match]


class StatedFact(NamedTuple):
    """A fact with all that a file has to tell it from others.

    Attributes:
        keys: Ways of naming subject and relation; facts that share one are about the same.
        objects: Names of the object; facts that share one say the same of it.
    """

    keys: frozenset[tuple[str, ...]]
    objects: frozenset[str]

    @classmethod
    def of(
        cls,
        *,
        subjects: Iterable[str | None],
        relation: str | None,
        statement: str | None,
        objects: Iterable[str | None],
    ) -> StatedFact:
        """The fact.

        Args:
            subjects: Item and labels of the subject.
            relation: The property; without it only the statement names the fact.
            statement: The fact's own prompt, up to its object.
            objects: Item and labels of the object.
        """
        named = {(subject.casefold(), relation) for subject in subjects if subject and relation}
        worded = {(statement.casefold(),)} if statement else set()
        return cls(frozenset({*named, *worded}), frozenset(name.casefold() for name in objects if name))

    @classmethod
    def made_by(cls, rewrite: Rewrite) -> StatedFact:
        """The fact that an edit makes."""
        return cls.of(
            subjects=(rewrite.subject_id, rewrite.subject),
            relation=rewrite.relation_id,
            statement=rewrite.text,
            objects=(rewrite.target_new_id, rewrite.target_new),
        )


class FollowUp(NamedTuple):
    """A prompt that holds the model's own answer to an earlier one.

    Attributes:
        first: The earlier prompt.
        before: The text before that answer.
        behind: The text behind it.
        limit: The most new tokens of the answer to it all, which ends with its sentence.
    """

    first: Ask
    before: str
    behind: str
    limit: int = 20

    def then(self, answers: Answers) -> Ask:
        """The second prompt, once the first is answered."""
        return Ask(f"{self.before}{answers[self.first]}{self.behind}", self.limit, "sentence")


@dataclass(frozen=True)
class Questions:
    """What a model is asked about one case.

    Attributes:
        pairs: Prompts with targets, scored under teacher forcing.
        asks: Prompts continued greedily.
        texts: Prompts continued by sampling.
        fuzzy: Questions scored by the published sampling protocol.
        follow_ups: Prompts that hold the answer to an earlier one; continued greedily.
    """

    pairs: tuple[Pair, ...] = ()
    asks: tuple[Ask, ...] = ()
    texts: tuple[str, ...] = ()
    fuzzy: PortabilityProbe | None = None
    follow_ups: tuple[FollowUp, ...] = ()

    def __add__(self, more: Questions) -> Questions:
        """All of both; of sampled texts only those of the first."""
        return Questions(
            (*self.pairs, *more.pairs),
            (*self.asks, *more.asks),
            self.texts,
            self.fuzzy,
            (*self.follow_ups, *more.follow_ups),
        )


@dataclass(frozen=True)
class Replies:
    """What a model said about one case; fields as in `Questions`, `fuzzy` with the values themselves.

    The answers are those to `asks`, and to both prompts of every follow-up.
    """

    scores: Scores = field(default_factory=dict)
    answers: Answers = field(default_factory=dict)
    texts: tuple[str, ...] = ()
    fuzzy: Values = field(default_factory=dict)

    def asked(self, prompt: Ask | FollowUp) -> Ask:
        """The prompt as it was put in the end."""
        return prompt.then(self.answers) if isinstance(prompt, FollowUp) else prompt

    def text(self, prompt: Ask | FollowUp) -> str:
        """What was said to it."""
        return self.answers[self.asked(prompt)]


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
            record does not tell them. Of a case with edits it reads the answers to `asked_before` alone.
        judge_unedited: From what the unedited model said: measures that only it has, such as answers before the edit.
        hops: Facts in the chain after the edit.
        paraphrases: Other wordings of the first rewrite, for the free protocol; so are the next four.
        neighbours: Prompts about other subjects that have the old object.
        unrelated: Prompts about something else.
        subject_facts: Prompts about other facts of the subject; without any, the graph's are asked.
        target_names: For each rewrite the names of its new object that the record tells; empty if it tells none.
        texts: What the model under test said, text by text with its verdict, as far as the report shows it.
        chain: Facts that its answers rest on beside those that it edits.
        brief: The same case asked for its edits alone, for sequences too long to ask every case everything; None where
            there is no such form.
    """

    id: str
    rewrites: tuple[Rewrite, ...]
    questions: Questions
    judge: Callable[[Replies, Replies], Values]
    asked_before: Questions = Questions()
    recalled: Callable[[Replies], bool | None] = lambda replies: None
    judge_unedited: Callable[[Replies], Values] = lambda replies: {}
    hops: int | None = None
    paraphrases: tuple[str, ...] = ()
    neighbours: tuple[str, ...] = ()
    unrelated: tuple[str, ...] = ()
    subject_facts: tuple[str, ...] = ()
    target_names: tuple[tuple[str, ...], ...] = ()
    texts: Callable[[Replies, Replies], tuple[SaidText, ...]] = lambda replies, before: ()
    chain: tuple[StatedFact, ...] = ()
    brief: BenchmarkCase | None = None

    @property
    def all_questions(self) -> Questions:
        """All that the unedited model is asked."""
        return self.questions + self.asked_before

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
