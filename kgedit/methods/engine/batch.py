"""One batch for the objectives of several edits: rows of similar length together, to spend little on padding."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kgedit.lm.anatomy import Anatomy
from kgedit.methods.engine.objective import Objective
from kgedit.methods.engine.padded_batch import PaddedBatch

# A padded batch of fewer rows costs more in overhead than it saves in padding; a GPU is idle with so few.
ROWS_PER_BATCH = 32
_ROWS_PER_GPU_BATCH = 512


class EditBatch:
    """The rows of all objectives, prepared on the unedited model; rows are numbered objective by objective.

    Attributes:
        objectives: One per edit.
        values: Layer -> unedited MLP output m at the row's written token, (rows, d), float32.
        keys: Layer -> its key k, (rows, d_ff), float32.
        hidden: Output of the first edit layer's block there, (rows, d), float32.
        edit_of: (rows,) number of the edit that each row belongs to.
    """

    def __init__(
        self, model: PreTrainedModel, anatomy: Anatomy, objectives: Sequence[Objective], layers: Sequence[int]
    ) -> None:
        """Run the unedited model once over everything that later steps reuse.

        Args:
            model: Model in evaluation mode without gradients (`hooks.frozen`).
            anatomy: Its anatomy.
            objectives: One per edit.
            layers: Edit layers in ascending order.
        """
        self.model, self.anatomy, self.objectives, self.layers = model, anatomy, tuple(objectives), tuple(layers)
        rows = [row for objective in objectives for row in objective.rows]
        owner = [number for number, objective in enumerate(objectives) for _ in objective.rows]
        # Rows of similar length share a padded batch; results are brought back into the rows' own order.
        by_length = sorted(range(len(rows)), key=lambda i: len(rows[i].ids) - rows[i].place)
        at_once = _ROWS_PER_GPU_BATCH if model.device.type == "cuda" else ROWS_PER_BATCH
        count = max(1, len(rows) // at_once)
        groups = [by_length[len(rows) * k // count : len(rows) * (k + 1) // count] for k in range(count)]
        self._parts = [
            PaddedBatch(
                model, anatomy, [rows[i] for i in group], [owner[i] for i in group], len(objectives), self.layers
            )
            for group in groups
        ]
        place = torch.tensor([i for group in groups for i in group]).argsort()  # (rows,)
        device = self._parts[0].device
        self.edit_of = torch.tensor(owner, device=device)

        def in_order(pieces: Sequence[Tensor]) -> Tensor:
            return torch.cat(list(pieces))[place.to(device)]

        self.values = {layer: in_order([part.values[layer] for part in self._parts]) for layer in self.layers}
        self.keys = {layer: in_order([part.keys[layer] for part in self._parts]) for layer in self.layers}
        self.hidden = in_order([part.hidden for part in self._parts])

    @property
    def first_rows(self) -> list[int]:
        """Number of the row that holds each edit's bare prompt."""
        owner = self.edit_of.tolist()
        return [owner.index(number) for number in range(owner[-1] + 1)]

    @property
    def missed(self) -> Tensor:
        """(edits,) target tokens that were not the most probable ones when `losses` was asked to count them last."""
        return torch.stack([part.missed for part in self._parts]).sum(dim=0)

    def only(self, edits: Sequence[int]) -> EditBatch:
        """A batch of some of the edits, numbered anew in the order given."""
        return EditBatch(self.model, self.anatomy, [self.objectives[number] for number in edits], self.layers)

    def of_edit(self, number: int, layer: int) -> tuple[Tensor, Tensor]:
        """Keys (rows, d_ff) and values (rows, d) of one edit's rows at one layer."""
        own_rows = self.edit_of == number
        return self.keys[layer][own_rows], self.values[layer][own_rows]

    def losses(self, offsets: Tensor, *, count_missed: bool = False) -> dict[str, Tensor]:
        """Run the layers above the first edit layer with m + offset at the written token.

        Args:
            offsets: (edits, layers, d) float32, what is added to m at each edit layer; may carry gradients.
            count_missed: Whether to set `missed`.

        Returns:
            Kind of row -> (edits,) weighted loss: negative log-likelihood per target token, or KL(edited || unedited).
        """
        if len(self._parts) == 1 or not (torch.is_grad_enabled() and offsets.requires_grad):
            return _summed([part.losses(offsets, count_missed=count_missed) for part in self._parts])
        # One part at a time goes forward and back, so that memory does not grow with the number of edits.
        found, gradient = [], torch.zeros_like(offsets)
        for part in self._parts:
            own = offsets.detach().requires_grad_()
            losses = part.losses(own, count_missed=count_missed)
            # No edit's loss depends on another's offset: the sum has the gradient of each.
            (of_part,) = torch.autograd.grad(torch.stack(list(losses.values())).sum(), own)
            gradient += of_part
            found.append({kind: loss.detach() for kind, loss in losses.items()})
        total = _summed(found)
        # A term of value zero carries the gradient to the offsets.
        term = (offsets * gradient).sum(dim=(1, 2))  # (edits,)
        first = next(iter(total))
        return total | {first: total[first] + (term - term.detach())}


def _summed(of_parts: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    total: dict[str, Tensor] = {}
    for losses in of_parts:
        for kind, loss in losses.items():
            total[kind] = total[kind] + loss if kind in total else loss
    return total
