"""A label's vector is the block's output for the label alone, pooled; batching and BOS do not enter."""

from __future__ import annotations

import pytest
import torch

from families import CONTEXT, FAMILIES, D, tiny_model
from kgedit.errors import NoSuchLayer, PromptError
from kgedit.lm.represent import represent, represent_each

TEXTS = ["Paris", "country of citizenship", "the capital of France is Paris", "東京"]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("bos", [False, True])
def test_vectors_equal_those_of_each_label_alone(family: str, bos: bool) -> None:
    model, tok = tiny_model(family, bos=bos)
    got = {p: represent(model, tok, TEXTS, 1, pooling=p) for p in ("avg", "last", "composite", "composite_norm")}
    for i, text in enumerate(TEXTS):
        ids = tok(text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            states = model(input_ids=ids, output_hidden_states=True).hidden_states[2][0, int(bos) :]
        mean, last = states.mean(0), states[-1]
        expected = {
            "avg": mean,
            "last": last,
            "composite": (last + mean) / 2,
            "composite_norm": (last + mean * last.norm() / mean.norm()) / 2,
        }
        for pooling, vector in expected.items():
            torch.testing.assert_close(got[pooling][i], vector, rtol=1e-5, atol=1e-5)


def test_result_is_float32_and_detached_whatever_the_model() -> None:
    model, tok = tiny_model("llama")
    exact = represent(model, tok, TEXTS, 0, batch_size=1)
    model.to(torch.bfloat16)
    got = represent(model, tok, TEXTS, 0)
    assert got.dtype == torch.float32
    assert not got.requires_grad
    assert got.shape == (4, D)
    torch.testing.assert_close(got, exact, rtol=0.1, atol=0.1)
    assert represent(model, tok, [], 0).shape == (0, D)


def test_groups_that_are_read_together_are_each_read_as_if_alone() -> None:
    model, tok = tiny_model("gpt2")
    groups = [TEXTS, [], TEXTS[2:], ["Paris"]]
    for group, vectors in zip(groups, represent_each(model, tok, groups, 1), strict=True):
        assert torch.equal(vectors, represent(model, tok, group, 1))


@pytest.mark.parametrize("text", ["", "  "])
def test_a_label_without_a_token_is_refused(text: str) -> None:
    model, tok = tiny_model("llama", bos=True)
    with pytest.raises(PromptError, match="no token"):
        represent(model, tok, ["Paris", text], 0)


def test_bad_requests() -> None:
    model, tok = tiny_model("gpt2")
    with pytest.raises(PromptError, match=f"the model reads {CONTEXT}"):
        represent(model, tok, ["東京" * 100], 0)
    with pytest.raises(NoSuchLayer):
        represent(model, tok, ["Paris"], 3)
