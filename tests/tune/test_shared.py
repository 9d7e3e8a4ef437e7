"""Trials on workers: the chunks of one process, results in their order, settings that cannot edit told apart."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kgedit.editor import Editor
from kgedit.errors import EditDiverged, EditError, SettingError
from kgedit.methods.rome import Rome, RomeConfig
from kgedit.trials.measure import CHUNK
from kgedit.tune import shared
from kgedit.tune.search import Search
from kgedit.tune.shared import SharedTrials, StartTrials, check_independent, shared_trials
from kgedit.tune.tried import Tried
from kgedit.workers.pool import NamedTask

EDITS: Any = [SimpleNamespace(edit=f"edit {number}", value=number) for number in range(CHUNK + 3)]


class Here:
    """One worker, in this process; what goes to it goes through a pickle."""

    def __init__(self, start: StartTrials) -> None:
        self.handler, self.sizes = pickle.loads(pickle.dumps(start))(), []  # noqa: S301 - our own

    def map(self, tasks: Sequence[NamedTask[Any]]) -> Iterator[Any]:
        for named in tasks:
            task = pickle.loads(pickle.dumps(named.task))  # noqa: S301
            self.sizes.append(len(task.edits))
            yield self.handler(task)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    """Measures twice an edit's value times the layer; layer 9 cannot edit."""
    editor = SimpleNamespace(method=None)
    monkeypatch.setattr(Editor, "from_pretrained", lambda *given, **more: editor)

    def measure(editor: Any, edits: Sequence[Any]) -> list[dict[str, float]]:
        layer = editor.method.config.layer
        if layer == 9:
            raise EditDiverged("the loss is nan")
        return [{"efficacy": 2.0 * layer * edit.value, "paraphrase": 1.0} for edit in edits]

    monkeypatch.setattr(shared, "measure_edits", measure)
    return Here(StartTrials("mini", "rome", None, "identity", {}))


def test_edits_go_out_in_the_chunks_of_one_process_and_come_back_in_order(here: Here) -> None:
    found = SharedTrials(here).measure(RomeConfig(layer=3), EDITS)
    assert [figures["efficacy"] for figures in found] == [6.0 * edit.value for edit in EDITS]
    assert here.sizes == [CHUNK, 3]


def test_settings_that_cannot_edit_raise_what_one_process_raises(here: Here) -> None:
    with pytest.raises(EditError, match="the loss is nan"):
        SharedTrials(here).measure(RomeConfig(layer=9), EDITS)
    assert here.sizes == [CHUNK, 3]  # nothing of the trial is left behind


def test_a_search_takes_its_figures_from_them(here: Here, tmp_path: Path) -> None:
    search = Search(here, Rome, EDITS[1:], Tried(tmp_path, {}), 1e9, shared=SharedTrials(here))  # type: ignore[arg-type]
    best, _ = search.run(RomeConfig(layer=9), 10)
    assert best.layer == 8  # type: ignore[attr-defined]  # the highest but 9, found by halving
    assert any("score" not in figures for _, figures in search.trials)


def test_without_a_plan_there_are_no_workers_and_with_them_no_method_that_goes_on_from_edit_to_edit() -> None:
    with shared_trials(StartTrials("mini", "rome", None, "identity", {}), None) as none:
        assert none is None
    check_independent(True, None)
    check_independent(False, SharedTrials.__new__(SharedTrials))
    with pytest.raises(SettingError, match="executor"):
        check_independent(True, SharedTrials.__new__(SharedTrials))
