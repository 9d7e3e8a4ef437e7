"""What is wrong from the start is said before any work is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kgedit.editor import Editor
from kgedit.errors import EvaluationError, KgeditError, MomentError
from kgedit.evaluate import EvaluationSettings, evaluate

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
