"""What an adapter is trained on: the edits in several wordings, what follows from them, and what must stay."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.errors import EditError
from kgedit.graph.verbalize import Verbalizer
from kgedit.lm.generation.sampling import sample_texts
from kgedit.lm.prefixes import SEEDS
from kgedit.lm.scoring.right_answers import answers_in_sentences
from kgedit.lm.scoring.teacher_forced import score_rows
from kgedit.lm.tokens import encode_pair
from kgedit.methods.base import Case, Request, Workbench
from kgedit.methods.curriculum import Curriculum, Lesson, Question
from kgedit.methods.glame.consequences import associated_paths, made, other_facts
from kgedit.methods.invented import invented_texts
from kgedit.methods.inverse import inverse_edits
from kgedit.text.boundary import boundary
from kgedit.text.template import fill

Item = TypeVar("Item")

Encoded = tuple[tuple[int, ...], tuple[int, ...]]  # prompt ids, answer ids

_EARLIER = 2  # earlier edits that are rehearsed in a pass, for each new one
_ARTICLE = 0.5  # share of the rehearsed answers behind a space that are spelt with an article
_NEIGHBOURS = 5  # facts of the same relation around an edit
_TEXT_WORDS = 2  # of a general text, that the rest follows
_TEXT_TOKENS = 32  # of a general text
_WORDINGS = 8  # a rehearsed fact is asked for in one of its first wordings


def curriculum_of(bench: Workbench, case: Case, text: Verbalizer, *, ending: str) -> Curriculum:
    """What the edits of a case, their subgraphs and known facts give to train on, where no one supplies a curriculum.

    Raises:
        EditError: An edit prompt or its new object does not suit the tokenizer or the context.
    """
    inverses = {inverse.edit: inverse for inverse in inverse_edits(case, text)}
    changes = made([*case, *((inverse.request, None) for inverse in inverses.values())])
    staying = [fact for fact in bench.known_facts if (fact.subject, fact.relation) not in changes]
    lessons = []
    for number, (request, subgraph) in enumerate(case):
        bench.encoded(request, ending)  # what cannot be trained on is refused before anything is asked
        paths: tuple[Question, ...] = ()
        around: tuple[Question, ...] = ()
        if subgraph is not None:
            paths = _filled(request, associated_paths(bench.model, bench.tokenizer, subgraph, text, changes))
            around = _recalled(bench, _filled(request, other_facts(subgraph, text, changes)))
        alike = [fact for fact in staying if fact.relation == request.relation and fact.subject != request.subject]
        around += _neighbours(request, alike, random.Random(f"{bench.seed} {request.question}"))
        inverse = inverses[number].asked if number in inverses else ()
        invented = invented_texts(request, [(fact.subject, fact.target) for fact in alike], text)
        lessons.append(Lesson(wordings_of(request, text), paths, around, inverse, invented))
    return Curriculum(tuple(lessons), facts=tuple(wordings_of(fact, text) for fact in staying))


def with_texts(bench: Workbench, curriculum: Curriculum, count: int) -> Curriculum:
    """The curriculum with so many texts that the model samples itself, as general text to rehearse."""
    if not count:
        return curriculum
    begun = [SEEDS[number % len(SEEDS)] for number in range(count)]
    texts = sample_texts(bench.model, bench.tokenizer, begun, max_tokens=_TEXT_TOKENS, seed=bench.seed)
    cut = [text.split() for text in texts]
    return replace(
        curriculum,
        texts=tuple(
            (" ".join(words[:_TEXT_WORDS]), " ".join(words[_TEXT_WORDS:])) for words in cut if len(words) > _TEXT_WORDS
        ),
    )


def wordings_of(request: Request, text: Verbalizer) -> tuple[Question, ...]:
    """The edited fact in every wording: the edit prompt first, then the relation's statements and questions."""
    templates = [request.prompt]
    if request.relation is not None and request.relation in text:
        every = (*text.prompts((request.relation,)), *text.questions((request.relation,)))
        templates += [template for template in every if template not in templates]
    return _filled(request, [(template, request.target) for template in templates])


def epoch(
    lessons: Sequence[Lesson],
    facts: Sequence[Sequence[Question]],
    rng: random.Random,
    *,
    rehearsed: int,
    beside: int = 2,
    inverse: bool = True,
    invented: int = 0,
) -> tuple[list[Question], list[Question]]:
    """The questions of one pass.

    Args:
        lessons: The edits.
        facts: Known facts to draw from, each in all its wordings.
        rng: Draws.
        rehearsed: How many facts.
        beside: How many further wordings, paths and facts around it are asked of each lesson.
        inverse: Whether each edit is asked from its object's side as well.
        invented: How many texts with invented attributes are asked of each lesson.

    Returns:
        What is new: each edit prompt, further wordings and what follows. And what stays: facts around the edits, and
        the drawn ones, each in one of its wordings.
    """
    new: list[Question] = []
    stays: list[Question] = []
    for lesson in lessons:
        new += [lesson.wordings[0], *(lesson.inverse if inverse else ())]
        for others in (lesson.wordings[1:], lesson.paths):
            new += some(others, beside, rng)
        new += some(lesson.invented, invented, rng)
        stays += some(lesson.around, beside, rng)
    drawn = rng.sample(list(facts), min(rehearsed, len(facts)))
    stays += [wordings[rng.randrange(_WORDINGS) % len(wordings)] for wordings in drawn]
    return new, stays


def drawn(earlier: Sequence[Lesson], lessons: int, least: int, rng: random.Random) -> Sequence[Lesson]:
    """Earlier edits to rehearse in one pass: a few for each new one, so that the cost is that of what is new.

    Args:
        earlier: Edits made before.
        lessons: Number of new ones.
        least: The fewest in all.
        rng: Draws.
    """
    count = max(_EARLIER * lessons, least)
    return earlier if len(earlier) <= count else some(earlier, count, rng)


def either_spelling(model: PreTrainedModel, questions: Sequence[Question], rng: random.Random) -> list[Question]:
    """The questions with their answers spelt in one of the ways that count as right, drawn anew in each pass.

    Of a model that goes on after a name, "the United States" is as right as "United States". Which of them it says is
    not known here, and what is held along the one says nothing of the tokens along the other.

    Args:
        model: The model that answers; one that answers in sentences has one spelling.
        questions: What stays, held to the unedited model and not to the answers themselves.
        rng: Draws.
    """
    if answers_in_sentences(model):
        return list(questions)
    return [
        (prompt, f"the {answer}" if boundary(prompt, answer) and rng.random() < _ARTICLE else answer)
        for prompt, answer in questions
    ]


def encoded(
    tokenizer: PreTrainedTokenizerBase, questions: Sequence[Question], ending: str, *, longest: int
) -> Iterator[Encoded]:
    """The questions in tokens; those that cannot be written or do not fit are left out."""
    for prompt, answer in questions:
        try:
            row = encode_pair(tokenizer, prompt, f"{answer}{ending}")
        except EditError:
            continue
        if len(row[0]) + len(row[1]) <= longest:
            yield row


def some(items: Sequence[Item], count: int, rng: random.Random) -> list[Item]:
    """At most so many items, drawn without replacement."""
    return rng.sample(list(items), min(count, len(items)))


def _neighbours(request: Request, alike: Sequence[Request], rng: random.Random) -> tuple[Question, ...]:
    """Facts of the same relation of other subjects, asked in the edit's own words or in the usual ones."""
    return tuple(
        (fill(rng.choice((request.prompt, fact.prompt)), fact.subject), fact.target)
        for fact in some(alike, _NEIGHBOURS, rng)
    )


def _filled(request: Request, templates: Sequence[tuple[str, str]]) -> tuple[Question, ...]:
    return tuple((fill(template, request.subject), answer) for template, answer in templates)


def _recalled(bench: Workbench, questions: Sequence[Question]) -> tuple[Question, ...]:
    """The questions that the model answers right as it is: a fact that it does not know need not stay."""
    rows: list[Encoded] = []
    kept: list[Question] = []
    for question in questions:
        with suppress(EditError):  # a label that the tokenizer cannot write
            rows.append(encode_pair(bench.tokenizer, *question))
            kept.append(question)
    scores = score_rows(bench.model, rows)
    return tuple(question for question, score in zip(kept, scores, strict=True) if score.exact)
