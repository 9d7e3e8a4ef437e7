"""Running only the upper blocks, only over a suffix, gives what the whole model gives: for every family."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import Cache, PreTrainedModel

from families import ALIKE, FAMILIES, LAYERS, D, tiny_model
from kgedit.errors import NoSuchLayer
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.cache import fork, prefill
from kgedit.lm.hooks import add_at, capture, frozen, head_at, replay

# Rows as the optimisation lays them out: left-padded up to the pivot column, right-padded behind it.
# The third row has no earlier token at all; the first is longer than the sliding windows of mistral and
# gemma2.
BEFORE, AFTER = (11, 4, 0, 7), (3, 6, 5, 1)
WIDTH = max(BEFORE)

# gptj has no sdpa, and gemma2's capped attention is eager by default.
CASES = [
    (family, attention, layer)
    for family in FAMILIES
    for attention in ("eager", "sdpa")
    for layer in range(LAYERS)
    if (family, attention) not in {("gptj", "sdpa"), ("gemma2", "sdpa")}
]
CASES += [(family, "eager", 1) for family in ALIKE]


def _batch(vocabulary: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    ids = torch.zeros(len(BEFORE), WIDTH + max(AFTER), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, (before, after) in enumerate(zip(BEFORE, AFTER, strict=True)):
        span = slice(WIDTH - before, WIDTH + after)
        ids[row, span] = torch.randint(4, vocabulary, (before + after,), generator=generator)
        mask[row, span] = 1
    return ids, mask, (mask.cumsum(-1) - 1).clamp(min=0)


def _alone(model: torch.nn.Module, ids: Tensor, mask: Tensor, row: int) -> Tensor:
    """Logits of one row without padding, cache or neighbours: the plainest forward there is."""
    kept = mask[row].bool()
    return model(input_ids=ids[row : row + 1, kept]).logits[0]


def _suffix(model: PreTrainedModel, ids: Tensor, mask: Tensor, positions: Tensor, past: Cache) -> Tensor:
    return model(
        input_ids=ids[:, WIDTH:],
        attention_mask=mask,
        position_ids=positions[:, WIDTH:],
        past_key_values=fork(past),
    ).logits


@pytest.mark.parametrize(("family", "attention", "layer"), CASES)
def test_replayed_suffix_equals_full_forward(family: str, attention: str, layer: int) -> None:
    model, tok = tiny_model(family, attn_implementation=attention)
    anatomy = anatomy_of(model)
    ids, mask, positions = _batch(len(tok))
    past = prefill(model, ids[:, :WIDTH], mask[:, :WIDTH], positions[:, :WIDTH])
    offset = torch.randn(len(BEFORE), 1, D, generator=torch.Generator().manual_seed(5), requires_grad=True)

    with frozen(model):
        # The oracle: every row alone, unpadded, the offset added to m at the pivot.
        grads, expected = [], []
        for row, (before, after) in enumerate(zip(BEFORE, AFTER, strict=True)):
            pivot = torch.zeros(1, before + after, 1)
            pivot[:, before] = 1
            module = anatomy.mlp_out(model, layer)
            with add_at(module, lambda m, p=pivot, r=row: m + p * offset[r], rows=1):
                expected.append(_alone(model, ids, mask, row)[before:])
        loss = sum(logits.logsumexp(-1).sum() + logits[:, 7].sum() for logits in expected)
        (grads_expected,) = torch.autograd.grad(loss, offset)

        # Once: the clean states. Then, per step: only what lies above, only the suffix.
        modules = {"state": anatomy.block(model, layer), "m": anatomy.mlp_out(model, layer)}
        with torch.no_grad(), capture(modules, rows=len(BEFORE)) as clean:
            _suffix(model, ids, mask, positions, past)
        at_pivot = torch.zeros(1, ids.shape[1] - WIDTH, 1)
        at_pivot[:, 0] = 1
        for _ in range(2):  # a second step must find the cache as the first did
            state = anatomy.shifted(model, layer, clean["state"], clean["m"], at_pivot * offset)
            with replay(model, anatomy, layer + 1, state):
                got = _suffix(model, ids, mask, positions, past)
        rows = [got[row, :after] for row, after in enumerate(AFTER)]
        loss = sum(logits.logsumexp(-1).sum() + logits[:, 7].sum() for logits in rows)
        (grads,) = torch.autograd.grad(loss, offset)

    for mine, theirs in zip(rows, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(grads, grads_expected, rtol=1e-4, atol=1e-5)
    assert grads.abs().sum(-1).min() > 0


@pytest.mark.parametrize("family", FAMILIES)
def test_several_edited_layers_run_from_the_lowest_on(family: str) -> None:
    """Offsets on two layers at once: the lower blocks are replayed, both edited blocks run in full."""
    model, tok = tiny_model(family)
    anatomy = anatomy_of(model)
    ids, mask, positions = _batch(len(tok))
    offsets = {1: torch.full((D,), 0.7), 2: torch.full((D,), -0.4)}
    past = prefill(model, ids[:, :WIDTH], mask[:, :WIDTH], positions[:, :WIDTH])

    def change(layer: int, column: int) -> object:
        def at_pivot(m: Tensor) -> Tensor:
            moved = m.clone()
            moved[:, column] += offsets[layer]
            return moved

        return add_at(anatomy.mlp_out(model, layer), at_pivot, rows=len(BEFORE))

    with torch.no_grad():
        with change(1, WIDTH), change(2, WIDTH):
            full = model(input_ids=ids, attention_mask=mask, position_ids=positions).logits[:, WIDTH:]
        with capture({"state": anatomy.block(model, 0)}, stop=True) as clean:
            _suffix(model, ids, mask, positions, past)
        with replay(model, anatomy, 1, clean["state"]), change(1, 0), change(2, 0):
            got = _suffix(model, ids, mask, positions, past)
    kept = mask[:, WIDTH:].bool()
    torch.testing.assert_close(got[kept], full[kept], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", ["gpt2", "gemma2"])
def test_a_batch_whose_pivots_all_come_first_needs_no_earlier_columns(family: str) -> None:
    model, tok = tiny_model(family)
    anatomy = anatomy_of(model)
    ids = torch.randint(4, len(tok), (3, 5), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    positions = torch.arange(5).expand(3, -1)
    past = prefill(model, ids[:, :0], mask[:, :0], positions[:, :0])
    with torch.no_grad():
        with capture({"state": anatomy.block(model, 1)}) as clean:
            full = model(input_ids=ids).logits
        with replay(model, anatomy, 2, clean["state"]):
            got = model(input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=fork(past)).logits
    torch.testing.assert_close(got, full, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_head_at_gives_the_same_logits_with_the_familys_own_scaling(family: str) -> None:
    model, tok = tiny_model(family)
    ids = torch.randint(4, len(tok), (3, 6), generator=torch.Generator().manual_seed(1))
    rows, columns = torch.tensor([2, 0, 2]), torch.tensor([5, 1, 0])
    with torch.no_grad():
        full = model(input_ids=ids).logits
        with head_at(model, rows, columns):
            got = model(input_ids=ids).logits
        again = model(input_ids=ids).logits
    assert got.shape == (1, 3, full.shape[-1])
    torch.testing.assert_close(got[0], full[rows, columns], rtol=1e-5, atol=1e-6)
    assert torch.equal(again, full)


def test_a_fork_leaves_the_original_cache_as_it_was() -> None:
    model, tok = tiny_model("mistral")
    ids, mask, positions = _batch(len(tok))
    past = prefill(model, ids[:, :WIDTH], mask[:, :WIDTH], positions[:, :WIDTH])
    keys = [layer.keys.clone() for layer in past.layers]
    with torch.no_grad():
        whole = _suffix(model, ids, mask, positions, past)
        rows = torch.tensor([3, 0, 3])
        picked = model(
            input_ids=ids[rows, WIDTH:],
            attention_mask=mask[rows],
            position_ids=positions[rows, WIDTH:],
            past_key_values=fork(past, rows),
        ).logits
    assert past.get_seq_length() == WIDTH
    for layer, before in zip(past.layers, keys, strict=True):
        assert torch.equal(layer.keys, before)
    torch.testing.assert_close(picked, whole[rows], rtol=1e-5, atol=1e-5)


def test_half_precision_model_takes_a_float32_state() -> None:
    model, tok = tiny_model("gptj")
    model.to(torch.bfloat16)
    anatomy = anatomy_of(model)
    ids = torch.randint(4, len(tok), (2, 5), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        with capture({"state": anatomy.block(model, 0)}) as clean:
            full = model(input_ids=ids).logits
        with replay(model, anatomy, 1, clean["state"].float()):
            assert torch.equal(model(input_ids=ids).logits, full)


def test_what_cannot_be_replayed_is_refused_and_nothing_stays_swapped() -> None:
    model, tok = tiny_model("llama")
    anatomy = anatomy_of(model)
    ids = torch.zeros(1, 4, dtype=torch.long)
    with (
        pytest.raises(NoSuchLayer, match="4 blocks"),
        replay(model, anatomy, LAYERS + 1, torch.zeros(1, 4, D)),
    ):
        pass
    wrong_shape = replay(model, anatomy, 2, torch.zeros(1, 3, D))
    with pytest.raises(ValueError, match=r"\(1, 3, 32\), not \(1, 4, 32\)"), wrong_shape:
        model(input_ids=ids)
    with pytest.raises(KeyboardInterrupt), replay(model, anatomy, 2, torch.zeros(1, 4, D)):
        raise KeyboardInterrupt
    assert not any("forward" in block.__dict__ for block in anatomy.blocks(model))


def test_a_forward_that_somebody_else_had_swapped_comes_back() -> None:
    """Libraries that place models on devices set their own forward on a module."""
    model, _ = tiny_model("llama")
    anatomy = anatomy_of(model)
    block = anatomy.block(model, 0)
    theirs = block.forward
    block.forward = theirs
    with replay(model, anatomy, 1, torch.zeros(1, 1, D)):
        assert block.forward is not theirs
    assert block.__dict__["forward"] is theirs
