"""Generates several texts at once with a key-value cache; the caller chooses each next token."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from kgedit.delta.prompt_ends import PromptPlace, prompts_at
from kgedit.lm.hooks import head_at
from kgedit.lm.padding import pad, position_ids


class Decoder:
    """A left-padded batch that grows by one token per row and step.

    Args:
        model: A causal language model, `hooks.frozen` by the caller while `logits` runs.
        rows: Token ids, none of them empty.
        fill: Token id for padding; it is masked.
        begun: How many tokens at the end of each row are not its prompt's, but of its answer.
    """

    def __init__(self, model: PreTrainedModel, rows: Sequence[Sequence[int]], fill: int, *, begun: int = 0) -> None:
        self._model, self._begun = model, begun
        self._ids, self._mask = (t.to(model.device) for t in pad(rows, fill, "left"))  # (batch, longest)
        self._positions = position_ids(self._mask)
        self._cache = DynamicCache(config=model.config)

    def logits(self) -> Tensor:
        """Read the tokens not read yet; (batch, vocabulary) float32 logits of the next one."""
        rows = torch.arange(len(self._ids))
        last = torch.full_like(rows, self._ids.shape[1] - 1)
        with torch.no_grad(), head_at(self._model, rows, last), self._prompts():
            output = self._model(
                input_ids=self._ids,
                attention_mask=self._mask,
                position_ids=self._positions,
                past_key_values=self._cache,
                use_cache=True,
            )
        logits: Tensor = output.logits[0].float()  # (batch, vocabulary)
        return logits

    def _prompts(self) -> AbstractContextManager[None]:
        """A pass that reads whole rows has their prompts; it needs to be said where an answer has begun."""
        if not self._begun or self._ids.shape[1] == 1:
            return nullcontext()
        end = self._mask.shape[1] - self._begun
        first = (end + self._begun - self._mask.sum(-1)).tolist()
        return prompts_at(self._model, [PromptPlace(row, range(start, end)) for row, start in enumerate(first)])

    def append(self, tokens: Tensor) -> None:
        """Add one token per row, (batch,); call after `logits`."""
        self._ids = tokens.to(self._ids.device).unsqueeze(1)  # (batch, 1)
        self._mask = torch.cat([self._mask, torch.ones_like(self._mask[:, :1])], dim=1)  # (batch, past + 1)
        self._positions = self._positions[:, -1:] + 1  # (batch, 1)

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows only, numbered anew in this order; call after `append`."""
        chosen = torch.tensor(rows, device=self._ids.device)
        self._ids, self._mask = self._ids[chosen], self._mask[chosen]  # (kept, 1), (kept, past + 1)
        self._positions = self._positions[chosen]  # (kept, 1)
        self._cache.batch_select_indices(chosen)
