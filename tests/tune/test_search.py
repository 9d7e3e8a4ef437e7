"""The search over settings: what wins, what a stopped run resumes, what the time limit does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kgedit.errors import EditDiverged, EditError, SettingError
from kgedit.methods.finetune_adapter.method import AdapterConfig, FineTuneAdapter
from kgedit.methods.glame.config import GlameConfig
from kgedit.methods.glame.method import Glame
from kgedit.methods.rome import Rome, RomeConfig
from kgedit.trials.measure import THROUGH
from kgedit.tune import search as searching
from kgedit.tune.search import Search
from kgedit.tune.tried import Tried
from kgedit.tune.tuned import TuneSettings, tune

START = RomeConfig(layer=16)
PASSED = object()  # an edit that questions pass through
Score = Callable[[RomeConfig], float]


def peak(config: RomeConfig) -> float:
    """Best at layer 7 with clamp 8 and without weight decay."""
    return 1 / (1 + abs(config.layer - 7) + abs(config.clamp - 8) / 4 + config.weight_decay)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Search]:
    """A search whose trials cost a second each and score what a function says."""

    def make(score: Score, *, seconds: float = 1e9, where: Path = tmp_path) -> Search:
        editor: Any = SimpleNamespace(method=None)
        time = [0.0]

        def measure(editor: Any, edits: Sequence[Any]) -> list[dict[str, float]]:
            time[0] += 1
            return [{"value": score(editor.method.config)}]

        monkeypatch.setattr(searching, "measure_edits", measure)
        monkeypatch.setattr(searching, "means", lambda figures: {"score": figures[0]["value"]})
        edits: Any = [object()]
        return Search(editor, Rome, edits, Tried(where, {"a": 1}), seconds, clock=lambda: time[0])

    return make


def test_layer_and_settings_that_suit_the_model_are_found(made: Callable[..., Search]) -> None:
    best, figures = made(peak).run(START, 30)
    assert (best.layer, best.clamp, best.weight_decay) == (7, 8.0, 0.0)  # type: ignore[attr-defined]
    assert figures["score"] == 1.0


def test_what_is_not_better_by_a_margin_leaves_the_published_settings(made: Callable[..., Search]) -> None:
    best, _ = made(lambda config: 0.5 + 0.0001 * config.layer).run(START, 30)
    assert best == START


def test_a_stopped_search_goes_on_where_it_was(made: Callable[..., Search], tmp_path: Path) -> None:
    first = made(peak, seconds=5)
    first.run(START, 30)
    assert first.stopped
    asked: list[RomeConfig] = []
    again = made(lambda config: asked.append(config) or peak(config))  # type: ignore[func-returns-value]
    best, _ = again.run(START, 30)
    whole, _ = made(peak, where=tmp_path / "other").run(START, 30)
    assert best == whole
    assert not again.stopped
    tried = [settings for settings, _ in first.trials]
    assert asked
    assert not [config for config in asked if config in tried]


def test_a_line_that_was_cut_off_is_tried_again(tmp_path: Path) -> None:
    tried = Tried(tmp_path, {"a": 1})
    tried.note(START, "development", {"score": 0.5})
    tried.note(START, "reported", {"score": 0.4})
    tried.path.write_bytes(tried.path.read_bytes()[:-9])
    read = Tried(tmp_path, {"a": 1})
    assert read.find(START, "development") == {"score": 0.5}
    assert read.find(START, "reported") is None
    assert Tried(tmp_path, {"a": 2}).find(START, "development") is None


def test_settings_that_diverge_are_passed_over(made: Callable[..., Search]) -> None:
    def score(config: RomeConfig) -> float:
        if config.layer < 9:
            raise EditDiverged("the loss is NaN")
        return peak(config)

    best, _ = made(score).run(START, 30)
    assert best.layer == 9  # type: ignore[attr-defined]


def test_a_setting_that_the_method_does_not_take_is_passed_over(made: Callable[..., Search]) -> None:
    """keep_weight 0, which is tried of every method with this setting, is none of an adapter's."""
    search = made(lambda config: 0.5)
    search.kind = FineTuneAdapter
    start = AdapterConfig()
    assert search.run(start, 30)[0] == start  # type: ignore[arg-type]


def test_what_was_trained_to_edit_is_not_tuned() -> None:
    editor: Any = None
    with pytest.raises(SettingError, match="mend edits as its editor was trained to"):
        tune(editor, "mend", TuneSettings(), moments="auto")


def test_a_method_that_cannot_make_the_edits_says_so(made: Callable[..., Search]) -> None:
    def score(config: RomeConfig) -> float:
        raise EditDiverged("the loss is NaN")

    with pytest.raises(EditError, match="rome cannot make the edits"):
        made(score).run(START, 30)


# By later layers: score of the edits, their neighborhood, share of the questions that pass through them.
FOLLOWING = {
    (): (0.7, 0.9, 0.0),
    (15, 16): (0.7, 0.9, 0.4),
    (18, 19): (0.69, 0.86, 0.6),
    (21, 22): (0.69, 0.9, 0.63),
    (24, 25): (0.6, 0.9, 0.9),
}
ALIKE = {layers: (0.7, 0.9, 0.04) for layers in FOLLOWING}


@pytest.mark.parametrize(
    ("given", "other", "best"),
    [
        ((), {}, (18, 19)),  # the next pair is better by less than a question, the last one costs the edits too much
        ((), {(18, 19): (0.9, 0.8, 0.6)}, (21, 22)),  # it would cost neighbours, whatever the score
        ((24, 25), {}, (18, 19)),
        ((9, 10), {(9, 10): (0.7, 0.9, 0.8)}, (9, 10)),
        ((9, 10), {(9, 10): (0.2, 0.9, 0.9)}, (18, 19)),
        ((), ALIKE, ()),
    ],
)
def test_later_layers_are_those_by_which_most_questions_follow(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    given: tuple[int, ...],
    other: dict[tuple[int, ...], tuple[float, float, float]],
    best: tuple[int, ...],
) -> None:
    start = GlameConfig(layers=(1,), repr_layer=1, later_layers=given)
    figures = FOLLOWING | other

    def measure(editor: Any, edits: Sequence[Any]) -> list[dict[str, float]]:
        score, neighborhood, through = figures[editor.method.config.later_layers]
        return [{"score": score if edits == [PASSED] else 0.5, "neighborhood": neighborhood, THROUGH: through}]

    monkeypatch.setattr(searching, "measure_edits", measure)
    monkeypatch.setattr(searching, "means", lambda found: found[0])
    editor: Any = SimpleNamespace(method=None)
    edits, passed = [object()], [PASSED]
    search = Search(editor, Glame, edits, Tried(tmp_path, {}), 1e9, passed=passed)  # type: ignore[arg-type]
    found, told = search.run(start, 30)
    siblings = 0 if best in ((), given) else 16
    assert found == start.model_copy(update={"later_layers": best, "later_siblings": siblings})
    assert told["score"] == 0.5, "the figures are those of the development edits"


def test_without_time_later_layers_stay_as_they_were(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    time = [0.0]

    def measure(editor: Any, edits: Sequence[Any]) -> list[dict[str, float]]:
        time[0] += 1
        return [{"score": 0.5, THROUGH: 0.0}]

    monkeypatch.setattr(searching, "measure_edits", measure)
    monkeypatch.setattr(searching, "means", lambda found: found[0])
    start = GlameConfig(layers=(1,), repr_layer=1, later_layers=(9, 10))
    editor: Any = SimpleNamespace(method=None)
    whole = Search(editor, Glame, [object()], Tried(tmp_path / "whole", {}), 1e9, passed=[PASSED])  # type: ignore[list-item]
    whole.run(start, 30)
    # The time ends between the first trial of later layers and the last.
    seconds = len([1 for settings, _ in whole.trials]) - 4
    search = Search(
        editor,
        Glame,
        [object()],
        Tried(tmp_path / "cut", {}),
        seconds,
        clock=lambda: time[0],
        passed=[PASSED],  # type: ignore[list-item]
    )
    time[0] = 0
    assert search.run(start, 30)[0] == start
    assert search.stopped
