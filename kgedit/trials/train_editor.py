"""Trains a method that learns to edit for one model, and measures it on edits of facts that the training never saw."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from kgedit.editor import Editor
from kgedit.errors import SaveFailed, SettingError
from kgedit.lm.anatomy import anatomy_of
from kgedit.methods.engine.training_loop import AT_TIME_LIMIT
from kgedit.methods.registry import METHODS, load_method, method_for
from kgedit.methods.trained_editor import TrainedEditor, TrainedMethod, checkpoint_of, editor_file
from kgedit.progress import Progress
from kgedit.trials.lessons import draw_lessons, draw_tests
from kgedit.trials.measure import means, measure_edits, measure_unedited


class TrainEditorSettings(BaseModel):
    """How long and on how many facts an editor is trained.

    Attributes:
        facts: The most facts whose changes are learned from.
        held_out: Facts whose changes say when to stop.
        report: Edits of other facts, for the figures that are reported.
        minutes: The most time for the training; the same command with more goes on.
        seed: Of whatever is drawn.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    facts: int = Field(default=1500, ge=4)
    held_out: int = Field(default=48, ge=1)
    report: int = Field(default=24, ge=1)
    minutes: float = Field(default=12.0, gt=0)
    seed: int = 0


class TrainedReport(BaseModel):
    """The result.

    Attributes:
        model: The model.
        method: The method.
        file: The trained editor.
        megabytes: Its size.
        lessons: Edits that were learned from.
        training: What the training measured.
        edits: Number of edits of facts that it never saw.
        unedited: Figures of the unedited model on these.
        figures: Figures of the trained editor on these, each edit made alone.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    method: str
    file: Path
    megabytes: float
    lessons: int
    training: dict[str, Any]
    edits: int
    unedited: dict[str, float]
    figures: dict[str, float]


def train_editor(
    editor: Editor,
    variant: str,
    settings: TrainEditorSettings,
    *,
    out: Path | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> TrainedReport:
    """Train, save and measure.

    Args:
        editor: Editor of the unedited model.
        variant: The method, and settings behind it.
        settings: See `TrainEditorSettings`.
        out: The file; by default the cache, where later commands look.
        force: Replace a trained editor that is there, whatever it is; else only that of the same training, which goes
            on where its time was over.
        progress: Called with (what, done, total).

    Raises:
        SettingError: The method does not learn.
        DataError: The model recalls too few facts.
        EditDiverged: The training diverges.
        SaveFailed: A trained editor is there, and no `force`; or the file cannot be written.
        FileCorrupt: The file that is there is damaged, and no `force`.
    """
    method, _ = method_for(editor.name, variant, anatomy_of(editor.model).n_layers(editor.model))
    if not isinstance(method, TrainedMethod):
        learn = [name for name in METHODS if issubclass(load_method(name), TrainedMethod)]
        raise SettingError(f"{method.name} needs no training; methods that do: {', '.join(learn)}")
    editor.method = method
    bench = replace(editor.workbench, seed=settings.seed, progress=progress)
    fresh = method.fresh(bench)
    file = editor_file(fresh.method, fresh.base) if out is None else out
    # What is there is told before the model is asked for its facts, and again once it is known what is learned from.
    there = TrainedEditor.load(file) if file.is_file() and not force else None
    if there and (there.figures.get("ended") != AT_TIME_LIMIT or there.settings != fresh.settings):
        raise SaveFailed(_kept(file, there, fresh))
    lessons, held_out = draw_lessons(editor, settings.facts, settings.held_out, seed=settings.seed)
    if there and not checkpoint_of(fresh, bench.seed, lessons, held_out).path.is_file():
        raise SaveFailed(_kept(file, there, fresh))
    tests = draw_tests(editor, settings.report, seed=settings.seed)
    trained = method.train(bench, lessons, held_out, minutes=settings.minutes)
    trained.save(file)
    editor.method = type(method)(method.config.model_copy(update={"editor": str(file)}))
    return TrainedReport(
        model=editor.name,
        method=trained.method,
        file=file,
        megabytes=round(file.stat().st_size / 2**20, 1),
        lessons=len(lessons.lessons),
        training=dict(trained.figures),
        edits=len(tests),
        unedited=means(measure_unedited(editor, tests)),
        figures=means(measure_edits(editor, tests, progress=progress, what="edits that the training never saw")),
    )


def _kept(file: Path, there: TrainedEditor, fresh: TrainedEditor) -> str:
    """The trained editor that stays as it is: when and how it was trained, and how good it was."""
    when = datetime.fromtimestamp(file.stat().st_mtime).strftime("%Y-%m-%d %H:%M")
    told = there.figures
    looked = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in (told.get("held_out") or {}).items())
    others = [
        f"{name} {value}, not {fresh.settings.get(name)}"
        for name, value in there.settings.items()
        if value != fresh.settings.get(name)
    ]
    return (
        f"{file} is there already: {there.method}, trained on {when} in {told.get('steps', 0):,} steps "
        f"({told.get('minutes', 0)} min), which ended {told.get('ended', 'somehow')}; on held-out edits "
        f"{looked or 'nothing'}; with {', '.join(others) or 'the same settings'}. It stays as it is: say --force to "
        "train anew and replace it, or --out FILE to keep both"
    )
