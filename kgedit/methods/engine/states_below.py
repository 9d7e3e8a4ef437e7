"""What the blocks below a layer give out for texts, computed once and kept: below what changes, nothing changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kgedit.lm.anatomy import Anatomy
from kgedit.lm.hooks import capture, replay
from kgedit.lm.padding import pad

Ids = tuple[int, ...]


class StatesBelow:
    """The states below a layer, text by text."""

    def __init__(
        self, model: PreTrainedModel, anatomy: Anatomy, layer: int, fill: int, *, most_bytes: int = 2**30
    ) -> None:
        """Keep nothing yet.

        Args:
            model: The model, frozen by the caller.
            anatomy: `anatomy_of(model)`.
            layer: The lowest block that is run each time.
            fill: Token id of the padding.
            most_bytes: How much is kept; texts beyond it are run again each time.
        """
        self._model, self._anatomy, self._layer, self._fill = model, anatomy, layer, fill
        self._states: dict[Ids, Tensor] = {}  # text -> (tokens, d)
        self._room = most_bytes

    @contextmanager
    def skipped(self, texts: Sequence[Ids]) -> Iterator[None]:
        """The blocks below are skipped while the body runs the model on these texts, padded on the right."""
        if not self._layer:
            yield
            return
        with replay(self._model, self._anatomy, self._layer, self._of(texts)):
            yield

    def _of(self, texts: Sequence[Ids]) -> Tensor:
        """What the last block below gives out, (texts, longest, d)."""
        new = [text for text in dict.fromkeys(texts) if text not in self._states]
        found = dict(zip(new, self._computed(new), strict=True)) if new else {}
        states = [found[text] if text in found else self._states[text] for text in texts]
        whole = states[0].new_zeros(len(texts), max(map(len, texts)), states[0].shape[-1])  # (texts, longest, d)
        for row, state in enumerate(states):
            whole[row, : len(state)] = state
        for text, state in found.items():
            size = state.numel() * state.element_size()
            if size <= self._room:
                self._states[text] = state.clone()
                self._room -= size
        return whole

    @torch.no_grad()
    def _computed(self, texts: Sequence[Ids]) -> list[Tensor]:
        """The states of texts that were not met before, each (tokens, d)."""
        ids, mask = pad(texts, self._fill, "right")  # (texts, longest)
        device = self._model.device
        with capture({"state": self._anatomy.block(self._model, self._layer - 1)}, stop=True) as out:
            self._model(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False)
        return [state[: len(text)] for text, state in zip(texts, out["state"], strict=True)]
