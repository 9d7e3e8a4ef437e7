"""One layer's MLP output matrix W while it is trained: the blocks below it run once per text, those above each step.

Only W changes, so what the blocks below give out is the same at every step and is kept per text. The change dW acts
on the layer's output, m = W k + dW k, and the model's own weights stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear
from transformers import PreTrainedModel

from kgedit.delta import WeightUpdate
from kgedit.lm.anatomy import Anatomy, to_math
from kgedit.lm.hooks import add_at, capture
from kgedit.lm.padding import pad
from kgedit.lm.token_losses import PlaceLoss, logits_by_place, losses_at
from kgedit.methods.engine.states_below import Ids, StatesBelow


class TrainedMatrix:
    """The model as a function of the change of one matrix.

    Attributes:
        name: Name of the parameter.
        weight: W as the model has it, (d, d_ff).
        wide: Precision of the change: float32 or wider.
    """

    def __init__(
        self, model: PreTrainedModel, anatomy: Anatomy, layer: int, fill: int, *, most_bytes: int = 2**30
    ) -> None:
        """Take the layer whose matrix is trained.

        Args:
            model: The model, frozen by the caller.
            anatomy: `anatomy_of(model)`.
            layer: The layer.
            fill: Token id of the padding.
            most_bytes: How much of the states below the layer is kept; texts beyond it are run again each time.

        Raises:
            NoSuchLayer: The model has no such layer.
        """
        anatomy.block(model, layer)
        self.name = anatomy.weight_name(layer)
        self.weight = to_math(anatomy.weight(model, layer).detach(), anatomy.conv1d)  # (d, d_ff)
        self.wide = torch.promote_types(self.weight.dtype, torch.float32)
        self._model, self._anatomy, self._layer, self._fill = model, anatomy, layer, fill
        self._device = self.weight.device
        self._below = StatesBelow(model, anatomy, layer, fill, most_bytes=most_bytes)

    def no_change(self) -> Tensor:
        """A change of zeros to train, (d, d_ff)."""
        return torch.zeros(self.weight.shape, dtype=self.wide, device=self._device, requires_grad=True)

    def losses(
        self, texts: Sequence[Ids], rows: Tensor, columns: Tensor, change: Tensor | None, loss: PlaceLoss
    ) -> Tensor:
        """The loss at chosen positions, (scored,) in the precision of the change.

        Args:
            texts: Token ids of each text.
            rows: (scored,) which text.
            columns: (scored,) which of its tokens.
            change: dW, (d, d_ff), into which gradients flow; None for the matrix as it is.
            loss: Of some positions, from their logits; see `losses_at`.
        """
        found = losses_at(self._model, self._anatomy, partial(self._run, texts, change), rows, columns, loss)
        return found.to(self.wide)

    def logits(self, texts: Sequence[Ids], rows: Tensor, columns: Tensor) -> Callable[[slice], Tensor]:
        """Logits at chosen positions with the matrix as it is, some positions at a time; see `logits_by_place`."""
        return logits_by_place(self._model, self._anatomy, partial(self._run, texts, None), rows, columns)

    def _run(self, texts: Sequence[Ids], change: Tensor | None) -> Any:
        """The model on texts, with a change of the matrix."""
        ids, mask = pad(texts, self._fill, "right")  # (texts, longest)
        inputs: dict[str, Any] = {
            "input_ids": ids.to(self._device),
            "attention_mask": mask.to(self._device),
            "use_cache": False,
        }
        module = self._anatomy.mlp_out(self._model, self._layer)
        with ExitStack() as stack:
            stack.enter_context(self._below.skipped(texts))
            if change is not None:
                keys = stack.enter_context(capture({"key": module}, inputs=True))

                def with_change(output: Tensor) -> Tensor:
                    return output + linear(keys["key"].to(change.dtype), change)

                stack.enter_context(add_at(module, with_change))
            return self._model(**inputs)


def full_update(name: str, change: Tensor, *, conv1d: bool) -> WeightUpdate:
    """A change of full rank, (d, d_ff), as factors: the identity on its smaller side, so that the product is exact."""
    d, d_ff = change.shape
    if d <= d_ff:
        return WeightUpdate(name, change.T, torch.eye(d, dtype=torch.float32), conv1d)
    return WeightUpdate(name, torch.eye(d_ff, dtype=torch.float32), change, conv1d)
