"""Writing to several layers from below: each is solved for the keys that the updates below it lead to."""

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
from kgedit.methods.engine.closed_form import Key, Moment, closed_form, joint_form
from kgedit.methods.engine.objective import Objective

Case = Sequence[tuple[Objective, Tensor]]  # edits written together, each with its offset m* - m, (layers, d)

_TOKENS_PER_PASS = 4096


def write_layers(
    model: PreTrainedModel,
    anatomy: Anatomy,
    cases: Sequence[Case],
    layers: Sequence[int],
    moments: Mapping[int, Moment],
    *,
    key: Key,
    ridge: float = 0.02,
) -> list[tuple[WeightUpdate, ...]]:
    """The updates of each case, layer by layer from below: each is solved for the keys that the ones below lead to.

    One forward pass does for all layers: what an update adds is added on the way up. No weight is touched.

    Args:
        model: Model in evaluation mode without gradients (`hooks.frozen`).
        anatomy: Its anatomy.
        cases: Edits that are written together; cases are independent of each other.
        layers: Edit layers, ascending.
        moments: Edit layer -> second moment.
        key: See `closed_form`; more than one edit in a case needs "contexts".
        ridge: See `closed_form`.

    Returns:
        One tuple of updates per case, one update per layer.
    """
    found: list[tuple[WeightUpdate, ...]] = []
    for chunk in _chunks(cases):
        writing = _Pass(model, anatomy, chunk, layers, moments, key, ridge)
        found += [tuple(updates) for updates in writing.run()]
    return found


class _Pass:
    """One forward pass over the rows of some cases, right-padded, that solves each edit layer as it comes by."""

    def __init__(
        self,
        model: PreTrainedModel,
        anatomy: Anatomy,
        cases: Sequence[Case],
        layers: Sequence[int],
        moments: Mapping[int, Moment],
        key: Key,
        ridge: float,
    ) -> None:
        self.model, self.anatomy, self.cases, self.layers = model, anatomy, cases, layers
        self.moments, self.key, self.ridge = moments, key, ridge
        counts = [sum(len(objective.rows) for objective, _ in case) for case in cases]
        self.spans = [slice(end - count, end) for count, end in zip(counts, accumulate(counts), strict=True)]
        self.rows = [row for case in cases for objective, _ in case for row in objective.rows]
        self.last = torch.tensor([row.place for row in self.rows])  # (rows,)
        self.lengths = torch.tensor([len(row.ids) for row in self.rows])  # (rows,)
        self.updates: list[list[WeightUpdate]] = [[] for _ in cases]

    def run(self) -> list[list[WeightUpdate]]:
        device = self.anatomy.weight(self.model, self.layers[0]).device
        width = int(self.lengths.max())
        ids = torch.zeros(len(self.rows), width, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for index, row in enumerate(self.rows):
            ids[index, : len(row.ids)] = torch.tensor(row.ids)
            mask[index, : len(row.ids)] = 1
        positions = torch.arange(width).expand_as(ids)
        modules = {layer: self.anatomy.mlp_out(self.model, layer) for layer in self.layers}
        rows = len(self.rows)
        with ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            named = {str(layer): module for layer, module in modules.items()}
            keys = stack.enter_context(capture(named, inputs=True, rows=rows))
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
        """Solve one layer for every case, and add to the MLP outputs (rows, seq, d) what the updates add."""
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
        """Left (d_ff, 1) and right (d, 1) of each case, which is of one edit."""
        for case, span in zip(self.cases, self.spans, strict=True):
            ((objective, offset),) = case
            rows, last = torch.arange(len(self.last[span])), self.last[span]
            at_subject = keys[span][rows, last], values[span][rows, last].float()  # (rows, d_ff), (rows, d)
            yield closed_form(
                self.key, *at_subject, offset[number], objective.contexts, self.moments[layer], ridge=self.ridge
            )

    def _joint(self, keys: Tensor, number: int, layer: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Left (d_ff, edits) and right (d, edits) of each case; one solve with C does for all of them."""
        columns = torch.arange(keys.shape[1])
        behind = (columns > self.last.unsqueeze(1)) & (columns < self.lengths.unsqueeze(1))  # (rows, seq)
        wide = []
        for span in self.spans:
            at_subject = keys[span][torch.arange(len(self.last[span])), self.last[span]]  # (rows, d_ff)
            wide.append(torch.cat([at_subject, keys[span][behind[span]]]))  # (rows + tokens, d_ff)
        solved = torch.split(self.moments[layer].solve(torch.cat(wide)), [len(each) for each in wide])
        for case, each, its_solved in zip(self.cases, wide, solved, strict=True):
            owner = torch.tensor([edit for edit, (objective, _) in enumerate(case) for _ in objective.rows])
            wanted = torch.zeros(len(each), len(case))  # (rows + tokens, edits)
            wanted[torch.arange(len(owner)), owner] = 1.0
            offsets = torch.stack([offset[number] for _, offset in case])  # (edits, d)
            yield joint_form(each, its_solved, wanted, self.ridge), offsets.T.float().cpu()


def _chunks(cases: Sequence[Case]) -> Iterator[list[Case]]:
    """Cases that share a forward pass; a single one may be larger than the limit."""
    chunk: list[Case] = []
    rows, width = 0, 0
    for case in cases:
        more = [row for objective, _ in case for row in objective.rows]
        widest = max(width, *(len(row.ids) for row in more))
        if chunk and (rows + len(more)) * widest > _TOKENS_PER_PASS:
            yield chunk
            chunk, rows, widest = [], 0, max(len(row.ids) for row in more)
        chunk.append(case)
        rows, width = rows + len(more), widest
    if chunk:
        yield chunk
