"""Trials on several workers: the edits of a trial go to them in the chunks that one process computes together.

What shares a batch is the same as in one process, so every figure is. docs/scale.md, "Workers on one machine".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kgedit.editor import Editor
from kgedit.errors import EditError, MomentError, SettingError
from kgedit.lm.loading import Loading
from kgedit.lm.second_moment.find import MomentSource
from kgedit.methods.registry import load_method, parse_variant
from kgedit.methods.settings import MethodSettings
from kgedit.progress import Progress
from kgedit.trials.draw import TrialEdit
from kgedit.trials.measure import CHUNK, Figures, measure_edits
from kgedit.workers.pool import NamedTask, WorkerPlan, Workers
from kgedit.workers.ray_workers import ray_workers


@dataclass(frozen=True)
class TrialTask:
    """Some edits with some settings.

    Attributes:
        settings: The method's.
        edits: Edits that are computed in one batch.
    """

    settings: MethodSettings
    edits: tuple[TrialEdit, ...]


@dataclass(frozen=True)
class StartTrials:
    """Makes a worker, with a model of its own.

    Attributes:
        model: Name of the model.
        method: The method, with the settings that the search begins with.
        graph: See `Editor.from_pretrained`.
        moments: Where second moments come from; the search has collected those of the first layers.
        loading: How the model is loaded.
    """

    model: str
    method: str
    graph: Path | None
    moments: MomentSource
    loading: Loading

    def __call__(self) -> Callable[[TrialTask], list[Figures] | str]:
        """Load the model; the handler gives the measures of a task's edits, or why the settings cannot edit."""
        editor = Editor.from_pretrained(
            self.model, method=self.method, graph=self.graph, moments=self.moments, **self.loading
        )
        kind = load_method(parse_variant(self.method)[0])

        def measured(task: TrialTask) -> list[Figures] | str:
            editor.method = kind(task.settings)
            try:
                return measure_edits(editor, task.edits)
            except (EditError, MomentError) as error:
                return str(error)

        return measured


class SharedTrials:
    """`measure_edits`, done by workers."""

    def __init__(self, workers: Workers[TrialTask, list[Figures] | str]) -> None:
        """Take the workers."""
        self._workers = workers

    def measure(
        self, settings: MethodSettings, edits: Sequence[TrialEdit], *, progress: Progress | None = None, what: str = ""
    ) -> list[Figures]:
        """The measures of each edit with these settings, in their order; see `measure_edits`.

        Raises:
            EditError: An edit cannot be carried out.
            WorkerFailed: A worker raised anything else, or a task lost every worker that took it.
        """
        chunks = [tuple(edits[start : start + CHUNK]) for start in range(0, len(edits), CHUNK)]
        tasks = [NamedTask(f"a trial of edit {chunk[0].edit}", TrialTask(settings, chunk)) for chunk in chunks]
        found: list[Figures] = []
        refused: list[str] = []
        # All results are taken, so that no worker is at an old task when the next trial begins.
        for result in self._workers.map(tasks):
            if isinstance(result, str):
                refused.append(result)
                continue
            found += result
            if progress:
                progress(what, len(found), len(edits))
        if refused:
            raise EditError(refused[0])
        return found


@contextmanager
def shared_trials(start: StartTrials, plan: WorkerPlan | None) -> Iterator[SharedTrials | None]:
    """The workers of a search, for the length of a `with` block; None where no plan is given.

    Raises:
        SettingError: The method goes on from edit to edit.
    """
    if plan is None:
        yield None
        return
    with ray_workers(start, plan) as workers:
        yield SharedTrials(workers)


def check_independent(remembers: bool, shared: SharedTrials | None) -> None:
    """Refuse workers for a method whose edits depend on those before them.

    Raises:
        SettingError: It is one.
    """
    if shared is not None and remembers:
        raise SettingError("this method learns from edit to edit (carry_rgnn): leave --executor out")
