"""The adapter in llama.cpp and the edited model in transformers say the same, word for word.

On a 32-bit file they compute the same numbers. On a 16-bit file llama.cpp also rounds what enters each matrix to 16
bits, edited or not, which moves log-probabilities by some hundredths: texts may differ where two tokens are closer.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from benchmarks.gguf_identity import PROMPTS, compare
from delta.conftest import MakeDelta
from kgedit.delta.gguf.from_file import gguf_from_file
from kgedit.delta.gguf.lora import export_gguf_lora
from kgedit.delta.gguf.writing import Precision
from kgedit.lm.load import load_model
from llama_cpp import LlamaCpp
from real_model import smollm2_file
from tiny_gguf import write_tiny_llama


@pytest.mark.parametrize(("precision", "tie", "tolerance"), [("f32", 0.0, 2e-4), ("f16", 0.05, 0.05)])
def test_a_hundred_texts_are_the_same(
    precision: Precision, tie: float, tolerance: float, make_delta: MakeDelta, tmp_path: Path
) -> None:
    write_tiny_llama(tmp_path / "tiny.gguf")
    base = gguf_from_file(None, tmp_path / "tiny.gguf", tmp_path / "base.gguf", precision=precision)
    model, _ = load_model(str(base))
    delta = make_delta(model, layers=(0, 2), rank=2)
    judge = LlamaCpp(base, [export_gguf_lora(delta, model, tmp_path / "lora.gguf")])
    judge.scales(1.0)
    assert len(PROMPTS) == 100
    with delta.apply(model):
        gaps, worst = compare(judge, model, PROMPTS, 12)
    assert max(gaps) <= tie
    assert worst < tolerance


@pytest.mark.timeout(900)
def test_a_real_model_says_the_same_edited_and_unedited(make_delta: MakeDelta, tmp_path: Path) -> None:
    file = smollm2_file()
    base = gguf_from_file(None, file, tmp_path / "base.gguf", precision="f32")
    model, _ = load_model(str(file))
    delta = make_delta(model, layers=(6,), rank=1)
    judge = LlamaCpp(base, [export_gguf_lora(delta, model, tmp_path / "lora.gguf")])
    for scale in (1.0, 0.0):
        judge.scales(scale)
        with delta.apply(model) if scale else nullcontext():
            gaps, worst = compare(judge, model, PROMPTS[:2], 8)
        assert max(gaps) == 0.0
        assert worst < 1e-3
