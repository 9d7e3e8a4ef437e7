"""A sequence of edits under one method: at each length all edits so far are asked, and the whole model is measured.

Most methods edit the cases in batches, one on top of the other. A method that trains one change on all edits of a case
(LocFT-BF, an adapter) would lose the earlier batches that way, and is not meant for it: at each length it is trained
anew, from the unedited model, on all edits so far.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from kgedit.editor import Editor
from kgedit.evaluate.benchmarks.case import BenchmarkCase
from kgedit.evaluate.results import at_length
from kgedit.evaluate.run.ability import ability_questions
from kgedit.evaluate.run.folder import RunFolder
from kgedit.evaluate.run.lengths import Lengths
from kgedit.evaluate.run.modes import CaseRefused, Stage, on_top
from kgedit.evaluate.run.settings import EvaluationSettings
from kgedit.evaluate.run.whole_model import WholeModel, held_out_texts, names_of


def asked_together(device: str) -> int:
    """How many cases are asked in shared batches on a kind of device: a GPU is idle with few."""
    return 1024 if device == "cuda" else 128


class Scorer(Protocol):
    """What scores the cases."""

    def take(self, label: str, stage: Stage | CaseRefused, editor: Editor) -> None:
        """Score the cases of a stage under a name, or note why there is none."""

    def label(self, name: str) -> None:
        """Note that a method has begun, or a length of its sequence."""

    def report(self) -> object:
        """Write the report over what there is."""

    def tell(self, what: str, done: int, total: int | None = None) -> None:
        """Say how many cases are scored."""


class SequenceRun:
    """The sequence of one method; what is on disk is not computed again."""

    def __init__(
        self,
        label: str,
        lengths: Lengths,
        settings: EvaluationSettings,
        folder: RunFolder,
        deltas: Path,
        scorer: Scorer,
    ) -> None:
        """Take the parts; nothing is computed yet.

        Args:
            label: The method.
            lengths: The cases of each length.
            settings: Those of the run.
            folder: Where rows are.
            deltas: Where the method's deltas are kept.
            scorer: What scores the cases.
        """
        self._label, self._lengths, self._settings = label, lengths, settings
        self._folder, self._deltas, self._scorer = folder, deltas, scorer

    def run(self, opener: Callable[[], Editor]) -> None:
        """Finish all lengths; the editor is only opened if one is missing."""
        missing = [length for length in self._lengths.lengths if (self._label, length) not in self._folder.lengths]
        for length in self._lengths.lengths:
            if length not in missing:
                self._scorer.label(at_length(self._label, length))
        if not missing:
            return
        editor = opener()
        settings, cases = self._settings, self._lengths.until(self._lengths.lengths[-1])
        texts = held_out_texts(settings.model, cases, seed=settings.seed)
        questions = ability_questions(settings.model, names_of(cases), seed=settings.seed, path=settings.ability)
        whole_model = WholeModel(editor, texts, questions)
        if editor.method.shares_change:
            for length in missing:
                self._anew(editor, whole_model, length)
        else:
            self._one_after_another(editor, whole_model, missing)

    def _anew(self, editor: Editor, whole_model: WholeModel, length: int) -> None:
        """One change of all edits so far, on the unedited model, which it leaves again."""
        name, measured = at_length(self._label, length), False
        self._scorer.label(name)
        cases = self._left(self._lengths.until(length), name)
        for stage in on_top(editor, cases, self._deltas / f"{length:06}", stay=False):
            if isinstance(stage, CaseRefused):
                self._scorer.take(name, stage, editor)
            else:
                self._measure(editor, whole_model, length, _edits(stage.cases), stage.seconds)
                measured = True
        if not measured:  # every edit was refused
            self._measure(editor, whole_model, length, 0, 0.0)

    def _one_after_another(self, editor: Editor, whole_model: WholeModel, missing: Sequence[int]) -> None:
        """Batch on batch, measured at each length; a resumed run applies the kept deltas again."""
        label, size = self._label, self._settings.batch_edits or 1
        start, edits, seconds = 0, 0, 0.0
        for length in self._lengths.lengths[: self._lengths.lengths.index(missing[-1]) + 1]:
            self._scorer.label(at_length(label, length))
            for first in range(start, length, size):
                until = min(first + size, length)
                cases = self._left(self._lengths.until(until)[first:], label)
                for stage in on_top(editor, cases, self._deltas / f"{first:06}-{until:06}") if cases else ():
                    if isinstance(stage, CaseRefused):
                        self._scorer.take(label, stage, editor)
                    else:
                        edits += _edits(stage.cases)
                        seconds += stage.seconds
                self._scorer.tell(f"{label}: edited of {length}", until, length)
            start = length
            if length in missing:
                self._measure(editor, whole_model, length, edits, seconds)

    def _measure(self, editor: Editor, whole_model: WholeModel, length: int, edits: int, seconds: float) -> None:
        """Ask the cases of a length whose edits the model carries, and finish it."""
        label, name = self._label, at_length(self._label, length)
        cases = self._left(self._left(self._lengths.asked(length), label), name)
        size = asked_together(editor.model.device.type)
        for start in range(0, len(cases), size):
            chunk = tuple(cases[start : start + size])
            # A chunk with a gap is asked again as a whole: its numbers depend on what shared its batches.
            if not all(self._folder.is_done(case.id, name) for case in chunk):
                self._scorer.take(name, Stage(chunk), editor)
            self._scorer.tell(name, start + len(chunk), len(cases))
        asked_all = len(self._lengths.asked_all(length) & {case.id for case in cases})
        self._folder.finish_length(
            whole_model.measure(label, length, edits=edits, asked=len(cases), asked_all=asked_all, seconds=seconds)
        )
        self._scorer.report()  # the next length may take hours, and may be stopped

    def _left(self, cases: Sequence[BenchmarkCase], method: str) -> list[BenchmarkCase]:
        """The cases that are not left out under a name."""
        return [case for case in cases if not self._folder.is_out(case.id, method)]


def _edits(cases: Sequence[BenchmarkCase]) -> int:
    return sum(len(case.rewrites) for case in cases)
