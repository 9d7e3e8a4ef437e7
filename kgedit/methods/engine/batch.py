"""One batch for the objectives of several edits: rows of similar length together, to spend little on padding."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kgedit.lm.anatomy import Anatomy
from kgedit.methods.engine.objective import Objective
from kgedit.methods.engine.strip import Strip

# A strip of fewer rows costs more in overhead than it saves in padding.
ROWS_PER_STRIP = 32


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
        by_length = sorted(range(len(rows)), key=lambda i: len(rows[i].ids) - rows[i].place)
        count = max(1, len(rows) // ROWS_PER_STRIP)
        parts = [by_length[len(rows) * k // count : len(rows) * (k + 1) // count] for k in range(count)]
        self._strips = [
            Strip(model, anatomy, [rows[i] for i in part], [owner[i] for i in part], len(objectives), self.layers)
            for part in parts
        ]
        place = torch.tensor([i for part in parts for i in part]).argsort()  # (rows,)
        device = self._strips[0].device
        self.edit_of = torch.tensor(owner, device=device)

        def in_order(pieces: Sequence[Tensor]) -> Tensor:
            return torch.cat(list(pieces))[place.to(device)]

        self.values = {layer: in_order([strip.values[layer] for strip in self._strips]) for layer in self.layers}
        self.keys = {layer: in_order([strip.keys[layer] for strip in self._strips]) for layer in self.layers}
        self.hidden = in_order([strip.hidden for strip in self._strips])

    @property
    def first_rows(self) -> list[int]:
        """Row of each edit's bare prompt."""
        owner = self.edit_of.tolist()
        return [owner.index(number) for number in range(owner[-1] + 1)]

    def only(self, edits: Sequence[int]) -> EditBatch:
        """A batch of some of the edits, numbered anew in the order given."""
        return EditBatch(self.model, self.anatomy, [self.objectives[number] for number in edits], self.layers)

    def of_edit(self, number: int, layer: int) -> tuple[Tensor, Tensor]:
        """Keys (rows, d_ff) and values (rows, d) of one edit's rows at one layer."""
        mine = self.edit_of == number
        return self.keys[layer][mine], self.values[layer][mine]

    def losses(self, offsets: Tensor) -> dict[str, Tensor]:
        """Run the layers above the first edit layer with m + offset at the written token.

        Args:
            offsets: (edits, layers, d) float32, what is added to m at each edit layer; may carry gradients.

        Returns:
            Kind of row -> (edits,) weighted loss: negative log-likelihood per target token, or KL(edited || unedited).
        """
        total: dict[str, Tensor] = {}
        for strip in self._strips:
            for kind, loss in strip.losses(offsets).items():
                total[kind] = total[kind] + loss if kind in total else loss
        return total
