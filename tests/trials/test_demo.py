"""The demonstration on a model that is not the bundled one by name: its folder serves as any other model would."""

from __future__ import annotations

import pytest
import torch

from kgedit.editor import Editor
from kgedit.errors import DataError
from kgedit.mini import mini_folder
from kgedit.trials.demo import demonstrate
from kgedit.trials.draw import draw_edits
from kgedit.trials.measure import SCORED, score


@pytest.fixture(scope="module")
def editor() -> Editor:
    return Editor.from_pretrained(str(mini_folder()), method="rome:layer=1", moments="identity")


def test_recalled_facts_are_changed_and_put_back(editor: Editor) -> None:
    before = {name: weight.clone() for name, weight in editor.model.state_dict().items()}
    report = demonstrate(editor, edits=3, seed=0)
    assert len(report.edits) == 3
    assert set(report.figures) == {"unedited", "rome", "glame"}
    for edit in report.edits:
        assert edit.said["unedited"].startswith(edit.old)
        assert edit.old != edit.new
    assert report.figures["unedited"]["efficacy"] == 0.0
    assert report.figures["rome"]["efficacy"] > 0.5
    assert all(torch.equal(weight, before[name]) for name, weight in editor.model.state_dict().items())


def test_the_same_seed_draws_the_same_edits_of_different_subjects(editor: Editor) -> None:
    drawn, again, other = (draw_edits(editor, 3, seed=seed) for seed in (1, 1, 2))
    assert drawn == again != other
    assert len({item.edit.subject for item in drawn}) == len(drawn)
    for item in drawn:
        assert item.probe.rewrite[0] not in item.probe.paraphrase
        assert all(item.request.subject not in prompt for prompt in item.probe.neighborhood)


def test_a_model_that_recalls_nothing_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from families import tiny_model
    from kg_cache.bundled import bundled_store
    from kgedit.methods.rome import Rome, RomeConfig

    monkeypatch.setattr("kgedit.ingest.decide.recall_walk.MOST", 64)
    model, tokenizer = tiny_model("llama")
    with pytest.raises(DataError, match="recalls none"):
        draw_edits(Editor(model, tokenizer, bundled_store(), Rome(RomeConfig(layer=1)), name="tiny"), 2, seed=0)


def test_the_score_is_zero_if_any_of_its_measures_is() -> None:
    figures = dict.fromkeys(SCORED, 1.0)
    assert score(figures) == 1.0
    assert score(figures | {"neighborhood": 0.0}) == 0.0
    assert score(figures | {"neighborhood": 0.5}) == pytest.approx(5 / 6)
