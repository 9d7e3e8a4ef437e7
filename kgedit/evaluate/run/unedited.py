"""What the unedited model says to the cases: asked once per model, data and scoring, then read from disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.errors import EditError, SaveFailed
from kgedit.evaluate.benchmarks.case import BenchmarkCase, Seen
from kgedit.evaluate.results import LeftOut
from kgedit.evaluate.run.ask import cut_prompts, from_json, see, to_json
from kgedit.io.atomic_files import write_files


@dataclass(frozen=True)
class Before:
    """What the unedited model said to a chunk of cases.

    Attributes:
        seen: Case -> its answers; cases that cannot be asked are absent.
        left_out: Those.
        cut: Number of prompts that lost their beginning because the context is too short.
    """

    seen: dict[str, Seen] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()
    cut: int = 0


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

    def of(self, chunk: Sequence[BenchmarkCase], model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Before:
        """What the model, which must be unedited, says to a chunk of cases."""
        name = f"{self._key(chunk)}.json"
        for folder in self._folders:
            with suppress(OSError, ValueError, KeyError, TypeError):  # missing or damaged: asked anew
                return _parse(json.loads((folder / name).read_text(encoding="utf-8")))
        found = _ask(chunk, model, tokenizer, self._seed)
        data = {
            "seen": {case: to_json(seen) for case, seen in found.seen.items()},
            "left_out": [item.model_dump() for item in found.left_out],
            "cut": found.cut,
        }
        for folder in self._folders:
            with suppress(SaveFailed):  # the answers are here; only the next run would have gained
                write_files(folder, {name: json.dumps(data).encode()})
        return found

    def _key(self, chunk: Sequence[BenchmarkCase]) -> str:
        asked = [(case.id, case.asked_before) for case in chunk]
        return hashlib.sha256(f"{self._model_hash}\n{self._seed}\n{asked!r}".encode()).hexdigest()


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
    wanted = [case.asked_before for case in chunk]
    try:
        seen = see(model, tokenizer, wanted, seed=seed)
        return Before(
            {case.id: one for case, one in zip(chunk, seen, strict=True)}, (), cut_prompts(model, tokenizer, wanted)
        )
    except EditError as error:
        if len(chunk) == 1:
            return Before(
                left_out=(LeftOut(case=chunk[0].id, method=None, reason=reason_of(error), detail=str(error)),)
            )
    parts = [_ask([case], model, tokenizer, seed) for case in chunk]
    return Before(
        {case: seen for part in parts for case, seen in part.seen.items()},
        tuple(item for part in parts for item in part.left_out),
        sum(part.cut for part in parts),
    )


def _parse(data: dict[str, object]) -> Before:
    seen, left_out, cut = data["seen"], data["left_out"], data["cut"]
    if not isinstance(seen, dict) or not isinstance(left_out, list) or not isinstance(cut, int):
        raise TypeError("not a file of answers")
    return Before(
        {case: from_json(one) for case, one in seen.items()},
        tuple(LeftOut.model_validate(item) for item in left_out),
        cut,
    )
