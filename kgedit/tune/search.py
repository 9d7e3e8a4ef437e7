"""Searches the settings of a method for a model: layers, then one setting after the other, within a time limit.

Last come the later layers, of methods that write to such, judged by questions that pass through an edit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from kgedit.editor import Editor
from kgedit.errors import EditError, MomentError
from kgedit.methods.base import Method
from kgedit.methods.settings import MethodSettings
from kgedit.progress import Progress
from kgedit.trials.draw import TrialEdit
from kgedit.trials.measure import THROUGH, means, measure_edits
from kgedit.tune.shared import SharedTrials
from kgedit.tune.stages import (
    AGAIN,
    FACTORS,
    Changes,
    at_layer,
    bands,
    changed,
    first_layers,
    later_choices,
    layers_between,
    scaled,
)  # fmt: skip
from kgedit.tune.tried import Tried

GAIN = 0.003  # of the score: less is no reason to leave a setting that is published or simpler
_THROUGH_GAIN = 0.05  # of the questions that pass through the edits: less is no reason for later layers
_PRICES = {"score": 0.02, "neighborhood": 0.05}  # what these may cost: the score is a mean, which hides neighbours
DEVELOPMENT, PASSED = "development", "passed"  # the edits, as `Tried` names them
_HALVINGS = 3  # times that layers between those tried are tried


@dataclass
class Search:
    """The search for one method; `best` is what it has found so far.

    Attributes:
        editor: Editor of the unedited model.
        kind: The method.
        edits: Development edits.
        passed: Further ones, that questions about other items pass through.
        tried: What was measured, now or by a run that was stopped.
        seconds: Time limit for trials that are not in `tried`.
        progress: Called with (what, done, total).
        shared: Workers that measure in the place of the editor.
        best: Settings and figures of the best trial.
        stopped: Whether the time limit ended the search.
    """

    editor: Editor
    kind: type[Method]
    edits: Sequence[TrialEdit]
    tried: Tried
    seconds: float
    progress: Progress | None = None
    clock: Callable[[], float] = time.monotonic
    shared: SharedTrials | None = None
    passed: Sequence[TrialEdit] = ()
    best: tuple[MethodSettings, dict[str, float]] | None = None
    stopped: bool = False
    trials: list[tuple[MethodSettings, dict[str, float]]] = field(default_factory=list)
    _spent: float = 0.0

    def run(self, start: MethodSettings, depth: int) -> tuple[MethodSettings, dict[str, float]]:
        """Search from some settings on.

        Args:
            start: The settings to begin with; they win unless others are better by `GAIN`.
            depth: Number of the model's blocks.

        Returns:
            The best settings and their figures on the development edits.

        Raises:
            EditError: The method cannot make the edits at any layer.
        """
        self._planned = len(first_layers(depth)) + 2 * _HALVINGS + sum(len(factors) for factors in FACTORS.values())
        self._planned += len(later_choices(start, depth))
        self._try(start, {})
        self._layers(start, depth)
        if self.best is None:
            raise EditError(f"{self.kind.name} cannot make the edits that were drawn, with any of the settings tried")
        for changes in bands(self.best[0]):
            self._try(self.best[0], changes)
        for name, factors in FACTORS.items():
            if name in self.kind.Config.model_fields:
                for factor in factors:
                    self._scale(name, factor)
        self._later_layers(depth)
        return self.best

    def _layers(self, start: MethodSettings, depth: int) -> None:
        """Layers far apart, then halfway between the best and its neighbours."""
        if not at_layer(self.kind.Config, 1):
            return
        scores = {layer: self._try(start, at_layer(self.kind.Config, layer)) for layer in first_layers(depth)}
        for _ in range(_HALVINGS):
            known = {layer: score for layer, score in scores.items() if math.isfinite(score)}
            if not known:
                return
            best = max(known, key=known.__getitem__)
            for layer in layers_between(best, set(scores), depth):
                scores[layer] = self._try(start, at_layer(self.kind.Config, layer))

    def _scale(self, name: str, factor: float) -> None:
        """One setting times a factor, again and again as long as that helps."""
        for _ in range(AGAIN):
            if (before := self.best) is None:
                return
            self._try(before[0], scaled(before[0], name, factor))
            if self.best is before or factor == 0:
                return

    def _later_layers(self, depth: int) -> None:
        """The later layers by which most questions follow, of those that the edits themselves are no worse for."""
        if self.best is None or not self.passed:
            return
        settings = self.best[0]
        given: list[Changes] = [{}] if getattr(settings, "later_layers", ()) else []
        choices: list[Changes] = [{"later_layers": ()}, *given, *later_choices(settings, depth)]
        each = [changed(settings, changes) for changes in choices]
        tried = [(one, self._figures(one, PASSED, self.passed)) for one in each]
        (best, without), *others = tried
        if "score" not in without:
            return
        most = without[THROUGH]
        for one, figures in others:
            dear = any(figures.get(name, 0.0) < without.get(name, 0.0) - price for name, price in _PRICES.items())
            if not dear and figures[THROUGH] > most + _THROUGH_GAIN:
                best, most = one, figures[THROUGH]
        if best != settings and not self.stopped:
            self.best = best, self._figures(best, DEVELOPMENT, self.edits, must=True)

    def _try(self, before: MethodSettings, changes: Changes) -> float:
        """The score of some settings when they are changed; minus infinity without time, or where they cannot edit."""
        try:
            settings = changed(before, changes)
        except ValidationError:  # a setting that the method does not take, such as no weight at all: no candidate
            return -math.inf
        figures = self._figures(settings, DEVELOPMENT, self.edits, must=not self.trials)
        if "score" not in figures:
            return -math.inf
        if self.best is None or figures["score"] > self.best[1]["score"] + GAIN:
            self.best = settings, figures
        return figures["score"]

    def _figures(
        self, settings: MethodSettings, name: str, edits: Sequence[TrialEdit], *, must: bool = False
    ) -> dict[str, float]:
        """What was measured of some settings on some edits, now or before; nothing where there was no time."""
        figures = self.tried.find(settings, name)
        if figures is None:
            if self._spent >= self.seconds and not must:
                self.stopped = True
                return {}
            figures = self._measured(settings, edits)
            self.tried.note(settings, name, figures)
        self.trials.append((settings, figures))
        if self.progress:
            self.progress("trying settings", len(self.trials), max(self._planned, len(self.trials) + 1))
        return figures

    def _measured(self, settings: MethodSettings, edits: Sequence[TrialEdit]) -> dict[str, float]:
        began = self.clock()
        self.editor.method = self.kind(settings)
        try:
            found = self.shared.measure(settings, edits) if self.shared else measure_edits(self.editor, edits)
            figures = means(found)
        except (EditError, MomentError):  # these settings diverge, or have no statistics: no candidates
            figures = {}
        self._spent += self.clock() - began
        return figures | {"seconds": round((self.clock() - began) / len(edits), 2)}
