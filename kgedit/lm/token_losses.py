"""Losses of single tokens over a large vocabulary, some places at a time: logits of all places never exist at once.

The loss at a place depends on the state there alone. So the places are cut into pieces; the loss of a piece and its
gradient by the states are formed together, on the way forward, and the logits are dropped. The way back then only
scales what was kept, which is as wide as the model instead of the vocabulary. docs/performance.md, "Memory".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax
from transformers import PreTrainedModel

from kgedit.delta.in_context import tokens_read_first
from kgedit.lm.anatomy import Anatomy
from kgedit.lm.hooks import capture, head_at, replay

MOST_LOGITS = 2**23  # numbers; in float32 32 MiB, of which a loss takes about three times as much

PlaceLoss = Callable[[Tensor, slice], Tensor]  # logits (m, vocabulary) of those places -> losses (m,)


def losses_at(
    model: PreTrainedModel,
    anatomy: Anatomy,
    run: Callable[[], Any],
    rows: Tensor,
    columns: Tensor,
    loss: PlaceLoss,
    *,
    most: int = MOST_LOGITS,
) -> Tensor:
    """The loss at each of some places of a batch, with gradients to whatever is trained below the head.

    Args:
        model: A causal language model.
        anatomy: Its anatomy.
        run: Calls it, or what is wrapped around it, on the batch, and returns its output.
        rows: (n,) batch indices; a position may occur several times.
        columns: (n,) sequence indices.
        loss: Of a piece, each place by itself; the logits are float32 or wider.
        most: Up to so many logits exist at once; a place's own are not cut.

    Returns:
        (n,).
    """
    size = _piece(model, anatomy, len(rows), most)
    if not size:
        with head_at(model, rows, columns):
            output = run()
        return loss(_wide(output.logits[0]), slice(0, len(rows)))
    states = _top_states(model, anatomy, run, rows, columns)  # (n, d)
    spans = [slice(start, min(start + size, len(rows))) for start in range(0, len(rows), size)]

    def piece(own: Tensor, span: slice) -> Tensor:
        return loss(_head(model, anatomy, own), span)  # (m,)

    if torch.is_grad_enabled() and states.requires_grad:
        found: Tensor = _InPieces.apply(states, piece, spans)  # type: ignore[no-untyped-call]
        return found
    return torch.cat([piece(states[span], span) for span in spans])


@torch.no_grad()
def logits_by_place(
    model: PreTrainedModel,
    anatomy: Anatomy,
    run: Callable[[], Any],
    rows: Tensor,
    columns: Tensor,
    *,
    most: int = MOST_LOGITS,
) -> Callable[[slice], Tensor]:
    """Logits that other losses are measured against, without gradients; the model runs once, now.

    Returns:
        Gives of some of the places, as `losses_at` cuts them, float32 logits (m, vocabulary).
    """
    if _piece(model, anatomy, len(rows), most):
        states = _top_states(model, anatomy, run, rows, columns)  # (n, d)
        return lambda span: _head(model, anatomy, states[span])
    with head_at(model, rows, columns):
        output = run()
    whole = _wide(output.logits[0])  # (n, vocabulary)
    return lambda span: whole[span]


def token_losses(logits: Tensor, token: Tensor, kept: Tensor | None = None, kept_of: Tensor | None = None) -> Tensor:
    """Of each place -log p(token), or, where no token is wanted, KL(p || kept); (n,).

    The gradient is written out: p minus 1 at the token, and p (log p - log kept - KL).

    Args:
        logits: (n, vocabulary) float32.
        token: (n,) the wanted token; -1 for none.
        kept: (m, vocabulary) log-probabilities.
        kept_of: (n,) which of them a place without a token is held to.
    """
    found: Tensor = _TokenLosses.apply(logits, token, kept, kept_of)  # type: ignore[no-untyped-call]
    return found


def drifts(logits: Tensor, unedited: Tensor) -> Tensor:
    """Of each place KL(unedited || changed), (n,).

    Args:
        logits: (n, vocabulary), with gradients.
        unedited: (n, vocabulary), without.
    """
    wanted = log_softmax(unedited.to(logits.device), dim=-1)
    return kl_div(log_softmax(logits, dim=-1), wanted, reduction="none", log_target=True).sum(dim=-1)


def _piece(model: PreTrainedModel, anatomy: Anatomy, places: int, most: int) -> int:
    """How many places are a piece; 0 if all of them are run with the head at once."""
    head: Any = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    size = max(1, most // int(head.weight.shape[0]))
    # A head that is trained has a gradient of its own, and texts before every input are read by the whole model.
    parts = (head, model.get_submodule(anatomy.final_norm_path))
    trained = any(parameter.requires_grad for part in parts for parameter in part.parameters())
    if places <= size or trained or tokens_read_first(model):
        return 0
    return -(-places // -(-places // size))  # pieces of one size: a small one would read the whole head for little


def _top_states(
    model: PreTrainedModel, anatomy: Anatomy, run: Callable[[], Any], rows: Tensor, columns: Tensor
) -> Tensor:
    """What the last block gives out at some places, (n, d)."""
    with capture({"state": anatomy.block(model, anatomy.n_layers(model) - 1)}, stop=True) as out:
        run()
    state = out["state"]  # (batch, seq, d)
    # Not `state[rows, columns]`: see `hooks.head_at`.
    return state.flatten(0, 1).index_select(0, (rows * state.shape[1] + columns).to(state.device))  # (n, d)


def _head(model: PreTrainedModel, anatomy: Anatomy, states: Tensor) -> Tensor:
    """What stands above the last block, by the model's own forward: norm, head, scaling; (m, vocabulary)."""
    # Each place is a row of one token, whose id and position are read by blocks that are skipped.
    zeros = torch.zeros(len(states), 1, dtype=torch.long, device=model.device)
    with replay(model, anatomy, anatomy.n_layers(model), states.unsqueeze(1)):  # (m, 1, d)
        logits = model(input_ids=zeros, position_ids=zeros, use_cache=False).logits
    return _wide(logits[:, 0])


def _wide(logits: Tensor) -> Tensor:
    """In float32, or float64 where the model is."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


class _InPieces(torch.autograd.Function):
    """Losses of states, piece by piece, each with its gradient at once."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, piece: PlaceLoss, spans: list[slice]) -> Tensor:
        losses, gradients = list[Tensor](), list[Tensor]()
        for span in spans:
            own = states[span].detach().requires_grad_()
            with torch.enable_grad():
                found = piece(own, span)
                # No place's loss depends on another's state: the sum has the gradient of each.
                gradients += torch.autograd.grad(found.sum(), own)
            losses.append(found.detach())
        ctx.save_for_backward(torch.cat(gradients))
        return torch.cat(losses)

    @staticmethod
    def backward(ctx: Any, *wanted: Tensor) -> tuple[Tensor, None, None]:
        (gradients,) = ctx.saved_tensors
        return (wanted[0].to(gradients.device).unsqueeze(1) * gradients).to(gradients.dtype), None, None


class _TokenLosses(torch.autograd.Function):
    """See `token_losses`; of the logits no more than their log-probabilities is kept."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, token: Tensor, kept: Tensor | None, kept_of: Tensor | None) -> Tensor:
        scores = log_softmax(logits, dim=-1)
        losses = -scores.gather(1, token.clamp_min(0).unsqueeze(1))[:, 0]  # (n,)
        free = (token < 0).nonzero()[:, 0]  # (free,)
        apart = scores[:0]
        if len(free) and kept is not None and kept_of is not None:
            own = scores.index_select(0, free)
            apart = own - kept.index_select(0, kept_of.index_select(0, free))  # (free, vocabulary)
            losses.index_copy_(0, free, (own.exp() * apart).sum(dim=-1))
        ctx.save_for_backward(scores, token, free, apart, losses)
        return losses

    @staticmethod
    def backward(ctx: Any, *wanted: Tensor) -> tuple[Tensor, None, None, None]:
        scores, token, free, apart, losses = ctx.saved_tensors
        gradient = scores.exp_()  # p, (n, vocabulary), in their place: there is one way back
        if len(free):
            of_free = gradient.index_select(0, free) * (apart - losses.index_select(0, free).unsqueeze(1))
            gradient.index_copy_(0, free, of_free)
        # One place, one token: nothing is added up here in an order of its own.
        one = (token >= 0).to(gradient).unsqueeze(1)  # (n, 1)
        gradient.scatter_add_(1, token.clamp_min(0).unsqueeze(1), -one)
        return gradient.mul_(wanted[0].unsqueeze(1)), None, None, None
