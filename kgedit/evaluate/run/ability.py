"""General ability of a model: multiple-choice questions that no edit speaks of.

A question is a beginning with several ways to go on, the right one first; the model is right where that is the most
probable one, by the mean log-probability of a token. Small models answer such questions, too; scores of examinations
(MMLU and the like) can be brought along in the same form.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.errors import DataError, EditError
from kgedit.lm.anatomy import context_length
from kgedit.lm.scoring.teacher_forced import Row, score_rows
from kgedit.lm.tokens import encode_pair
from kgedit.mini import MINI
from kgedit.mini.cases import Casebook
from kgedit.text.template import fill

_CHOICES = 4
_FACTS = 200  # that the bundled model is asked
_LONGEST = 64 * 2**20  # bytes of a file of questions


class ChoiceQuestion(NamedTuple):
    """A beginning, and how it may go on: the right way first."""

    prompt: str
    choices: tuple[str, ...]


def ability_questions(model: str, named: Collection[str], *, seed: int, path: Path | None) -> list[ChoiceQuestion]:
    """Questions in which none of some names occurs.

    Args:
        model: Name of the model. The bundled one is asked facts that it was trained on, among objects of the same
            relation, since it knows nothing else; others plain questions about language and the world.
        named: Labels of the edits' subjects and objects.
        seed: Draws the facts.
        path: A file of own questions instead.

    Raises:
        DataError: See `read_questions`.
    """
    if path is not None:
        found: Iterable[ChoiceQuestion] = read_questions(path)
    elif model == MINI:
        found = _of_facts(seed)
    else:
        text = files("kgedit.evaluate.run").joinpath("ability.tsv").read_text(encoding="utf-8")
        found = [_question(line) for line in text.splitlines()]
    apart = [one for one in found if not any(name and name in " ".join((one.prompt, *one.choices)) for name in named)]
    return apart[:_FACTS] if model == MINI and path is None else apart


def ability(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, questions: Sequence[ChoiceQuestion]
) -> float | None:
    """Share of questions whose right choice is the most probable; None where none can be asked.

    A question that does not fit into the context, or that the tokenizer cannot write, does not count.
    """
    longest = context_length(model)
    asked: list[list[Row]] = []
    for prompt, choices in questions:
        with suppress(EditError):
            rows: list[Row] = [encode_pair(tokenizer, prompt, choice) for choice in choices]
            if all(len(ids) + len(target) <= longest for ids, target in rows):
                asked.append(rows)
    scores = iter(score_rows(model, [row for rows in asked for row in rows]))
    right = 0
    for rows in asked:
        first, *others = [next(scores).mean_logprob for _ in rows]
        right += all(first > other for other in others)  # not where all are NaN
    return right / len(asked) if asked else None


def questions_hash(questions: Sequence[ChoiceQuestion]) -> str:
    """SHA-256 of questions."""
    return hashlib.sha256(repr([tuple(one) for one in questions]).encode()).hexdigest()


def _of_facts(seed: int) -> Iterable[ChoiceQuestion]:
    """Facts of single-valued relations, in a wording that no method optimises, in random order."""
    book, rng = Casebook(), random.Random(seed)
    single = [fact for fact in book.facts if book.text[fact.relation].single]
    for fact in rng.sample(single, len(single)):
        others = book.targets(fact)
        if len(others) >= _CHOICES - 1:
            prompt = fill(book.text.held_out((fact.relation,))[0], book.labels[fact.subject])
            chosen = (fact.object, *rng.sample(others, _CHOICES - 1))
            yield ChoiceQuestion(prompt, tuple(book.labels[one] for one in chosen))


def read_questions(path: Path) -> list[ChoiceQuestion]:
    """The questions of a file, one a line: the beginning and its choices, the right one first, with tabs between them.

    Raises:
        DataError: It cannot be read, or a line is no question.
    """
    try:
        if path.stat().st_size > _LONGEST:
            raise DataError(f"{path} is larger than {_LONGEST >> 20} MiB; questions of ability are a small file")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}); give a file of questions with --ability") from error
    found = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            question = _question(line)
            if len(question.choices) < 2 or not all(part.strip() for part in (question.prompt, *question.choices)):
                raise DataError(
                    f"{path}, line {number} is no question; a line has the beginning, the right way to go on and at "
                    "least one wrong one, with tabs between them"
                )
            found.append(question)
    if not found:
        raise DataError(f"{path} has no question")
    return found


def _question(line: str) -> ChoiceQuestion:
    prompt, *choices = line.split("\t")
    return ChoiceQuestion(prompt, tuple(choices))
