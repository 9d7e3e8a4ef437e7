"""Drafts of cases, of which those become cases whose facts the unedited model recalls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import torch

from kgedit.errors import DataError
from kgedit.evaluate.benchmarks.records import Record
from kgedit.evaluate.made.asking import AskingWorkers, Question, in_pieces
from kgedit.lm.load import load_model
from kgedit.lm.scoring.exact_answers import exact_answers
from kgedit.mini import MINI
from kgedit.progress import Progress

Slot = TypeVar("Slot")

CHUNK = 1024


@dataclass(frozen=True)
class Draft:
    """A case that counts only if the unedited model answers everything it rests on.

    Attributes:
        record: The case; its number is given later.
        known: Pairs of prompt and answer, as they are before the edit.
    """

    record: Record
    known: tuple[Question, ...]


class RecallFilter:
    """Asks the unedited model each question once: exact greedy answers, the whole name and nothing behind it."""

    def __init__(
        self, folder: Path | None = None, progress: Progress | None = None, workers: AskingWorkers | None = None
    ) -> None:
        """Load the model.

        Args:
            folder: Folder of the model; the bundled one by default.
            progress: Called with (what, done, total).
            workers: Ask the same model in the place of this process.
        """
        self.model, self.tokenizer = load_model(str(folder) if folder else MINI, dtype=torch.float32)
        self.progress, self._workers = progress, workers
        self._verdicts: dict[Question, bool] = {}

    def known(self, drafts: Sequence[Draft]) -> list[bool]:
        """Whether all that a draft rests on is recalled, for each."""
        questions = dict.fromkeys(question for draft in drafts for question in draft.known)
        # Texts of about the same length share a batch; the order is fixed, and so are the verdicts.
        new = sorted(
            (question for question in questions if question not in self._verdicts), key=lambda q: (len(q[0]), q)
        )
        verdicts: list[bool] = []
        for told, of_piece in in_pieces(new, CHUNK, partial(exact_answers, self.model, self.tokenizer), self._workers):
            verdicts += of_piece
            if self.progress:
                self.progress("asking the model what it knows", told, len(new))
        self._verdicts |= zip(new, verdicts, strict=True)
        return [all(self._verdicts[question] for question in draft.known) for draft in drafts]


class Gathering(Generic[Slot]):
    """Fills places with drafts that the model knows, in rounds, so that each round asks everything at once."""

    def __init__(self, recall: RecallFilter, sources: dict[Slot, Iterator[Draft]]) -> None:
        """Take a source of drafts for each kind of place."""
        self.recall, self.sources = recall, sources

    def fill(self, slots: Sequence[Slot]) -> list[Record]:
        """One record for each place, numbered later.

        Raises:
            DataError: A source has no more drafts.
        """
        filled: list[Record | None] = [None] * len(slots)
        while empty := [place for place, record in enumerate(filled) if record is None]:
            drafts = [self._next(slots[place]) for place in empty]
            for place, draft, right in zip(empty, drafts, self.recall.known(drafts), strict=True):
                filled[place] = draft.record if right else None
        return [record for record in filled if record is not None]

    def _next(self, slot: Slot) -> Draft:
        for draft in self.sources[slot]:
            return draft
        raise DataError(f"the facts that the model knows give too few cases for {slot}; try another seed")
