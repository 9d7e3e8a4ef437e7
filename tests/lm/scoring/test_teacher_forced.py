"""Scores from shared batches equal a plain forward of each row alone, and every shared token is computed once."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from families import CONTEXT, FAMILIES, tiny_model
from kgedit.errors import PromptError, TargetError
from kgedit.lm import tree_inputs
from kgedit.lm.scoring import teacher_forced
from kgedit.lm.scoring.teacher_forced import TargetScore, score_rows
from kgedit.lm.tree_inputs import takes_trees

PROMPTS = [(5, 9, 30, 11, 8, 40, 41, 42), (5, 9, 30, 11, 8, 40, 41, 43, 6), (6,), (5, 9, 31)]
TARGETS = [(7,), (12, 13, 14), (12, 5), (40,)]
ROWS = [(prompt, target) for prompt in PROMPTS for target in TARGETS]


def alone(model: PreTrainedModel, prompt: tuple[int, ...], target: tuple[int, ...]) -> Tensor:
    """Logits (L, vocabulary) of one unpadded forward over prompt and target."""
    with torch.no_grad():
        return model(input_ids=torch.tensor([[*prompt, *target]])).logits[0, len(prompt) - 1 : -1]


def computed(model: PreTrainedModel, rows: list, **options: int) -> list[torch.Size]:
    """Batch and length of every input that the first block sees."""
    seen: list[torch.Size] = []
    handle = model.transformer.h[0].register_forward_pre_hook(lambda module, args: seen.append(args[0].shape[:2]))
    score_rows(model, rows, **options)
    handle.remove()
    return seen


def assert_right(model: PreTrainedModel, **options: int) -> None:
    for (prompt, target), score in zip(ROWS, score_rows(model, ROWS, **options), strict=True):
        logits = alone(model, prompt, target)
        logps = logits.log_softmax(-1)[range(len(target)), target]
        assert score.ids == target
        torch.testing.assert_close(torch.tensor(score.logprobs), logps, rtol=1e-5, atol=1e-5)
        assert score.top == tuple(logits.argmax(-1).tolist())


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_equal_those_of_each_row_alone(family: str) -> None:
    model, _ = tiny_model(family)
    assert takes_trees(model), f"{family} has no row in _MASKS"
    assert_right(model)
    with pytest.MonkeyPatch.context() as patch:  # several trees, side by side and one after another
        patch.setattr(teacher_forced, "TREE_TOKENS", 22)
        assert_right(model)
        assert_right(model, batch_tokens=1)


@pytest.mark.parametrize("family", ["gpt2", "mistral", "gemma2"])
def test_eager_attention_sees_the_same(family: str) -> None:
    model, _ = tiny_model(family)
    model.set_attn_implementation("eager")
    assert_right(model)


@pytest.mark.parametrize("family", ["gpt2", "mistral", "gemma2"])
def test_a_family_that_takes_no_masks_gets_plain_batches(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_inputs, "_MASKS", {})
    model, _ = tiny_model(family)
    assert_right(model)
    assert_right(model, batch_tokens=30)


def test_half_precision_scores_are_near() -> None:
    model, _ = tiny_model("gemma2")
    exact = score_rows(model, ROWS)
    for a, b in zip(exact, score_rows(model.to(torch.bfloat16), ROWS), strict=True):
        assert a.logprobs == pytest.approx(b.logprobs, abs=0.3)


def test_equal_rows_get_the_very_same_numbers_and_order_does_not_matter() -> None:
    model, _ = tiny_model("gpt2")
    once = score_rows(model, ROWS)
    assert score_rows(model, [*ROWS[::-1], *ROWS]) == [*once[::-1], *once]
    assert score_rows(model, []) == []


def test_every_common_beginning_is_computed_once() -> None:
    model, _ = tiny_model("gpt2")
    prompt = tuple(range(10, 20))
    assert computed(model, [(prompt, (7,)), (prompt, (8,)), (prompt, (9, 9, 9))]) == [(1, 12)]
    shown = tuple(range(100, 150))
    rows = [((*shown, a, a + 1, a + 2), (t, t, t)) for a in (10, 20, 30) for t in (7, 8)]
    assert computed(model, rows) == [(1, 50 + 3 * 3 + 6 * 2)]


def test_trees_and_batches_are_bounded() -> None:
    model, _ = tiny_model("gpt2", n_layer=1)
    rows = [((i, *[9] * 60), (7, 8)) for i in range(40)]  # 62 tokens each, nothing in common
    assert computed(model, rows, batch_tokens=600) == [(2, 248)] * 5  # four rows a tree, two trees a batch
    assert computed(model, rows, batch_tokens=1) == [(1, 248)] * 10


def test_a_target_counts_as_a_whole_and_per_token() -> None:
    score = TargetScore(ids=(1, 2), logprobs=(math.log(0.5), math.log(0.08)), top=(1, 3))
    assert score.joint_probability == pytest.approx(0.04)
    assert score.probability == pytest.approx(0.2)  # sqrt(0.5 * 0.08)
    assert score.mean_logprob == pytest.approx(math.log(0.2))
    assert score.token_accuracy == 0.5
    assert not score.exact
    assert score._replace(top=(1, 2)).exact


def test_nan_is_no_probability_at_all() -> None:
    score = TargetScore(ids=(0, 1), logprobs=(math.nan, -1.0), top=(-1, -1))
    assert score.mean_logprob == -math.inf
    assert score.probability == score.joint_probability == 0
    assert score.token_accuracy == 0
    assert not score.exact


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
    with pytest.raises(PromptError, match=f"prompt of {CONTEXT} tokens and 1 more"):
        score_rows(model, [((5,) * CONTEXT, (5, 6))])
    assert len(score_rows(model, [((5,) * CONTEXT, (5,))])) == 1
