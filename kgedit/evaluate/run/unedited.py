"""The unedited model's answers: asked once per model, data and scoring, then read from disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.errors import EditError, SaveFailed
from kgedit.evaluate.benchmarks.case import BenchmarkCase, Replies
from kgedit.evaluate.results import LeftOut
from kgedit.evaluate.run.ask import ask_cases, from_json, to_json
from kgedit.io.atomic_files import write_files


@dataclass(frozen=True)
class Before:
    """What the unedited model said to a chunk of cases.

    Attributes:
        replies: Case -> its answers; cases that cannot be asked are absent.
        left_out: Those.
    """

    replies: dict[str, Replies] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()


class UneditedAnswers:
    """Asks the unedited model, or finds what it said before.

    A chunk is kept as one file, named for the model and for all that it was asked: so the numbers do not depend on
    which run asked first.
    """

    def __init__(self, folders: Sequence[Path], *, model_hash: str, seed: int) -> None:
        """Take the places.

        Args:
            folders: Where answers are looked for, in this order; new ones go to all that can be written.
            model_hash: Of everything that the answers depend on beside the questions.
            seed: Of sampled texts.
        """
        self._folders, self._model_hash, self._seed = folders, model_hash, seed
        self._told: dict[str, Before] = {}

    def of(self, chunk: Sequence[BenchmarkCase], model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Before:
        """What the model, which must be unedited, says to a chunk of cases."""
        found = self.find(chunk)
        return self.keep(chunk, _ask(chunk, model, tokenizer, self._seed)) if found is None else found

    def find(self, chunk: Sequence[BenchmarkCase]) -> Before | None:
        """What it said before; None if it was never asked."""
        key = self._key(chunk)
        if key in self._told:
            return self._told[key]
        for folder in self._folders:
            with suppress(OSError, ValueError, KeyError, TypeError):  # missing or damaged: asked anew
                return _parse(json.loads((folder / f"{key}.json").read_text(encoding="utf-8")))
        return None

    def keep(self, chunk: Sequence[BenchmarkCase], before: Before) -> Before:
        """Keep what it said, here and on disk."""
        key = self._key(chunk)
        self._told[key] = before
        data = {
            "seen": {case: to_json(replies) for case, replies in before.replies.items()},
            "left_out": [item.model_dump() for item in before.left_out],
        }
        for folder in self._folders:
            with suppress(SaveFailed):  # the answers are here; only the next run would have gained
                write_files(folder, {f"{key}.json": json.dumps(data).encode()})
        return before

    def _key(self, chunk: Sequence[BenchmarkCase]) -> str:
        questions = [(case.id, case.all_questions) for case in chunk]
        return hashlib.sha256(f"{self._model_hash}\n{self._seed}\n{questions!r}".encode()).hexdigest()


def reason_of(error: EditError) -> str:
    """The kind of reason under which a report counts a refused case."""
    kinds = {
        "PromptError": "a prompt does not fit into the model's context",
        "TargetError": "an object cannot be written with the model's tokenizer",
        "SubjectNotFound": "the subject is not in its prompt",
        "EditDiverged": "the optimisation diverged",
    }
    return kinds.get(type(error).__name__, f"{type(error).__name__}: the edit was refused")


def _ask(
    chunk: Sequence[BenchmarkCase], model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, seed: int
) -> Before:
    questions = [case.all_questions for case in chunk]
    try:
        answered = ask_cases(model, tokenizer, questions, seed=seed)
        return Before({case.id: replies for case, replies in zip(chunk, answered, strict=True)})
    except EditError as error:
        if len(chunk) == 1:
            return Before(
                left_out=(LeftOut(case=chunk[0].id, method=None, reason=reason_of(error), detail=str(error)),)
            )
    parts = [_ask([case], model, tokenizer, seed) for case in chunk]
    return Before(
        {case: replies for part in parts for case, replies in part.replies.items()},
        tuple(item for part in parts for item in part.left_out),
    )


def _parse(data: dict[str, object]) -> Before:
    answered, left_out = data["seen"], data["left_out"]
    if not isinstance(answered, dict) or not isinstance(left_out, list):
        raise TypeError("not a file of answers")
    return Before(
        {case: from_json(replies) for case, replies in answered.items()},
        tuple(LeftOut.model_validate(item) for item in left_out),
    )
