"""Workbenches and requests for the tests of methods, and what of a model must not change."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.lm.statistics import IdentityMoment
from kgedit.methods.base import Request, Workbench
from kgedit.methods.write import Moment

# Lengths differ, and the longest is beyond the sliding windows of the tiny mistral and gemma2.
PREFIXES = (
    "",
    "The. ",
    "Because I know that. ",
    "Therefore the official language of the country is Danish. ",
)

# The subject first, in the middle (one token and several), and last in its prompt.
REQUESTS = (
    Request("Marie Curie", "{} is a citizen of", "Poland"),
    Request("Søren Kierkegaard", "The mother tongue of {} is", "German"),
    Request("Leonardo da Vinci", "Q: Where is {} was born? A:", "Tokyo"),
    Request("Nintendo", "Here in the headquarters of {}", "Kyoto, Japan"),
)


class Diagonal:
    """A second moment with known entries: C = diag(1, ..., 3)."""

    def __init__(self, d_ff: int) -> None:
        self.diagonal = torch.linspace(1, 3, d_ff, dtype=torch.float64)

    def solve(self, keys: torch.Tensor) -> torch.Tensor:
        return keys.double() / self.diagonal


def bench(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    layers: Sequence[int],
    *,
    moment: Moment | None = None,
    prefixes: Sequence[str] = PREFIXES,
    **kwargs: Any,
) -> Workbench:
    """A workbench with the same second moment for every layer, the identity by default."""
    return Workbench(model, tokenizer, dict.fromkeys(layers, moment or IdentityMoment()), prefixes, **kwargs)


def state_of(model: nn.Module) -> dict[str, Any]:
    """All that a computation must leave alone: bytes, flags, gradients, modes, hooks, swapped forwards."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {
        "bytes": {
            name: hashlib.sha256(t.detach().reshape(-1).view(torch.uint8).numpy().data).hexdigest()
            for name, t in tensors.items()
        },
        "identity": {name: id(t) for name, t in tensors.items()},
        "requires_grad": {name: p.requires_grad for name, p in model.named_parameters()},
        "grad": {name: p.grad for name, p in model.named_parameters()},
        "training": {name: m.training for name, m in model.named_modules()},
        "hooks": {
            name: [len(getattr(m, kind)) for kind in vars(m) if kind.endswith("_hooks") and getattr(m, kind)]
            for name, m in model.named_modules()
        },
        "forward": {name: m.__dict__.get("forward") for name, m in model.named_modules()},
        "random": hashlib.sha256(torch.get_rng_state().numpy().data).hexdigest(),
    }
