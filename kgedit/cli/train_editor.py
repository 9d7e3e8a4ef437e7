"""`kgedit train-editor`: trains a method that learns to edit for one model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kgedit.cli.loading import loads_model
from kgedit.cli.options import MOST, MOST_SEED, AsJson, Force, Graph, Model
from kgedit.cli.output import emit, line, percent, table
from kgedit.cli.progress import working
from kgedit.lm.loading import Loading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from kgedit.trials.train_editor import TrainedReport


@loads_model
def train_editor(
    method: Annotated[str, typer.Option(help="Method and settings, e.g. mend or mend:layers=3-5.")] = "mend",
    model: Model = "mini",
    facts: Annotated[int, typer.Option(min=4, max=MOST, help="The most facts whose changes are learned from.")] = 1500,
    report: Annotated[
        int, typer.Option(min=1, max=MOST, help="Edits of other facts, for the figures that are reported.")
    ] = 24,
    minutes: Annotated[
        float, typer.Option(min=0.0, help="The most time for the training; the same command with more goes on.")
    ] = 12.0,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Seed of whatever is drawn.")] = 0,
    graph: Graph = None,
    out: Annotated[
        Path | None,
        typer.Option(help="File for METHOD:editor=FILE; by default the cache, where it is found by itself."),
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
    *,
    loading: Loading,
) -> None:
    """Trains a method that learns to edit, for a model.

    It learns from changes of facts that the model recalls, and is measured on changes of others. A command that was
    stopped goes on where it was; an editor that has been trained already is replaced only with --force.
    """
    with working(f"Loading {model}") as advance:
        from kgedit.editor import Editor
        from kgedit.io.existing import refuse_foreign
        from kgedit.methods.before_loading import check_before_loading
        from kgedit.methods.trained_editor import is_trained_editor
        from kgedit.trials.train_editor import TrainEditorSettings
        from kgedit.trials.train_editor import train_editor as train

        check_before_loading(model, method)
        if out is not None:
            refuse_foreign(out, ours=is_trained_editor, force=force)
        settings = TrainEditorSettings(facts=facts, report=report, minutes=minutes, seed=seed)
        editor = Editor.from_pretrained(model, method=None, graph=graph, progress=advance, **loading)
        trained = train(editor, method, settings, out=out, force=force, progress=advance)
    emit(trained.model_dump(mode="json"), lambda: _shown(trained), as_json=as_json)


def _shown(trained: TrainedReport) -> Iterator[RenderableType]:
    from kgedit.trials.measure import SCORED

    told = trained.training
    steps = f"{told.get('steps', 0):,} steps in {told.get('minutes', 0)} min, ended {told.get('ended', '')}"
    yield line(f"{trained.method} for {trained.model}: {trained.lessons:,} edits, {steps}.", "bold")
    names = (*SCORED, "score")
    figures = {"unedited": trained.unedited, trained.method: trained.figures}
    rows = [(name, *(percent(values.get(measure)) for measure in names)) for name, values in figures.items()]
    title = f"Over {trained.edits} edits of facts that the training never saw"
    yield table(["", *(name.replace("_", " ") for name in names)], rows, title=title, numbers=len(names))
    yield line(f"Written to {trained.file} ({trained.megabytes} MB).")
