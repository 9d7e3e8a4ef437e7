"""Solves the edited layers in ascending order; each layer's keys already include the updates of the layers below.

docs/methods.md, "Writing to several layers".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import accumulate

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kgedit.delta import WeightUpdate
from kgedit.lm.anatomy import Anatomy
from kgedit.lm.hooks import add_at, capture
from kgedit.lm.padding import pad
from kgedit.methods.engine.batch import EditBatch
from kgedit.methods.engine.closed_form import Key, Moment, averaged_key, closed_form, joint_form, rank_one
from kgedit.methods.engine.objective import Objective

EditGroup = Sequence[tuple[Objective, Tensor]]  # edits solved for together, each with its offset m* - m, (layers, d)

_TOKENS_PER_PASS = 4096


def write_layers(
    model: PreTrainedModel,
    anatomy: Anatomy,
    groups: Sequence[EditGroup],
    layers: Sequence[int],
    moments: Mapping[int, Moment],
    *,
    key: Key,
    ridge: float = 0.02,
) -> list[tuple[WeightUpdate, ...]]:
    """The updates of each group of edits, layer by layer from below.

    One forward pass serves all layers: what a layer's update adds to its output is added on the way up, so that the
    keys above already include it. No weight is touched.

    Args:
        model: Model in evaluation mode without gradients (`hooks.frozen`).
        anatomy: Its anatomy.
        groups: Edits that are solved for together; groups are independent of each other.
        layers: Edit layers, ascending.
        moments: Edit layer -> second moment.
        key: See `closed_form`; more than one edit in a group needs "contexts".
        ridge: See `closed_form`.

    Returns:
        One tuple of updates per group, one update per layer.
    """
    written: list[tuple[WeightUpdate, ...]] = []
    for chunk in _chunks(groups):
        forward = _Pass(model, anatomy, chunk, layers, moments, key, ridge)
        written += [tuple(updates) for updates in forward.run()]
    return written


def write_read(
    batch: EditBatch, offsets: Sequence[Tensor], layer: int, moment: Moment, *, key: Key
) -> list[tuple[WeightUpdate]]:
    """The update of each edit of a batch, by itself, on the batch's one layer: its keys and values are read already.

    Args:
        batch: The prepared rows; it takes no further step.
        offsets: Of each edit m* - m, (1, d).
        layer: The layer.
        moment: Its second moment.
        key: See `closed_form`; not "contexts".
    """
    # The factor of C takes much memory: the steps are over, and theirs is free.
    batch.end_steps()
    read = [batch.of_edit(number, layer) for number in range(len(batch.objectives))]
    contexts = [objective.contexts for objective in batch.objectives]
    # C^-1 k_bar of all edits in one solve: it reads the whole factor, which is far larger than the keys.
    averaged = [averaged_key(keys, of_edit) for (keys, _), of_edit in zip(read, contexts, strict=True)]
    directions = moment.solve(torch.stack(averaged))  # (edits, d_ff)
    anatomy, written = batch.anatomy, []
    for (keys, values), offset, of_edit, direction in zip(read, offsets, contexts, directions, strict=True):
        left, right = rank_one(key, keys, values, offset[0], of_edit, direction)
        written.append((WeightUpdate(anatomy.weight_name(layer), left, right, anatomy.conv1d),))
    return written


class _Pass:
    """One forward pass over the rows of some groups, right-padded, that solves each edit layer as it comes by."""

    def __init__(
        self,
        model: PreTrainedModel,
        anatomy: Anatomy,
        groups: Sequence[EditGroup],
        layers: Sequence[int],
        moments: Mapping[int, Moment],
        key: Key,
        ridge: float,
    ) -> None:
        self.model, self.anatomy, self.groups, self.layers = model, anatomy, groups, layers
        self.moments, self.key, self.ridge = moments, key, ridge
        counts = [sum(len(objective.rows) for objective, _ in group) for group in groups]
        self.spans = [slice(end - count, end) for count, end in zip(counts, accumulate(counts), strict=True)]
        self.rows = [row for group in groups for objective, _ in group for row in objective.rows]
        self.last = torch.tensor([row.place for row in self.rows])  # (rows,)
        self.lengths = torch.tensor([len(row.ids) for row in self.rows])  # (rows,)
        self.updates: list[list[WeightUpdate]] = [[] for _ in groups]

    def run(self) -> list[list[WeightUpdate]]:
        device = self.anatomy.weight(self.model, self.layers[0]).device
        ids, mask = pad([row.ids for row in self.rows], 0, "right")  # (rows, seq)
        positions = torch.arange(ids.shape[1]).expand_as(ids)
        modules = {layer: self.anatomy.mlp_out(self.model, layer) for layer in self.layers}
        rows = len(self.rows)
        with ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            named = {str(layer): module for layer, module in modules.items()}
            keys = stack.enter_context(capture(named, inputs=True, rows=rows))
            # When the pass reaches an edited layer, its keys have just been captured: solve, and add the update.
            for number, (layer, module) in enumerate(modules.items()):
                stack.enter_context(add_at(module, partial(self._solve, keys, number, layer), rows=rows))
            stack.enter_context(capture({"end": modules[self.layers[-1]]}, stop=True))
            self.model(
                input_ids=ids.to(device),
                attention_mask=mask.to(device),
                position_ids=positions.to(device),
                use_cache=False,
            )
        return self.updates

    def _solve(self, captured: Mapping[str, Tensor], number: int, layer: int, values: Tensor) -> Tensor:
        """Solve one layer for every group, and add to the MLP outputs (rows, seq, d) what the updates add."""
        keys = captured[str(layer)].float()  # (rows, seq, d_ff)
        factors = (
            self._joint(keys, number, layer) if self.key == "contexts" else self._single(keys, values, number, layer)
        )
        added = []
        for (left, right), updates, span in zip(factors, self.updates, self.spans, strict=True):
            updates.append(WeightUpdate(self.anatomy.weight_name(layer), left, right, self.anatomy.conv1d))
            added.append(keys[span] @ left.to(keys.device) @ right.T.to(keys.device))  # (rows, seq, d)
        return values + torch.cat(added).to(values.dtype)

    def _single(self, keys: Tensor, values: Tensor, number: int, layer: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Left (d_ff, 1) and right (d, 1) of each group, which is of one edit."""
        for group, span in zip(self.groups, self.spans, strict=True):
            ((objective, offset),) = group
            rows, last = torch.arange(len(self.last[span])), self.last[span]
            at_subject = keys[span][rows, last], values[span][rows, last].float()  # (rows, d_ff), (rows, d)
            yield closed_form(
                self.key, *at_subject, offset[number], objective.contexts, self.moments[layer], ridge=self.ridge
            )

    def _joint(self, keys: Tensor, number: int, layer: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Left (d_ff, edits) and right (d, edits) of each group; one solve with C serves all of them."""
        # Keys K of each group: at the written token of every row, then at all tokens behind it.
        columns = torch.arange(keys.shape[1])
        behind = (columns > self.last.unsqueeze(1)) & (columns < self.lengths.unsqueeze(1))  # (rows, seq)
        group_keys = []
        for span in self.spans:
            at_subject = keys[span][torch.arange(len(self.last[span])), self.last[span]]  # (rows, d_ff)
            group_keys.append(torch.cat([at_subject, keys[span][behind[span]]]))  # (rows + tokens, d_ff)
        # C^-1 K^T, one solve for all groups.
        solved = torch.split(self.moments[layer].solve(torch.cat(group_keys)), [len(part) for part in group_keys])
        for group, own_keys, own_solved in zip(self.groups, group_keys, solved, strict=True):
            # T: 1 for an edit at its own rows, 0 at the rows of the others and at the tokens behind.
            owner = torch.tensor([edit for edit, (objective, _) in enumerate(group) for _ in objective.rows])
            shares = torch.zeros(len(own_keys), len(group), dtype=torch.float32)  # (rows + tokens, edits)
            shares[torch.arange(len(owner)), owner] = 1.0
            offsets = torch.stack([offset[number] for _, offset in group])  # (edits, d)
            yield joint_form(own_keys, own_solved, shares, self.ridge), offsets.T.float().cpu()


def _chunks(groups: Sequence[EditGroup]) -> Iterator[list[EditGroup]]:
    """Groups that share a forward pass; a single one may be larger than the limit."""
    chunk: list[EditGroup] = []
    rows, width = 0, 0
    for group in groups:
        added = [row for objective, _ in group for row in objective.rows]
        widest = max(width, *(len(row.ids) for row in added))
        if chunk and (rows + len(added)) * widest > _TOKENS_PER_PASS:
            yield chunk
            chunk, rows, widest = [], 0, max(len(row.ids) for row in added)
        chunk.append(group)
        rows, width = rows + len(added), widest
    if chunk:
        yield chunk
