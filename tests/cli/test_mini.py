"""The bundled model at the command line: it answers, refuses what holds already, and the demonstration's JSON."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
MEASURES = {"efficacy", "paraphrase", "neighborhood", "portability", "subject_specificity"}


def test_the_bundled_model_knows_a_fact_without_any_argument(run: Run) -> None:
    shown = run("ask", "Albert Einstein was born in", "-k", "2", "--json")
    assert shown["model"] == "mini"
    assert shown["answers"][0]["text"] == "Ulm"
    assert shown["answers"][0]["probability"] > 0.5


def test_an_edit_to_what_the_model_says_already_is_refused(refused: Run, tmp_path: Path) -> None:
    words = ["--subject", "Albert Einstein", "--relation", "place of birth", "--target", "Ulm"]
    told = refused("edit", *words, "--out", str(tmp_path / "out"))
    assert "already" in told
    assert "Ulm" in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_demonstration_reports_both_methods_as_shares(run: Run) -> None:
    report = run("demo", "--edits", "1", "--seed", "3", "--json")
    assert report["edits"] == 2, "the named edit and one more"
    assert report["seconds"] > 0
    assert report["methods"].keys() == {"rome", "glame"}
    for shares in (report["unedited"], *report["methods"].values()):
        assert shares.keys() == MEASURES
        assert all(0 <= share <= 1 for share in shares.values())
    assert report["unedited"]["efficacy"] == 0, "an edit of what the model says already would prove nothing"
    asked = {answer["measure"] for answer in report["answers"]}
    assert MEASURES - {"neighborhood"} <= asked
    assert all(answer["said"].keys() == {"unedited", "rome", "glame"} for answer in report["answers"])
