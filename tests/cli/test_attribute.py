"""`kgedit attribute` on a tiny model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
PROMPT = "The capital of France is"


@pytest.fixture
def texts(tmp_path: Path) -> str:
    file = tmp_path / "texts.txt"
    file.write_text("Marie Curie works in physics.\n\nThe capital of France is Paris.\nTokyo is in Japan.\n", "utf-8")
    return str(file)


def test_the_texts_behind_an_answer_are_listed(run: Run, tiny: str, other: str, texts: str) -> None:
    words = ("attribute", "--model", tiny, "--texts", texts, PROMPT, "--answer", "Paris", "--top", "2")
    found = run(*words, "--checkpoint", f"{other}=0.5", "--checkpoint", tiny, "--layers", "1,2", "--json")
    assert found["layers"] == [1, 2]
    assert found["texts"] == 3
    assert set(found["best"]) == {"ekfac", "influence", "tracin", "cosine", "bm25"}
    assert all(len(best) == 2 for best in found["best"].values())
    assert found["best"]["bm25"][0] == {
        "number": 2,
        "text": "The capital of France is Paris.",
        "score": pytest.approx(4.6, abs=2),
    }
    shown = run(*words, "--scores", "bm25,cosine")
    assert "rank by cosine" in shown
    assert "The capital of France is Paris." in shown


def test_without_an_answer_the_models_own_is_explained(run: Run, tiny: str, texts: str) -> None:
    found = run("attribute", "--model", tiny, "--texts", texts, PROMPT, "--scores", "bm25", "--json")
    assert found["answer"]
    assert found["residual"] is None


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--scores", "bm25,trak"), "trak"),
        (("--scores", ""), "scores"),
        (("--layers", "9"), "layer 9"),
        (("--layers", "x"), "--layers"),
        (("--matrices", "attention"), "attention"),
        (("--checkpoint", "steps=fast"), "steps=fast"),
        (("--checkpoint", "steps=nan"), "steps=nan"),
        (("--checkpoint", "no/such=1"), "no/such"),
        (("--texts", "no-file.txt"), "--texts"),
        (("--answer", ""), "target"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    words: tuple[str, ...], named: str, refused: Run, tiny: str, texts: str
) -> None:
    given = ("attribute", "--model", tiny, "--texts", texts, PROMPT, "--answer", "Paris", *words)
    assert named in refused(*given)
