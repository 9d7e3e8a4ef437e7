"""What is wrong from the start is said before any work is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from kgedit.editor import Editor
from kgedit.errors import KgeditError, MomentError
from kgedit.evaluate import EvaluationSettings, evaluate

DATA = str(Path(__file__).parents[2] / "data" / "counterfact" / "counterfact.json")


@pytest.mark.parametrize("methods", ["rome,glam", "rome,memit:layer=3x", "rome:step=3"])
def test_methods_are_read_before_the_model(methods: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Editor, "from_pretrained", lambda *_, **__: pytest.fail("the model was loaded"))
    with pytest.raises(KgeditError):
        evaluate(EvaluationSettings(suite="counterfact", data=DATA, methods=methods))


def test_missing_statistics_are_found_before_a_question_is_asked(tmp_path: Path) -> None:
    seen: list[str] = []
    with pytest.raises(MomentError, match="no statistics of layers"):
        evaluate(
            EvaluationSettings(suite="counterfact", data=DATA, methods="rome,memit", limit=1, moments=tmp_path),
            progress=lambda what, done, total: seen.append(what),
        )
    assert not [what for what in seen if "scored" in what]
