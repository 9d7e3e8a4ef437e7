"""One batch for the objectives of several edits: rows of similar length together, to spend little on padding."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kgedit.lm.anatomy import Anatomy
from kgedit.methods.engine.objective import Objective
from kgedit.methods.engine.padded_batch import PaddedBatch

# A padded batch of fewer rows costs more in overhead than it saves in padding.
ROWS_PER_BATCH = 32


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
        count = max(1, len(rows) // ROWS_PER_BATCH)
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
        """(edits,) target tokens that were not the most probable ones when `losses` was computed last."""
        return torch.stack([part.missed for part in self._parts]).sum(dim=0)

    def only(self, edits: Sequence[int]) -> EditBatch:
        """A batch of some of the edits, numbered anew in the order given."""
        return EditBatch(self.model, self.anatomy, [self.objectives[number] for number in edits], self.layers)

    def of_edit(self, number: int, layer: int) -> tuple[Tensor, Tensor]:
        """Keys (rows, d_ff) and values (rows, d) of one edit's rows at one layer."""
        own_rows = self.edit_of == number
        return self.keys[layer][own_rows], self.values[layer][own_rows]

    def losses(self, offsets: Tensor) -> dict[str, Tensor]:
        """Run the layers above the first edit layer with m + offset at the written token.

        Args:
            offsets: (edits, layers, d) float32, what is added to m at each edit layer; may carry gradients.

        Returns:
            Kind of row -> (edits,) weighted loss: negative log-likelihood per target token, or KL(edited || unedited).
        """
        total: dict[str, Tensor] = {}
        for part in self._parts:
            for kind, loss in part.losses(offsets).items():
                total[kind] = total[kind] + loss if kind in total else loss
        return total
