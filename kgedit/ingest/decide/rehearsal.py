"""What an adapter is trained on: the changes in several wordings, what follows from them, and what must stay."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from kgedit.errors import EditError
from kgedit.ingest.decide.known_facts import FactPool, KnownFact
from kgedit.ingest.decide.probes import NEIGHBOURS
from kgedit.ingest.decide.resolved_change import ResolvedChange
from kgedit.lm.tokens import encode_target, encode_text

Question = tuple[str, str]
Encoded = tuple[tuple[int, ...], tuple[int, ...]]  # prompt ids, answer ids


@dataclass(frozen=True)
class Lesson:
    """One change as training sees it.

    Attributes:
        wordings: The new fact; the wordings that its check asks are not among them.
        paths: What follows from it.
        around: Facts of its subject and of the same relation that stay.
    """

    wordings: tuple[Question, ...]
    paths: tuple[Question, ...]
    around: tuple[Question, ...]


def lesson(item: ResolvedChange, pool: FactPool, facts: Sequence[KnownFact]) -> Lesson:
    """What is learned of one change.

    Args:
        item: The change.
        pool: Wordings of facts.
        facts: Known facts that may be rehearsed; none that a guard watches is among them.
    """
    request, probes = item.request, item.probes
    templates = [request.prompt]
    if request.relation is not None and request.relation in pool.text:
        every = (*pool.text.prompts((request.relation,)), *pool.text.questions((request.relation,)))
        templates += [template for template in every if template not in templates]
    asked = [(template.replace("{}", request.subject), request.target) for template in templates]
    wordings = tuple(pair for pair in asked if pair not in probes.wordings)
    near = [fact for fact in facts if fact.relation == request.relation and fact.subject != item.edit.subject]
    near.sort(key=lambda fact: fact.object != item.edit.target_true)
    return Lesson(wordings, probes.paths, (*probes.subject, *map(pool.question, near[:NEIGHBOURS])))


def epoch(
    lessons: Sequence[Lesson], facts: Sequence[KnownFact], pool: FactPool, rng: random.Random, *, rehearsed: int
) -> list[Question]:
    """The questions of one pass: of each change three wordings, two paths and two facts around it, and other facts.

    Args:
        lessons: The changes.
        facts: Known facts to draw from.
        pool: Their wordings.
        rng: Draws.
        rehearsed: How many facts.
    """
    questions: list[Question] = []
    for one in lessons:
        questions += [one.wordings[0], *_some(one.wordings[1:], 2, rng), *_some(one.paths, 2, rng)]
        questions += _some(one.around, 2, rng)
    drawn = rng.sample(list(facts), min(rehearsed, len(facts)))
    questions += [pool.question(fact, rng.randrange(8)) for fact in drawn]
    rng.shuffle(questions)
    return questions


def encoded(
    tokenizer: PreTrainedTokenizerBase, questions: Sequence[Question], ending: str, *, longest: int
) -> Iterator[Encoded]:
    """The questions in tokens; those that cannot be written or do not fit are left out."""
    for prompt, answer in questions:
        try:
            row = encode_text(tokenizer, prompt), encode_target(tokenizer, f"{answer}{ending}")
        except EditError:
            continue
        if len(row[0]) + len(row[1]) <= longest:
            yield row


def _some(questions: Sequence[Question], count: int, rng: random.Random) -> list[Question]:
    return rng.sample(list(questions), min(count, len(questions)))
