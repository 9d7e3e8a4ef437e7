"""One batch for the objectives of several edits: rows of similar length together, to spend little on padding."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kgedit.lm.anatomy import Anatomy
from kgedit.lm.beginnings import Beginnings, can_share
from kgedit.lm.memory import return_freed
from kgedit.lm.twins import Twins
from kgedit.methods.engine.objective import Objective
from kgedit.methods.engine.padded_batch import PaddedBatch
from kgedit.methods.engine.similar_rows import similar_rows

# Memory is needed for one part of the rows at a time: so many rows, and more of a narrow model.
MOST_ROWS = 63
_MOST_NUMBERS = 2**18  # tokens times width
_OVERHEAD = 45  # tokens whose products take as long as what a part costs whatever it holds
# On a GPU a part costs what it takes Python to begin its kernels, for thousands of tokens as for ten. So parts are as
# large as a share of the free memory allows; other processes may want theirs.
_GPU_OVERHEAD = 4096
_GPU_SHARE = 1 / 6


class EditBatch:
    """The rows of all objectives, prepared on the unedited model; rows are numbered objective by objective.

    Attributes:
        objectives: One per edit.
        device: Of the first edit layer, and of all below.
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
        lengths = [len(row.ids) - row.place for row in rows]
        groups = similar_rows(lengths, most_rows=MOST_ROWS, **_part_of(model, anatomy, layers[0]))
        # What several rows begin with, a prefix above all, is run once for all of them.
        before = [row.ids[: row.place] for row in rows]
        shared = Beginnings(model, anatomy, before) if can_share(model) else None
        # Parts run beside each other where threads inside of a product are of little use.
        self._twins = Twins(model, len(groups))
        self._trees = self._twins.shared_out([len(group) * lengths[group[-1]] + _OVERHEAD for group in groups])

        def prepared(number: int) -> PaddedBatch:
            own, edit_of = [rows[i] for i in groups[number]], [owner[i] for i in groups[number]]
            past = shared.cache(groups[number]) if shared else None
            return PaddedBatch(
                self._twins.models[self._trees[number]], anatomy, own, edit_of, len(objectives), self.layers, past
            )

        self._parts = self._twins.each(self._trees, [partial(prepared, number) for number in range(len(groups))])
        place = torch.tensor([i for group in groups for i in group]).argsort()  # (rows,)
        self.device = self._parts[0].device
        self.edit_of = torch.tensor(owner, device=self.device)

        def in_order(pieces: Sequence[Tensor]) -> Tensor:
            return torch.cat(list(pieces))[place.to(self.device)]

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

    def end_steps(self) -> None:
        """Free what `losses` and `missed` need; keys, values and hidden states stay."""
        self._parts.clear()
        return_freed()

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
            works = [partial(part.losses, offsets, count_missed=count_missed) for part in self._parts]
            return _summed(self._twins.each(self._trees, works))

        def there_and_back(part: PaddedBatch) -> tuple[dict[str, Tensor], Tensor]:
            own = offsets.detach().requires_grad_()
            losses = part.losses(own, count_missed=count_missed)
            # No edit's loss depends on another's offset: the sum has the gradient of each.
            (of_part,) = torch.autograd.grad(torch.stack(list(losses.values())).sum(), own)
            return {kind: loss.detach() for kind, loss in losses.items()}, of_part

        # One part at a time goes forward and back, so that memory does not grow with the number of edits.
        found = self._twins.each(self._trees, [partial(there_and_back, part) for part in self._parts])
        total, gradient = _summed([losses for losses, _ in found]), torch.zeros_like(offsets)
        for _, of_part in found:  # in the order of the parts: the last bits of a sum depend on it
            gradient += of_part
        # A term of value zero carries the gradient to the offsets.
        term = (offsets * gradient).sum(dim=(1, 2))  # (edits,)
        first = next(iter(total))
        return total | {first: total[first] + (term - term.detach())}


def _part_of(model: PreTrainedModel, anatomy: Anatomy, layer: int) -> dict[str, int]:
    """The most tokens of a part, and what a part costs beside them, in tokens."""
    weight, device = anatomy.weight(model, layer), model.device
    d, d_ff = sorted(weight.shape)
    if device.type != "cuda":
        return {"most_tokens": _MOST_NUMBERS // d, "overhead": _OVERHEAD}
    free = torch.cuda.mem_get_info(device)[0]
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # torch's own, and not in use
    # The backward pass keeps, of a token in each block, some eight vectors and three of the MLP.
    kept = anatomy.n_layers(model) * (8 * d + 3 * d_ff) * weight.element_size()
    return {"most_tokens": int(_GPU_SHARE * free / kept), "overhead": _GPU_OVERHEAD}


def _summed(of_parts: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    total: dict[str, Tensor] = {}
    for losses in of_parts:
        for kind, loss in losses.items():
            total[kind] = total[kind] + loss if kind in total else loss
    return total
