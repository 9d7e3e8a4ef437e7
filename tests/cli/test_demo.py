"""`kgedit demo` on a model that is not the bundled one, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kgedit.mini import mini_folder
from kgedit.trials.demo import RecalledDemo

Run = Callable[..., Any]


def test_any_model_is_shown_before_and_after(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("demo", "--model", str(mini_folder()), "--edits", "1", "--moments", "identity")
    found = run(*words, "--json")
    (edit,) = found["edits"]
    assert edit["said"]["unedited"].startswith(edit["old"])
    assert set(found["figures"]) == {"unedited", "rome", "glame"}
    report = RecalledDemo.model_validate(found)
    monkeypatch.setattr("kgedit.trials.demo.demonstrate", lambda *_, **__: report)  # the same edits, in words
    shown = " ".join(run(*words).split())
    assert edit["new"] in shown
    assert "per edit" in shown


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--model", "no/such-model"), "no/such-model"),
        (("--moments", "identity"), "--model"),
        (("--edits", "0"), "edits"),
    ],
)
def test_what_cannot_be_shown_is_one_line(words: tuple[str, ...], named: str, refused: Run) -> None:
    assert named in refused("demo", *words)
