"""`kgedit tune`: chooses layer and settings of a method for a model, and writes a preset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from kgedit.cli.loading import loads_model
from kgedit.cli.options import MOST, MOST_SEED, AsJson, Graph, Method, Model, Moments, moments_source
from kgedit.cli.output import emit, line, percent, table
from kgedit.cli.progress import working
from kgedit.cli.workers import Executor, GpusPerWorker, WorkerCount, worker_plan
from kgedit.lm.loading import Loading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from kgedit.tune.tuned import Tuned


@loads_model
def tune(
    model: Model = "mini",
    method: Method = "rome",
    edits: Annotated[int, typer.Option(min=4, max=MOST, help="Development edits, on which settings are tried.")] = 16,
    report: Annotated[
        int, typer.Option(min=4, max=MOST, help="Further edits, for the figures that are reported.")
    ] = 24,
    minutes: Annotated[float, typer.Option(min=0.0, help="Time for trials; the same command goes on later.")] = 20.0,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Seed of the edits.")] = 1000,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write no preset.")] = False,
    graph: Graph = None,
    moments: Moments = None,
    executor: Executor = "here",
    workers: WorkerCount = None,
    gpus_per_worker: GpusPerWorker = None,
    as_json: AsJson = False,
    *,
    loading: Loading,
) -> None:
    """Chooses layer and settings of a method for a model.

    They are tried on edits of facts that the model recalls. The preset goes into your configuration folder,
    where every command finds it.
    """
    with working(f"Loading {model}") as advance:
        from kgedit.editor import Editor
        from kgedit.tune.shared import StartTrials, shared_trials
        from kgedit.tune.tuned import TuneSettings
        from kgedit.tune.tuned import tune as search

        settings = TuneSettings(edits=edits, report=report, minutes=minutes, seed=seed)
        source = "collect" if moments is None else moments_source(moments)
        editor = Editor.from_pretrained(model, method=method, graph=graph, moments=source, progress=advance, **loading)
        plan = worker_plan(executor, workers, gpus_per_worker, loading.get("device"))
        with shared_trials(StartTrials(model, method, graph, source, loading), plan) as shared:
            tuned = search(
                editor, method, settings, moments=source, write=not dry_run, shared=shared, progress=advance
            )
    emit(tuned.model_dump(mode="json"), lambda: _shown(tuned), as_json=as_json)


def _shown(tuned: Tuned) -> Iterator[RenderableType]:
    from kgedit.trials.measure import SCORED, THROUGH

    settings = ", ".join(f"{name} {value}" for name, value in tuned.settings.items()) or "the method's defaults"
    yield line(f"{tuned.model}, {tuned.method}: {settings}.", "bold")
    names = (*SCORED, "score", *([THROUGH] if THROUGH in tuned.figures else []))
    figures = {"unedited": tuned.unedited, "before tuning": tuned.started, "tuned": tuned.figures}
    rows = [(name, *(percent(values.get(measure)) for measure in names)) for name, values in figures.items()]
    title = f"Over {tuned.reported} edits that the search did not see ({tuned.edits} it saw, {tuned.trials} settings)"
    yield table(["", *(name.replace("_", " ") for name in names)], rows, title=title, numbers=len(names))
    if not tuned.complete:
        yield line("The time limit ended the search; the same command goes on where it stopped.")
    if tuned.preset is not None:
        yield line(f"Written to {tuned.preset}, which every command reads from now on.")
