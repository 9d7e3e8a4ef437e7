"""Wrong methods, settings and statistics are said before a model is loaded, and leave no store behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from kgedit import editor
from kgedit.editor import Editor
from kgedit.errors import KgeditError, MomentError, SettingError, UnknownMethod, UnknownModel
from kgedit.ingest.session import open_session
from kgedit.methods.before_loading import check_before_loading
from kgedit.methods.rome import RomeConfig


@pytest.mark.parametrize(
    ("model", "variant", "moments", "error", "words"),
    [
        ("mini", "glam", "auto", UnknownMethod, "did you mean 'glame'"),
        ("mini", "rome:step=3", "auto", SettingError, "steps"),
        ("mini", "rome:layer=x", "auto", SettingError, "layer"),
        ("mini", "rome", "absent", MomentError, "no folder of second moments"),
        ("mini", "rome", ".", MomentError, r"no statistics of layers \[\d\]"),
        ("some/model", "rome:layer=4", ".", MomentError, r"no statistics of layers \[4\]"),
        ("some/model", "memit:layers=4-5", ".", MomentError, r"no statistics of layers \[4, 5\]"),
    ],
)
def test_it_is_said_before_the_model_is_loaded(
    model: str, variant: str, moments: str, error: type[KgeditError], words: str,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(editor, "load_model", lambda *_, **__: pytest.fail("the model was loaded"))
    source = moments if moments == "auto" else tmp_path / moments
    with pytest.raises(error, match=words):
        Editor.from_pretrained(model, method=variant, moments=source)
    with (
        pytest.raises(error, match=words),
        open_session(tmp_path / "store", model=model, method=variant, moments=source),
    ):
        pass
    assert not (tmp_path / "store").exists()


def test_settings_that_were_made_by_hand_name_their_layer(tmp_path: Path) -> None:
    with pytest.raises(MomentError, match=r"layers \[2\]"):
        check_before_loading("some/model", "rome", config=RomeConfig(layer=2), moments=tmp_path)


def test_layers_that_follow_from_the_depth_are_left_for_later(tmp_path: Path) -> None:
    check_before_loading("some/model", "rome", moments=tmp_path)
    check_before_loading("some/model", "ft:layer=3", moments=tmp_path)


def test_a_model_that_cannot_be_loaded_leaves_no_store_behind(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel), open_session(tmp_path / "store", model=str(tmp_path / "absent"), method="rome"):
        pass
    assert list(tmp_path.iterdir()) == []
