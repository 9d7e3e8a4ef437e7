"""Edits and scores the cases of one run method by method, and skips what is on disk already."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from kg_cache.settings import Settings as CacheSettings
from kgedit.delta import model_hash
from kgedit.editor import Editor
from kgedit.errors import EditError, MomentError, NotReverted
from kgedit.evaluate.benchmarks.case import BenchmarkCase, Replies
from kgedit.evaluate.results import NOT_RECALLED, PASTED, RECALLED, UNEDITED, UNTOLD, LeftOut, Row
from kgedit.evaluate.run.answers import answers_of
from kgedit.evaluate.run.ask import ask_cases, cut_prompts
from kgedit.evaluate.run.folder import RunFolder, Scored
from kgedit.evaluate.run.lengths import Lengths
from kgedit.evaluate.run.manifest import CHUNK, RunManifest
from kgedit.evaluate.run.modes import CaseRefused, Stage, alone, on_top, together
from kgedit.evaluate.run.pasted import ask_pasted
from kgedit.evaluate.run.sequence import SequenceRun, asked_together
from kgedit.evaluate.run.settings import EvaluationSettings
from kgedit.evaluate.run.unedited import Before, UneditedAnswers, reason_of
from kgedit.lm.chat import before_question
from kgedit.progress import Progress

AT_END = "@end"


class CaseRunner:
    """Edits and scores every case under every method, but for what is on disk already.

    Attributes:
        settings: What was asked for.
        folder: Where the results are.
        cases: All cases, in the order of the file; in a sequence in the form in which the unedited model is asked.
        labels: The methods so far; in sequential mode each a second time, for the scores at the end, and in a sequence
            once for each length.
        cut: Number of prompts whose beginning was lost, since the context is too short.
        unedited: What the unedited model says, or said before.
        before: Case -> what it said.
        at: Ids of the cases that are being edited or scored.
        report: Called where a length of a sequence is complete.
    """

    def __init__(
        self,
        settings: EvaluationSettings,
        folder: RunFolder,
        cases: Sequence[BenchmarkCase],
        manifest: RunManifest,
        progress: Progress | None = None,
    ) -> None:
        """Take the parts of a run; no model is asked yet.

        Args:
            settings: What was asked for.
            folder: Where the results go.
            cases: All cases, in the order of the file.
            manifest: All that its numbers depend on.
            progress: Called with (what, done, total).
        """
        self.settings, self.folder, self.cases, self._progress = settings, folder, cases, progress
        lengths = settings.sequence
        self._lengths = Lengths(cases, lengths, most=settings.asked_at_most, seed=settings.seed) if lengths else None
        if self._lengths:
            self.cases = self._lengths.asked_unedited(recalled_only=settings.recalled_only)
        self.cut = 0
        times = len(lengths) or (2 if settings.sequential else 1)
        self._methods = len(manifest.settings) * times + (PASTED in manifest.methods)
        self.labels: list[str] = []
        self._weights = manifest.model.weights
        model = [manifest.model.model_dump(mode="json"), manifest.versions]
        key = hashlib.sha256(json.dumps(model, sort_keys=True).encode()).hexdigest()
        places = dict.fromkeys((folder.path / "unedited", CacheSettings().cache_dir / "unedited"))
        self.unedited = UneditedAnswers([*places], model_hash=key, seed=settings.seed)
        self.before: dict[str, Replies] = {}
        self.at: tuple[str, ...] = ()
        self.report: Callable[[], object] = lambda: None
        self._since = time.perf_counter()  # when the last case was done, or the editor was ready

    def ask_unedited(self, editor: Editor) -> None:
        """The rows of the unedited model; cases that it cannot be asked about are left out of everything."""
        self.tell("unedited", 0)
        size = asked_together(editor.model.device.type) if self._lengths else CHUNK
        for done, chunk in chunks(self.cases, size):
            before: Before = self.unedited.of(chunk, editor.model, editor.tokenizer)
            for item in before.left_out:
                self.folder.leave_out(item)
            self.cut += cut_prompts(editor.model, editor.tokenizer, [*before.replies.values()])
            self.before |= before.replies
            scored = []
            for case in chunk:
                if case.id in before.replies:
                    replies = before.replies[case.id]
                    values = case.values_before(replies)
                    if self.settings.recalled_only and not values.get(RECALLED):
                        why = NOT_RECALLED if RECALLED in values else UNTOLD
                        self.folder.leave_out(LeftOut(case=case.id, method=None, reason=why, detail=why))
                    else:
                        scored.append(self._scored(case, UNEDITED, values, replies, replies))
            self.folder.add_all(scored)
            self.tell("unedited", done)

    def ask_pasted(self, editor: Editor) -> None:
        """The rows of the unedited model that reads the new facts in each prompt."""
        self.label(PASTED)
        cases, settings = self.left(), self.settings
        head = before_question(editor.tokenizer, system=settings.system) if settings.protocol == "free" else ""
        for done, case in enumerate(cases, start=1):
            if not self.folder.is_done(case.id, PASTED):
                self.at = (case.id,)
                asked = (case.questions, case.rewrites)
                try:
                    replies = ask_pasted(editor.model, editor.tokenizer, *asked, seed=settings.seed, head=head)
                except EditError as error:
                    self.take(PASTED, CaseRefused(case, error), editor)
                    continue
                before = self.before[case.id]
                self.folder.add_all([self._scored(case, PASTED, case.values(replies, before), replies, before)])
            self.tell(PASTED, done, len(cases))

    def run_method(self, label: str, opener: Callable[[], Editor]) -> None:
        """All cases under one method; the editor is only opened if something is left to do."""

        def opened() -> Editor:
            return self.ready(opener())

        if self._lengths:
            SequenceRun(label, self._lengths, self.settings, self.folder, self._deltas(label), self).run(opened)
            return
        self.label(label)
        cases = self.left()
        if self.settings.sequential:
            self._sequential(label, cases, opened)
            return
        editor: Editor | None = None
        self.tell(label, 0, len(cases))
        for done, chunk in chunks(cases, self.chunk_of(label)):
            scored = done - len(chunk)
            # A chunk with a gap is computed again as a whole: its numbers depend on what shared its batches.
            if not all(self.folder.is_done(case.id, label) for case in chunk):
                editor = editor or opened()
                for number in self.score_chunk(label, chunk, editor):
                    scored += number
                    self.tell(label, scored, len(cases))
            self.tell(label, done, len(cases))
        if editor is not None and model_hash(editor.model) != self._weights:
            raise NotReverted(f"the model's weights differ after all edits of {label} were reverted")

    def ready(self, editor: Editor) -> Editor:
        """The editor with all that it reads once for all edits; from now on the time of its first case counts."""
        with suppress(EditError, MomentError):  # each case tells it
            _ = editor.workbench
        self._since = time.perf_counter()
        return editor

    def score_chunk(self, label: str, chunk: Sequence[BenchmarkCase], editor: Editor) -> Iterator[int]:
        """Edit and score cases that share their batches.

        Yields:
            The number of cases of each stage, once it is scored.
        """
        self.at = tuple(case.id for case in chunk)
        for stage in (alone if self.settings.batch_edits is None else together)(editor, chunk):
            self.take(label, stage, editor)
            yield 1 if isinstance(stage, CaseRefused) else len(stage.cases)

    def left(self) -> list[BenchmarkCase]:
        """The cases that the unedited model does not rule out."""
        return [case for case in self.cases if not self.folder.is_out(case.id, UNEDITED)]

    def chunk_of(self, label: str) -> int:
        """How many cases go through a method together; pasted facts are read case by case."""
        return 1 if label == PASTED else self.settings.batch_edits or CHUNK

    def label(self, name: str) -> None:
        """Note that a method has begun, or a length of its sequence."""
        if name not in self.labels:
            self.labels.append(name)

    def _sequential(self, label: str, cases: Sequence[BenchmarkCase], opener: Callable[[], Editor]) -> None:
        """Every case on top of those before it; scored right after its edit, and all again at the end."""
        end = label + AT_END
        self.labels.append(end)
        if all(self.folder.is_done(case.id, name) for case in cases for name in (label, end)):
            return
        editor, kept = opener(), self._deltas(label)
        # Every edit is applied again on resuming, from its stored delta; only cases without a row are scored.
        for done, case in enumerate(cases, start=1):
            if not self.folder.is_out(case.id, label):
                for stage in on_top(editor, [case], kept / f"{done:06}"):
                    if isinstance(stage, CaseRefused) or not self.folder.is_done(case.id, label):
                        self.take(label, stage, editor)
            if self.folder.is_out(case.id, label) and not self.folder.is_out(case.id, end):
                reason = self.folder.left_out[case.id, label]
                self.folder.leave_out(reason.model_copy(update={"method": end}))
            self.tell(label, done, len(cases))
        # The model now carries all edits: every case once more.
        for done, chunk in chunks(cases, CHUNK):
            remaining = tuple(case for case in chunk if not self.folder.is_out(case.id, end))
            if remaining and not all(self.folder.is_done(case.id, end) for case in remaining):
                self.take(end, Stage(remaining), editor)
            self.tell(end, done, len(cases))

    def _deltas(self, label: str) -> Path:
        """Where the deltas of a method are kept."""
        return self.folder.path / "deltas" / hashlib.sha256(label.encode()).hexdigest()[:12]

    def take(self, label: str, stage: Stage | CaseRefused, editor: Editor) -> None:
        """Score the cases of a stage, or note why there is none."""
        if isinstance(stage, CaseRefused):
            error = stage.error
            self.folder.leave_out(
                LeftOut(case=stage.case.id, method=label, reason=reason_of(error), detail=str(error))
            )
            return
        self.at = tuple(case.id for case in stage.cases)
        questions = [case.questions for case in stage.cases]
        answered = ask_cases(editor.model, editor.tokenizer, questions, seed=self.settings.seed)
        scored = []
        for case, replies in zip(stage.cases, answered, strict=True):
            before = self.before[case.id]
            scored.append(self._scored(case, label, case.values(replies, before), replies, before))
        self.folder.add_all(scored)

    def _scored(
        self, case: BenchmarkCase, label: str, values: dict[str, float], replies: Replies, before: Replies
    ) -> Scored:
        """What the folder keeps of a case."""
        row = Row(case=case.id, method=label, hops=case.hops, edits=len(case.rewrites), values=values)
        seconds, self._since = time.perf_counter() - self._since, time.perf_counter()
        return row, case.texts(replies, before), answers_of(case, label, replies, seconds)

    def tell(self, what: str, done: int, total: int | None = None) -> None:
        """Say how many cases of a method are scored."""
        if self._progress:
            place = f" (method {len(self.labels)} of {self._methods})" if self.labels else ""
            self._progress(f"{what}{place}: cases scored", done, len(self.cases) if total is None else total)


def chunks(cases: Sequence[BenchmarkCase], size: int) -> Iterator[tuple[int, Sequence[BenchmarkCase]]]:
    """(cases done with it, chunk), in the order of the file."""
    for start in range(0, len(cases), size):
        chunk = cases[start : start + size]
        yield start + len(chunk), chunk
