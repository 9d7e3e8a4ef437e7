"""Tunes a method for a model on development edits, and measures what was found on edits that the search never saw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from kg_cache.settings import Settings
from kgedit.delta import model_hash
from kgedit.editor import Editor
from kgedit.errors import DataError, SettingError
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.second_moment.find import MomentSource
from kgedit.methods.base import Method
from kgedit.methods.registry import load_method, method_for, parse_variant
from kgedit.methods.settings import MethodSettings
from kgedit.methods.trained_editor import TrainedMethod
from kgedit.progress import Progress
from kgedit.trials.draw import TrialEdit, draw_edits
from kgedit.trials.measure import THROUGH, means, measure_edits, measure_unedited
from kgedit.trials.passed import draw_passed
from kgedit.tune.preset import write_preset
from kgedit.tune.search import Search
from kgedit.tune.shared import SharedTrials, check_independent
from kgedit.tune.stages import at_layer, changed, first_layers, later_choices
from kgedit.tune.tried import Tried

_LEAST = 4  # edits of either kind


class TuneSettings(BaseModel):
    """How long and on how many edits is tuned.

    Attributes:
        edits: Development edits; of a method that writes to later layers half as many beside them, which questions
            about other items pass through.
        report: Further edits, of other subjects, for the figures that are reported; beside them likewise.
        minutes: Time for trials; what a stopped run tried counts no more.
        seed: Of the edits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    edits: int = Field(default=16, ge=_LEAST)
    report: int = Field(default=24, ge=_LEAST)
    minutes: float = Field(default=20.0, gt=0)
    seed: int = 1000


class Tuned(BaseModel):
    """The result.

    Attributes:
        model: The model.
        method: The method.
        settings: Fields that differ from the method's defaults.
        before: The settings that the search began with, likewise.
        trials: Number of settings tried.
        complete: Whether the search ended before its time limit.
        edits: Development edits.
        reported: Edits of the figures below.
        development: Figures of the chosen settings on the development edits.
        unedited: Figures of the unedited model on the reported edits.
        started: Figures of the first settings there.
        figures: Figures of the chosen settings there.
        preset: The file that was written; None if none was asked for.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    method: str
    settings: dict[str, Any]
    before: dict[str, Any]
    trials: int
    complete: bool
    edits: int
    reported: int
    development: dict[str, float]
    unedited: dict[str, float]
    started: dict[str, float]
    figures: dict[str, float]
    preset: Path | None = None


def tune(
    editor: Editor,
    variant: str,
    settings: TuneSettings,
    *,
    moments: MomentSource,
    write: bool = True,
    shared: SharedTrials | None = None,
    progress: Progress | None = None,
) -> Tuned:
    """Search, report, and write the user's preset.

    Args:
        editor: Editor of the unedited model.
        variant: The method, and settings that the search begins with in place of the preset's.
        settings: See `TuneSettings`.
        moments: Where the editor's second moments come from; part of what a record of earlier trials is for.
        write: Whether the preset is written.
        shared: Workers among which the edits of each trial are shared out; the figures are those of one process.
        progress: Called with (what, done, total).

    Raises:
        DataError: The model recalls too few facts.
        EditError: The method cannot make the edits.
        SettingError: The method goes on from edit to edit, and there are workers; or it edits as it was trained to.
    """
    name = parse_variant(variant)[0]
    kind = load_method(name)
    if issubclass(kind, TrainedMethod):
        raise SettingError(
            f"{name} edits as its editor was trained to, so other settings need another training; give them to "
            "kgedit train-editor"
        )
    depth = anatomy_of(editor.model).n_layers(editor.model)
    begin, _ = method_for(editor.name, variant, depth)
    check_independent(begin.remembers, shared)
    later = later_choices(begin.config, depth)
    # What leads to a subject is part of its subgraph where a method may write to later layers.
    editor.method = kind(changed(begin.config, later[0])) if later else begin
    drawn = draw_edits(editor, settings.edits + settings.report, seed=settings.seed)
    development, reported = _split(drawn, settings)
    if min(len(development), len(reported)) < _LEAST:
        raise DataError(
            f"{editor.name!r} recalls facts for {len(drawn)} edits only, too few to tune on some and report on "
            "others; give a graph of facts that it knows (--graph)"
        )
    passed = draw_passed(editor, (settings.edits + settings.report) // 2, seed=settings.seed) if later else []
    tried_passed, reported_passed = _split(passed, settings)
    _collect(editor, kind, begin, depth)
    tried = Tried(Settings().cache_dir / "tuning", _identity(editor, name, moments, [*drawn, *passed]))
    search = Search(
        editor, kind, development, tried, 60 * settings.minutes, progress, shared=shared, passed=tried_passed
    )
    best, figures = search.run(begin.config, depth)

    def report(config: MethodSettings, what: str) -> dict[str, float]:
        found = tried.find(config, "reported")
        if found is None:
            editor.method = kind(config)
            told: dict[str, Any] = {"progress": progress, "what": what}

            def measured(edits: list[TrialEdit]) -> dict[str, float]:
                return means(shared.measure(config, edits, **told) if shared else measure_edits(editor, edits, **told))

            found = measured(reported)
            if reported_passed:
                found[THROUGH] = measured(reported_passed)[THROUGH]
            tried.note(config, "reported", found)
        return found

    tuned = Tuned(
        model=editor.name,
        method=name,
        settings=differing(best),
        before=differing(begin.config),
        trials=len(search.trials),
        complete=not search.stopped,
        edits=len(development),
        reported=len(reported),
        development=figures,
        unedited=means(measure_unedited(editor, reported)),
        started=report(begin.config, "measuring the settings before"),
        figures=report(best, "measuring the settings found"),
    )
    return tuned.model_copy(update={"preset": _written(tuned, settings)}) if write else tuned


def _split(drawn: list[TrialEdit], settings: TuneSettings) -> tuple[list[TrialEdit], list[TrialEdit]]:
    """Those that settings are tried on, and those that are reported, in the proportion that was asked for."""
    middle = min(settings.edits, round(settings.edits / (settings.edits + settings.report) * len(drawn)))
    return drawn[:middle], drawn[middle:]


def differing(config: MethodSettings) -> dict[str, Any]:
    """The fields of settings that are not a method's defaults, or have none."""
    fields = config.model_dump(mode="json", exclude_defaults=True)
    return {name: value for name, value in fields.items() if value is not None}


def _collect(editor: Editor, kind: type[Method], begin: Method, depth: int) -> None:
    """Collect the second moments of all layers that are tried first in one pass over the text."""
    layers = set(begin.moment_layers)
    for layer in first_layers(depth):
        layers |= set(kind(changed(begin.config, at_layer(kind.Config, layer))).moment_layers)
    editor.moments.of(sorted(layers))


def _identity(editor: Editor, method: str, moments: MomentSource, drawn: list[TrialEdit]) -> dict[str, Any]:
    """All that figures depend on beside the settings."""
    return {
        "model": model_hash(editor.model),
        "method": method,
        "moments": str(moments),
        "seed": editor.seed,
        "edits": [[item.edit.model_dump(), repr(item.probe), *item.through] for item in drawn],
    }


def _written(tuned: Tuned, settings: TuneSettings) -> Path:
    told = {name: round(value, 4) for name, value in tuned.figures.items()}
    figures = {
        "edits": tuned.edits,
        "reported_edits": tuned.reported,
        "seed": settings.seed,
        "trials": tuned.trials,
        "complete": tuned.complete,
        "reported": told,
        "before": {name: round(value, 4) for name, value in tuned.started.items()},
        "unedited": {name: round(value, 4) for name, value in tuned.unedited.items()},
    }
    return write_preset(tuned.model, tuned.method, tuned.settings, figures)
