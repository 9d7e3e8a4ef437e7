"""A run on several workers: chunks of cases are tasks, and their results are taken in the order of one process.

Every worker prepares the run anew from its settings, since a case holds functions. It must come to the same manifest,
so a machine with other versions or other files is refused. A chunk is computed as a whole, as in one process: what
shares a batch is the same, and so is every number.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kg_cache.settings import Settings
from kgedit.delta import model_hash
from kgedit.errors import EvaluationError, NotReverted
from kgedit.evaluate.benchmarks.case import Replies
from kgedit.evaluate.results import PASTED, UNEDITED, LeftOut
from kgedit.evaluate.run.case_runner import CaseRunner, chunks
from kgedit.evaluate.run.folder import RunFolder, Scored, differences
from kgedit.evaluate.run.manifest import CHUNK
from kgedit.evaluate.run.prepared import Prepared, prepare
from kgedit.evaluate.run.rehearsal import Rehearsal
from kgedit.evaluate.run.settings import EvaluationSettings
from kgedit.evaluate.run.unedited import Before
from kgedit.methods.registry import load_method, parse_variant
from kgedit.workers.pool import NamedTask, WorkerPlan, Workers
from kgedit.workers.ray_workers import ray_workers

_FINISH = "the check of the weights at the end"

Kept = LeftOut | Scored


@dataclass(frozen=True)
class ChunkTask:
    """Cases that share their batches, under one method.

    Attributes:
        label: "unedited", "pasted", or the method.
        cases: Their ids.
        before: What the unedited model said to them.
    """

    label: str
    cases: tuple[str, ...]
    before: Mapping[str, Replies] = field(default_factory=dict)


class Recorder(RunFolder):
    """A run folder in memory: what a worker keeps of a task, until it is sent home."""

    def __init__(self, path: Path) -> None:
        """Nothing is done yet; `path` is where the unedited model's answers are looked for."""
        self.path, self.manifest, self.kept = path, {}, list[Kept]()
        self.rows, self.left_out, self.texts, self.answers, self.lengths = {}, {}, {}, {}, {}

    def add_all(self, scored: Sequence[Scored]) -> None:
        """Keep rows; see `RunFolder.add_all`."""
        self.rows |= {(row.case, row.method): row for row, _, _ in scored}
        self.kept += scored

    def leave_out(self, item: LeftOut) -> None:
        """Keep the reason why a case has no row."""
        self.left_out[item.case, item.method] = item
        self.kept.append(item)


@dataclass(frozen=True)
class StartCases:
    """Makes a worker: the run prepared anew, and compared with that of the command."""

    settings: EvaluationSettings
    manifest: Mapping[str, Any]

    def __call__(self) -> CaseWorker:
        """Load data and model."""
        prepared = prepare(self.settings)
        if others := differences(dict(self.manifest), prepared.manifest.model_dump(mode="json")):
            raise EvaluationError(
                f"a worker on {platform.node()} would give other numbers: {'; '.join(others)}; give all machines the "
                "same versions and the same files"
            )
        return CaseWorker(self.settings, prepared)


class CaseWorker:
    """Scores chunks with one model, which is loaded once."""

    def __init__(self, settings: EvaluationSettings, prepared: Prepared) -> None:
        """Take the prepared run."""
        self._settings, self._prepared = settings, prepared
        self._cases = {case.id: case for case in prepared.cases}
        self._rehearsal = Rehearsal(settings, prepared.cases)

    def __call__(self, task: ChunkTask | str) -> Before | list[Kept]:
        """The results of a chunk; or the check at the end."""
        editor = self._prepared.editor
        if not isinstance(task, ChunkTask):
            if model_hash(editor.model) != self._prepared.manifest.model.weights:
                raise NotReverted("the model's weights differ after all edits were reverted")
            return []
        chunk, recorder = [self._cases[case] for case in task.cases], Recorder(Settings().cache_dir)
        runner = CaseRunner(self._settings, recorder, chunk, self._prepared.manifest)
        runner.before |= task.before
        if task.label == UNEDITED:
            return runner.unedited.of(chunk, editor.model, editor.tokenizer)
        try:
            if task.label == PASTED:
                runner.ask_pasted(editor)
            else:
                name = parse_variant(task.label)[0]
                editor.method = load_method(name)(self._prepared.configs[task.label])
                editor.known_facts = self._rehearsal.known_facts(editor)
                for _ in runner.score_chunk(task.label, chunk, runner.ready(editor)):
                    pass
        except Exception as error:
            error.add_note(f"(at case {', '.join(runner.at)})")
            raise
        return recorder.kept


class SharedRun:
    """What a `CaseRunner` does with an editor, done by workers."""

    def __init__(self, runner: CaseRunner, workers: Workers[ChunkTask | str, Any], number: int) -> None:
        """Take the run and the workers, and their number."""
        self._runner, self._workers, self._number = runner, workers, number

    def ask_unedited(self) -> None:
        """Have the unedited model asked whatever it was not asked before; `CaseRunner.ask_unedited` then finds it."""
        runner = self._runner
        missing = [chunk for _, chunk in chunks(runner.cases, CHUNK) if runner.unedited.find(chunk) is None]
        tasks = [ChunkTask(UNEDITED, tuple(case.id for case in chunk)) for chunk in missing]
        done = len(runner.cases) - sum(map(len, missing))
        for chunk, before in zip(missing, self._workers.map(list(map(_named, tasks))), strict=True):
            runner.unedited.keep(chunk, before)
            done += len(chunk)
            runner.tell(UNEDITED, done)

    def run(self, labels: list[str]) -> None:
        """All cases under all methods: one list of tasks, so that no worker waits for the end of a method."""
        runner, tasks = self._runner, []
        cases = runner.left()
        for label in labels:
            for _, chunk in chunks(cases, runner.chunk_of(label)):
                if not all(runner.folder.is_done(case.id, label) for case in chunk):
                    ids = tuple(case.id for case in chunk)
                    tasks.append(ChunkTask(label, ids, {case: runner.before[case] for case in ids}))
        done = dict.fromkeys(labels, len(cases))
        for task in tasks:
            done[task.label] -= len(task.cases)
        # Tasks of the last method that would leave a worker idle at the end go first: it is often the slowest method.
        early = sum(task.label in labels[-1:] for task in tasks) % self._number
        results = self._workers.map(list(map(_named, tasks)), early=early)
        for task, kept in zip(tasks, results, strict=True):
            runner.label(task.label)
            for item in kept:
                if isinstance(item, LeftOut):
                    runner.folder.leave_out(item)
            runner.folder.add_all([item for item in kept if not isinstance(item, LeftOut)])
            done[task.label] += len(task.cases)
            runner.tell(task.label, done[task.label], len(cases))
        for label in labels:
            runner.label(label)
        self._workers.each(_FINISH)


@contextmanager
def shared(runner: CaseRunner, manifest: Mapping[str, Any], plan: WorkerPlan) -> Iterator[SharedRun]:
    """The workers of a run, for the length of a `with` block."""
    with ray_workers(StartCases(runner.settings, manifest), plan) as workers:
        yield SharedRun(runner, workers, plan.number)


def check_shareable(settings: EvaluationSettings, prepared: Prepared | None = None) -> None:
    """Refuse to share out what is one sequence of edits.

    Raises:
        EvaluationError: The edits are kept, or a method learns from edit to edit.
    """
    if settings.sequential or settings.sequence:
        raise EvaluationError("in a sequence every edit stands on those before it: leave --executor out")
    for label, config in prepared.configs.items() if prepared else ():
        if load_method(parse_variant(label)[0])(config).remembers:
            raise EvaluationError(f"{label} goes on from edit to edit: leave it or --executor out")


def _named(task: ChunkTask) -> NamedTask[ChunkTask | str]:
    cases = task.cases if len(task.cases) == 1 else (task.cases[0], task.cases[-1])
    return NamedTask(f"case{'s' * (len(task.cases) > 1)} {' to '.join(cases)} under {task.label}", task)
