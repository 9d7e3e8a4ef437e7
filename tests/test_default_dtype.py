"""torch's default precision, which a user may have set for other work, changes no number and breaks nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from families import tiny_model
from kgedit.edit import Edit
from kgedit.editor import Editor
from kgedit.evaluate import EvaluationSettings, evaluate
from kgedit.lm.second_moment.collect import collect

EDIT = Edit(subject="Albert Einstein", relation="P27", target_new="France")
DATA = str(Path(__file__).parent / "data" / "counterfact" / "counterfact.json")


@contextmanager
def default(dtype: torch.dtype) -> Iterator[None]:
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def edited(method: str) -> tuple[float, list[tuple[str, float]], str]:
    editor = Editor.from_pretrained("mini", method=method, moments="identity")
    result = editor.apply(EDIT)
    assert editor.model.dtype == torch.float32
    return result.probability_after, editor.ask("Albert Einstein is a citizen of", 2), result.id


@pytest.mark.parametrize("method", ["rome:steps=2", "memit:steps=2", "glame:steps=2:extra_steps=0", "ft-l:steps=2"])
def test_every_method_makes_the_same_delta(method: str) -> None:
    expected = edited(method)
    for dtype in (torch.float64, torch.float16) if method == "rome:steps=2" else (torch.float64,):
        with default(dtype):
            assert edited(method) == expected


def test_second_moments_are_the_same() -> None:
    model, tokenizer = tiny_model("llama")
    texts = ["Albert Einstein was born in Ulm.", "Marie Curie works in the field of physics."]
    expected = collect(model, tokenizer, texts, [1])[1].matrix
    for dtype in (torch.float64, torch.bfloat16):
        with default(dtype):
            assert torch.equal(collect(model, tokenizer, texts, [1])[1].matrix, expected)


def test_an_evaluation_gives_the_same_report() -> None:
    settings = EvaluationSettings(
        suite="counterfact", data=DATA, methods="rome:steps=2", limit=1, moments="identity", anyway=True
    )
    expected = evaluate(settings).report.methods
    with default(torch.float64):
        assert evaluate(settings).report.methods == expected
