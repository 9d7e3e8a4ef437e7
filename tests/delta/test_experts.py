"""Routing and output of experts, and the tokens that an anchor reaches, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from kgedit.delta.experts import ExpertBank, ExpertsDelta, ExpertWeights, anchored_tokens

# Two experts of rank one; d_ff = 2, one number for the anchor, d = 2. Expert 0: (2, 0) times k_0; 1: (0, 3) times k_1.
DOWN = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
UP = torch.tensor([[[2.0], [0.0]], [[0.0], [3.0]]])
BY_KEY = ExpertWeights(torch.tensor([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]]), DOWN, UP)
BY_ANCHOR = ExpertWeights(torch.tensor([[0.0, 0.0, 2.0], [0.0, 0.0, -2.0]]), DOWN, UP)


def test_a_token_passes_the_best_expert_by_its_gate() -> None:
    """Keys (5, 0) and (0, 7), seen as (1, 0) and (0, 1): logits (2, 0) and (0, 2), so g = 1 / (1 + e^-2)."""
    keys, anchors = torch.tensor([[5.0, 0.0], [0.0, 7.0]]), torch.ones(2, 1)
    shares = BY_KEY.shares(keys, anchors)
    gate = 1 / (1 + math.exp(-2))
    assert torch.allclose(shares, torch.tensor([[gate, 1 - gate], [1 - gate, gate]]))
    assert torch.allclose(BY_KEY.output(keys, shares, 1), torch.tensor([[10 * gate, 0.0], [0.0, 21 * gate]]))


def test_the_anchor_decides_where_the_token_does_not_and_two_experts_add_up() -> None:
    keys, anchors = torch.tensor([[1.0, 1.0], [1.0, 1.0]]), torch.tensor([[0.5], [-3.0]])
    shares = BY_ANCHOR.shares(keys, anchors)
    gate = 1 / (1 + math.exp(-4))  # logits 2 and -2: anchors count by their direction
    assert torch.allclose(shares, torch.tensor([[gate, 1 - gate], [1 - gate, gate]]))
    assert torch.allclose(BY_ANCHOR.output(keys, shares, 1), torch.tensor([[2 * gate, 0.0], [0.0, 3 * gate]]))
    both = torch.tensor([2 * gate, 3 * (1 - gate)])
    assert torch.allclose(BY_ANCHOR.output(keys, shares, 2)[0], both)


def test_noise_is_added_before_the_gates_are_made() -> None:
    shares = BY_ANCHOR.shares(torch.ones(1, 2), torch.ones(1, 1), torch.tensor([[-4.0, 0.0]]))
    assert torch.allclose(shares, torch.tensor([[0.5, 0.5]]))


@pytest.mark.parametrize(
    ("ids", "found"),
    [
        ((9, 1, 2, 8), [(2, 0), (3, 0)]),  # from the anchor's last token on
        ((1, 9, 2), []),  # only as a whole
        ((1, 2, 7, 3), [(1, 0), (2, 0), (3, 1)]),  # the latest counts
        ((5, 1, 2), [(2, 2)]),  # the longest of those that end there
        ((), []),
    ],
)
def test_the_tokens_that_an_anchor_reaches(ids, found) -> None:
    assert list(anchored_tokens(ids, [(1, 2), (3,), (5, 1, 2)])) == found


def test_banks_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="differ"):
        ExpertBank("h.0.mlp.weight", ExpertWeights(BY_KEY.router, DOWN[:1], UP), ((1,),))
    with pytest.raises(ValueError, match="finite"):
        ExpertBank("h.0.mlp.weight", ExpertWeights(BY_KEY.router, DOWN, UP * math.nan), ((1,),))
    with pytest.raises(ValueError, match="anchor"):
        ExpertBank("h.0.mlp.weight", BY_KEY, ())
    with pytest.raises(ValueError, match="all at most"):
        ExpertBank("h.0.mlp.weight", BY_KEY, ((1,),), top=3)
    with pytest.raises(ValueError, match="one bank"):
        ExpertsDelta((), "")
