"""Scores from shared batches equal a plain forward of each row alone, and every shared token is computed once."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from families import CONTEXT, FAMILIES, tiny_model
from kgedit.errors import PromptError, TargetError
from kgedit.evaluate.metrics.rows import score_rows

PROMPTS = [(5, 9, 30, 11, 8, 40, 41, 42), (5, 9, 30, 11, 8, 40, 41, 43, 6), (6,), (5, 9, 31)]
TARGETS = [(7,), (12, 13, 14), (12, 5), (40,)]
ROWS = [(prompt, target) for prompt in PROMPTS for target in TARGETS]


def alone(model: PreTrainedModel, prompt: tuple[int, ...], target: tuple[int, ...]) -> Tensor:
    """Logits (L, vocabulary) of one unpadded forward over prompt and target."""
    with torch.no_grad():
        return model(input_ids=torch.tensor([[*prompt, *target]])).logits[0, len(prompt) - 1 : -1]


def computed(model: PreTrainedModel, rows: list, batch_size: int = 64) -> int:
    """Token positions, padding included, that the first block sees."""
    seen = []
    block = model.transformer.h[0]
    handle = block.register_forward_pre_hook(lambda module, args: seen.append(args[0].shape[0] * args[0].shape[1]))
    score_rows(model, rows, batch_size=batch_size)
    handle.remove()
    return sum(seen)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_scores_equal_those_of_each_row_alone(family: str, batch_size: int) -> None:
    model, _ = tiny_model(family)
    for (prompt, target), score in zip(ROWS, score_rows(model, ROWS, batch_size=batch_size), strict=True):
        logits = alone(model, prompt, target)
        logps = logits.log_softmax(-1)[range(len(target)), target]
        assert score.ids == target
        torch.testing.assert_close(torch.tensor(score.logprobs), logps, rtol=1e-5, atol=1e-5)
        assert score.top == tuple(logits.argmax(-1).tolist())


def test_equal_rows_get_the_very_same_numbers_and_order_does_not_matter() -> None:
    model, _ = tiny_model("gpt2")
    once = score_rows(model, ROWS)
    assert score_rows(model, [*ROWS[::-1], *ROWS]) == [*once[::-1], *once]
    assert score_rows(model, []) == []


def test_two_targets_of_one_token_cost_one_row() -> None:
    model, _ = tiny_model("gpt2")
    prompt = tuple(range(10, 20))
    assert computed(model, [(prompt, (7,)), (prompt, (8,)), (prompt, (9, 9, 9))]) == 12


def test_shared_beginnings_are_computed_once() -> None:
    model, _ = tiny_model("gpt2")
    shown = tuple(range(100, 150))
    rows = [((*shown, a, a + 1, a + 2), (t, t, t)) for a in (10, 20, 30) for t in (7, 8)]
    assert computed(model, rows) == 50 + 6 * 5  # the demonstrations once, then question and target of each
    # Where batches part, each computes its own stem again.
    assert computed(model, rows, batch_size=3) == 2 * 50 + 6 * 5


def test_prompts_without_common_beginning_take_one_pass() -> None:
    model, _ = tiny_model("gpt2")
    assert computed(model, [((a, a, a, a), (7,)) for a in range(10, 15)]) == 5 * 4


def test_long_rows_are_split_over_batches() -> None:
    model, _ = tiny_model("gpt2", n_layer=1)
    rows = [((i, *[9] * 120), (7, 8)) for i in range(70)]
    sizes: list[int] = []
    handle = model.transformer.h[0].register_forward_pre_hook(lambda m, args: sizes.append(args[0].shape[:2].numel()))
    assert [len(score.ids) for score in score_rows(model, rows, batch_size=70)] == [2] * 70
    handle.remove()
    assert max(sizes) <= 8192
    assert sum(sizes) == 70 * 122


def test_a_model_that_gives_nan_gets_no_hit() -> None:
    model, _ = tiny_model("gpt2")
    with torch.no_grad():
        model.transformer.h[1].mlp.c_proj.weight.fill_(math.nan)
    [score] = score_rows(model, [((5, 6), (0, 1))])
    assert score.top == (-1, -1)
    assert all(math.isnan(p) for p in score.logprobs)


def test_model_and_flags_are_as_before_and_dropout_is_off() -> None:
    model, _ = tiny_model("gpt2", resid_pdrop=0.5)
    model.train()
    assert score_rows(model, ROWS) == score_rows(model, ROWS)
    assert model.training
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


def test_empty_and_overlong_input_is_refused_before_anything_runs() -> None:
    model, _ = tiny_model("gpt2")
    with pytest.raises(PromptError, match="no token"):
        score_rows(model, [((), (5,))])
    with pytest.raises(TargetError, match="no token"):
        score_rows(model, [((5,), ())])
    with pytest.raises(PromptError, match=f"prompt of {CONTEXT} tokens and a target of 2"):
        score_rows(model, [((5,) * CONTEXT, (5, 6))])
    assert len(score_rows(model, [((5,) * CONTEXT, (5,))])) == 1
