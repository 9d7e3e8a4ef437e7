"""What is wrong from the start is said before any work is done."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from kg_cache.settings import Settings
from kgedit.editor import Editor
from kgedit.errors import EvaluationError, KgeditError, MomentError, OtherRun
from kgedit.evaluate import EvaluationSettings, evaluate
from kgedit.evaluate.run import prepared
from kgedit.evaluate.run.folder import open_folder
from kgedit.evaluate.run.prepared import prepare
from kgedit.lm.second_moment.collect import collect, weights_keys
from kgedit.lm.second_moment.files import save_moment
from kgedit.lm.second_moment.find import cached_file
from kgedit.mini import mini_folder

DATA = str(Path(__file__).parents[2] / "data" / "counterfact" / "counterfact.json")


@pytest.mark.parametrize("methods", ["rome,glam", "rome,memit:layer=3x", "rome:step=3"])
def test_methods_are_read_before_the_model(methods: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Editor, "from_pretrained", lambda *_, **__: pytest.fail("the model was loaded"))
    with pytest.raises(KgeditError):
        evaluate(EvaluationSettings(suite="counterfact", data=DATA, methods=methods))


def test_missing_statistics_are_found_before_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Editor, "from_pretrained", lambda *_, **__: pytest.fail("the model was loaded"))
    with pytest.raises(MomentError, match="no statistics of layers"):
        evaluate(EvaluationSettings(suite="counterfact", data=DATA, methods="rome,memit", limit=1, moments=tmp_path))
    with pytest.raises(MomentError, match="no folder"):
        evaluate(EvaluationSettings(suite="counterfact", data=DATA, methods="rome", moments=tmp_path / "absent"))


def test_a_run_with_the_identity_does_not_go_on_with_statistics_that_were_collected_since(tmp_path: Path) -> None:
    model = shutil.copytree(mini_folder(), tmp_path / "someones")
    made = EvaluationSettings(
        suite="counterfact", data=DATA, model=str(model), methods="rome:layer=1,ft:layer=1", limit=1
    )
    before = prepare(made).manifest
    assert before.settings["rome:layer=1"]["identity_at"] == [1]
    assert "identity_at" not in before.settings["ft:layer=1"]
    with open_folder(tmp_path / "run", before.model_dump(mode="json")):
        pass
    editor = Editor.from_pretrained(str(model), method=None)
    collected = collect(editor.model, editor.tokenizer, ["Marie Curie was born in Warsaw."] * 9, [1])[1]
    save_moment(collected, cached_file(Settings().cache_dir, weights_keys(editor.model, [1])[1], 1))
    after = prepare(made).manifest.model_dump(mode="json")
    with pytest.raises(OtherRun, match=r"identity_at was \[1\], now null"), open_folder(tmp_path / "run", after):
        pass


@pytest.mark.parametrize(("methods", "told"), [("rome,glame", True), ("rome", False)])
def test_it_is_told_of_how_many_edits_the_graph_knows_nothing(methods: str, told: bool) -> None:
    """The bundled graph has none of these records' subjects."""
    made = EvaluationSettings(suite="counterfact", data=DATA, methods=methods, moments="identity", limit=4)
    notes = [note for note in prepare(made).notes if "subject and relation of" in note]
    assert bool(notes) == told
    if told:
        assert "0 of 4 edits; about the others it tells glame nothing" in notes[0]


def test_not_every_edit_of_a_large_file_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "_LOOKED_UP", 3)
    made = EvaluationSettings(suite="counterfact", data=DATA, methods="glame", moments="identity", limit=4)
    assert any("0 of the first 3 of 4 edits" in note for note in prepare(made).notes)


def test_that_the_model_recalls_nothing_is_said_before_any_method_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = EvaluationSettings(suite="counterfact", data=DATA, methods="rome:steps=1", limit=2, moments="identity")
    opened: list[str | None] = []
    load = Editor.from_pretrained

    def noting(model: str, **options: Any) -> Editor:
        opened.append(options["method"])
        return load(model, **options)

    monkeypatch.setattr(Editor, "from_pretrained", noting)
    with pytest.raises(EvaluationError, match="0 of 2 cases.*--anyway"):
        evaluate(settings)
    assert opened == [None]
    report = evaluate(settings.model_copy(update={"anyway": True})).report
    assert opened == [None, None, "rome"]
    assert report.meaningful
    assert "mean little" in report.headline
