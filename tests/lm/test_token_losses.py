"""A loss that is taken piece by piece is the whole loss, with its gradient, and holds few logits at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from families import tiny_model
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.hooks import add_at, frozen
from kgedit.lm.token_losses import drifts, logits_by_place, losses_at, token_losses

IDS = torch.tensor([[5, 6, 7, 8, 9], [9, 8, 7, 6, 5]])
ROWS, COLUMNS = torch.tensor([0, 0, 1, 1, 1]), torch.tensor([1, 4, 0, 3, 3])  # one place counts twice
TOKEN = torch.tensor([7, 3, -1, 6, 5])  # the third place is held to a distribution
KEPT_OF = torch.tensor([-1, -1, 0, -1, -1])


def by_hand(logits: Tensor, kept: Tensor) -> Tensor:
    """Each loss from its definition."""
    scores = log_softmax(logits, dim=-1)
    losses = [-scores[place, token] for place, token in enumerate(TOKEN.tolist())]
    losses[2] = (scores[2].exp() * (scores[2] - kept[0])).sum()
    return torch.stack(losses)


# Two that scale or cap their logits behind the head, one whose blocks pass tuples on, one with a list inside.
@pytest.mark.parametrize("family", ["gemma2", "granite", "gpt2", "opt"])
def test_pieces_give_the_losses_and_gradients_of_the_whole(family: str) -> None:
    model, _ = tiny_model(family)
    anatomy = anatomy_of(model)
    offset = torch.zeros(32, requires_grad=True)
    inputs = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS), "use_cache": False}
    widths: list[int] = []

    def loss(logits: Tensor, places: slice) -> Tensor:
        widths.append(len(logits))
        return token_losses(logits, TOKEN[places], kept, KEPT_OF[places])

    with frozen(model), torch.enable_grad():
        kept = log_softmax(torch.randn(1, model.config.vocab_size, generator=torch.Generator().manual_seed(0)), dim=-1)
        with add_at(anatomy.mlp_out(model, 1), lambda output: output + offset):
            expected = by_hand(model(**inputs).logits[ROWS, COLUMNS], kept)
            found = {
                most: losses_at(model, anatomy, lambda: model(**inputs), ROWS, COLUMNS, loss, most=most)
                for most in (10 * model.config.vocab_size, 2 * model.config.vocab_size, 1)
            }
            weight = torch.tensor([0.5, 1.0, 2.0, 3.0, -1.0])
            (wanted,) = torch.autograd.grad(expected @ weight, offset, retain_graph=True)
            for losses in found.values():
                torch.testing.assert_close(losses, expected, rtol=1e-5, atol=1e-6)
                (gradient,) = torch.autograd.grad(losses @ weight, offset)
                torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-6)
    assert widths == [5, 2, 2, 1, 1, 1, 1, 1, 1]  # pieces of one size, the last of what is left


def test_what_others_are_measured_against_comes_in_the_same_pieces() -> None:
    model, _ = tiny_model("llama")
    run = lambda: model(input_ids=IDS, use_cache=False)  # noqa: E731
    with frozen(model):
        whole = model(input_ids=IDS).logits[ROWS, COLUMNS]
        for most in (10 * model.config.vocab_size, 2 * model.config.vocab_size):
            piece = logits_by_place(model, anatomy_of(model), run, ROWS, COLUMNS, most=most)
            torch.testing.assert_close(torch.cat([piece(slice(0, 2)), piece(slice(2, 5))]), whole)
            assert not piece(slice(0, 1)).requires_grad


def test_a_head_that_is_trained_has_its_gradient() -> None:
    model, _ = tiny_model("llama")
    model.requires_grad_(False)
    model.lm_head.weight.requires_grad_(True)
    losses = losses_at(
        model,
        anatomy_of(model),
        lambda: model(input_ids=IDS, use_cache=False),
        ROWS,
        COLUMNS,
        lambda logits, places: token_losses(logits, TOKEN[places].clamp_min(0)),
        most=1,
    )
    losses.sum().backward()
    assert float(model.lm_head.weight.grad.norm()) > 0


def test_a_drift_is_the_divergence_from_the_unedited_distribution() -> None:
    unedited = torch.tensor([[0.5, 0.25, 0.25]]).log()
    changed = torch.tensor([[0.25, 0.25, 0.5]]).log()
    # 0.5 ln 2 + 0.25 ln 1 - 0.25 ln 2
    torch.testing.assert_close(drifts(changed + 3.0, unedited - 1.0), torch.tensor([0.25 * 0.6931472]))
