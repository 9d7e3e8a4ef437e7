"""Both models' texts grow one after the other, only the second with the window's edits; a stop frees the model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kg_cache.bundled import bundled_store
from kgedit.edit import Edit
from kgedit.editor import Editor
from kgedit.errors import Stopped
from kgedit.workbench import writing
from kgedit.workbench.desk import Desk, Sitting
from kgedit.workbench.writing import pair_html, written

PROMPT = "Albert Einstein is a citizen of"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    editor = Editor.from_pretrained("mini", method="rome", moments="identity")
    return Desk(
        editor=editor, model="mini", method="rome", graph=bundled_store(), graph_file=None, moments="identity",
        store=Path("store"), files=tmp_path_factory.mktemp("files"), loading={},
    )  # fmt: skip


def test_the_texts_grow_and_only_the_second_has_the_edit(desk: Desk) -> None:
    with desk.editor.preview(Edit(subject="Albert Einstein", relation="P27", target_new="France")):
        (delta,) = desk.editor.deltas
    sitting: Any = Sitting(tried=SimpleNamespace(delta=delta))  # tried, and not yet kept
    steps = list(written(desk, sitting, PROMPT))
    assert len(steps) > 4
    for before, after in zip(steps, steps[1:], strict=False):
        assert all(new.startswith(old) for old, new in zip(before, after, strict=True))
    assert steps[0][1] == ""
    unedited, edited = (text.strip() for text in steps[-1])
    assert unedited.startswith("United States of America")
    assert edited.startswith("France")
    assert desk.editor.deltas == ()
    assert desk.editor.complete(PROMPT) == "United States of America"


def test_a_stop_ends_the_text_and_frees_the_model(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    sitting = Sitting()

    def stream(*args: object) -> Iterator[str]:
        yield "a"
        sitting.stopping = True
        yield "a b"

    monkeypatch.setattr(writing, "stream", stream)
    texts = written(desk, sitting, PROMPT)
    assert next(texts) == ("a", "")
    with pytest.raises(Stopped, match="nothing was changed"):
        list(texts)
    assert desk.editor.complete(PROMPT) == "United States of America"  # another thread has its turn
    sitting.stopping = True  # pressed while the work still waits
    with pytest.raises(Stopped):
        next(written(desk, sitting, PROMPT))


def test_a_text_is_text() -> None:
    assert "<b>" not in pair_html("<b>", ("<b>", "<b>"))
