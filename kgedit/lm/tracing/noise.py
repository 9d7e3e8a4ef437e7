"""Gaussian noise on the embeddings of a subject's tokens (ROME, Meng et al., 2022, section 2.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.errors import TracingError
from kgedit.lm.hooks import capture, frozen
from kgedit.lm.tokens import encode_texts

SIGMAS = 3.0


def noise_level(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, subjects: Sequence[str], *, sigmas: float = SIGMAS
) -> float:
    """Standard deviation of the noise: a multiple of that of all entries of the subjects' token embeddings.

    Args:
        model: A causal language model.
        tokenizer: Its tokenizer.
        subjects: Names, each read alone; BOS does not count.
        sigmas: The multiple.

    Raises:
        TracingError: No subject has a token.
    """
    tokens = [token for row in encode_texts(tokenizer, subjects) for token in row.ids[row.leading :]]
    if not tokens:
        raise TracingError("no subject has a token, so the size of the noise cannot be read off; name a subject")
    ids = torch.tensor([tokens], device=model.device)  # (1, tokens)
    embedding = model.get_input_embeddings()
    with frozen(model), torch.no_grad(), capture({"embeddings": embedding}) as recorded:
        embedding(ids)
    return sigmas * float(recorded["embeddings"].float().std(correction=0))


def embedding_width(model: PreTrainedModel) -> int:
    """Number of entries of a token's embedding."""
    embedding: Any = model.get_input_embeddings()
    return int(embedding.weight.shape[1])


def draw_noise(level: float, samples: int, tokens: int, width: int, *, seed: int) -> Tensor:
    """The noise of every run of one prompt, (samples, tokens, width) float32.

    It is drawn once, so that all runs of a prompt differ only in what is restored: their differences are paired.
    """
    generator = torch.Generator().manual_seed(seed)
    return level * torch.randn(samples, tokens, width, generator=generator, dtype=torch.float32)
