"""A padded batch of rows of similar length, of which only the part that an edit can change is computed again.

Nothing before the written token (the subject's last, as a rule) and nothing below the edit layer depends on the value
being optimised. So the batch is cut at that token: what is before enters as cached keys and values, what is below as
a stored state. The part before is padded on the left and the part behind on the right, hence the token sits in one
column for all rows:

    prefix (left-padded) | written token        | rest of the prompt and target (right-padded)
    cached once          | column 0             | columns 1 ...
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import log_softmax
from transformers import Cache, PreTrainedModel

from kgedit.lm.anatomy import Anatomy
from kgedit.lm.cache import forget, fork, prefill
from kgedit.lm.hooks import add_at, capture, head_at, only_at, replay
from kgedit.lm.padding import align, position_ids
from kgedit.lm.token_losses import losses_at, token_losses
from kgedit.methods.engine.objective import ObjectiveRow


class PaddedBatch:
    """Rows of an edit batch, prepared on the unedited model; docs/methods.md, "Computing only what changes".

    Attributes:
        values: Layer -> unedited MLP output m at the written token, (rows, d), float32.
        keys: Layer -> its key k, (rows, d_ff), float32.
        hidden: Output of the first edit layer's block there, (rows, d), float32.
        missed: (edits,) number of target tokens behind the edit prompts that were not the most probable ones when
            `losses` was asked to count them last.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        anatomy: Anatomy,
        rows: Sequence[ObjectiveRow],
        edit_of: Sequence[int],
        edits: int,
        layers: Sequence[int],
        past: Cache | None = None,
    ) -> None:
        """Run the unedited model once over everything that later steps reuse.

        Args:
            model: Model in evaluation mode without gradients (`hooks.frozen`).
            anatomy: Its anatomy.
            rows: The rows.
            edit_of: Number of the edit that each row belongs to.
            edits: Number of edits in the whole batch.
            layers: Edit layers in ascending order.
            past: Keys and values of what is before each row's place, padded on the left, if they are known.
        """
        self.model, self.anatomy, self.rows, self.edits, self.layers = model, anatomy, rows, edits, tuple(layers)
        self.device = anatomy.weight(model, self.layers[0]).device
        self.edit_of = torch.tensor(edit_of, device=self.device)  # (rows,)
        lengths = [row.length for row in rows]
        self.length = torch.tensor(lengths, device=self.device, dtype=torch.float32).view(-1, 1, 1)  # (rows, 1, 1)
        self._lay_out(past)
        self._score_positions()
        with torch.no_grad():
            self._run_unedited()

    def _lay_out(self, past: Cache | None) -> None:
        # The written token stands in column `cut` of every row.
        ids, mask, cut = align([row.ids for row in self.rows], [row.place for row in self.rows], 0)
        ids, mask = ids.to(self.device), mask.to(self.device)  # (rows, cut + columns)
        positions = position_ids(mask)
        self.suffix = {"input_ids": ids[:, cut:], "attention_mask": mask, "position_ids": positions[:, cut:]}
        # Keys and values of everything before the cut are computed once and serve every step.
        self.past = prefill(self.model, ids[:, :cut], mask[:, :cut], positions[:, :cut]) if past is None else past

    def _score_positions(self) -> None:
        # One entry per scored position, over all rows; a row's weight is shared out evenly over its positions.
        entries = [
            (index, position - row.place, token, row.weight / len(row.scored))
            for index, row in enumerate(self.rows)
            for position, token in zip(row.scored, row.targets or (-1,) * len(row.scored), strict=True)
        ]
        row_of, column, token, weight = zip(*entries, strict=True)
        self.row_of = torch.tensor(row_of, device=self.device)  # (scored,)
        self.column = torch.tensor(column, device=self.device)
        self.token = torch.tensor(token, device=self.device)  # -1: keep the unedited distribution
        self.kept_of = (self.token < 0).long().cumsum(0) - 1  # (scored,) which of the kept distributions
        self.weight = torch.tensor(weight, device=self.device, dtype=torch.float32)
        kinds = [self.rows[index].kind for index in row_of]
        # Numbers of each kind's entries. In a fixed order: losses are added up in it, and a set's order differs from
        # process to process.
        self.of_kind = {
            kind: torch.tensor([entry for entry, k in enumerate(kinds) if k == kind], device=self.device)
            for kind in sorted({*kinds})
        }

    def _run_unedited(self) -> None:
        modules = {layer: self.anatomy.mlp_out(self.model, layer) for layer in self.layers}
        outputs = {f"m{layer}": module for layer, module in modules.items()}
        outputs["state"] = self.anatomy.block(self.model, self.layers[0])
        rows = len(self.rows)
        with ExitStack() as stack:
            keys = stack.enter_context(
                capture({str(layer): module for layer, module in modules.items()}, inputs=True, rows=rows)
            )
            captured = stack.enter_context(capture(outputs, rows=rows, stop=True))
            self.model(**self.suffix, past_key_values=fork(self.past), use_cache=True)
        self.state = captured["state"]  # (rows, columns, d)
        self.hidden = self.state[:, 0].float()  # (rows, d)
        values = {layer: captured[f"m{layer}"][:, 0].float() for layer in self.layers}
        self.values = {layer: value.to(self.device) for layer, value in values.items()}  # (rows, d)
        keys_of = {layer: keys[str(layer)][:, 0].float() for layer in self.layers}
        self.keys = {layer: key.to(self.device) for layer, key in keys_of.items()}  # (rows, d_ff)
        # What rows without targets are held to: the unedited distribution P. No other row is run to the top.
        kept = self.token < 0  # (scored,)
        rows_kept, row_of = torch.unique(self.row_of[kept], return_inverse=True)
        self.kept = torch.empty(0, device=self.device)
        if len(rows_kept):
            with ExitStack() as stack:
                stack.enter_context(replay(self.model, self.anatomy, self.layers[0] + 1, self.state[rows_kept]))
                self._top_only(stack, row_of, self.column[kept])
                stack.enter_context(head_at(self.model, row_of, self.column[kept]))
                logits = self._run(rows_kept).logits[0].float()  # (kept, vocabulary)
            self.kept = log_softmax(logits, dim=-1)  # (kept, vocabulary)
        # Blocks up to the edit layer run no more: of their keys and values the shape alone is needed.
        forget(self.past, self.layers[0] + 1)

    def _run(self, rows: Tensor | None = None) -> Any:
        """The model over the part behind the cut, of all rows or of the given ones."""
        suffix = self.suffix if rows is None else {name: tensor[rows] for name, tensor in self.suffix.items()}
        return self.model(**suffix, past_key_values=fork(self.past, rows), use_cache=True)

    def _top_only(self, stack: ExitStack, row_of: Tensor, column: Tensor) -> None:
        """Above its attention the last block is wanted at some places alone."""
        last = self.anatomy.n_layers(self.model) - 1
        mlp = self.anatomy.mlp(self.model, last)
        if mlp is not None and last not in self.layers:
            stack.enter_context(only_at(mlp, row_of, column))

    def losses(self, offsets: Tensor, *, count_missed: bool = False) -> dict[str, Tensor]:
        """Run the layers above the first edit layer with m + offset at the written token.

        Args:
            offsets: (edits, layers, d) float32, what is added to m at each edit layer; may carry gradients.
            count_missed: Whether to set `missed`.

        Returns:
            Kind of row -> (edits,) weighted loss: negative log-likelihood per target token, or KL(edited || unedited).
        """
        of_row = per_row(offsets, self.edit_of) * self.length  # (rows, layers, d)
        first, *above = self.layers
        # The first edit layer needs no run: its output is the stored state with the offset added at column 0.
        column = self.anatomy.shifted(self.model, first, self.hidden, self.values[first], of_row[:, 0])  # (rows, d)
        state = torch.cat([column.unsqueeze(1).to(self.state.dtype), self.state[:, 1:]], dim=1)  # (rows, columns, d)
        missed: list[Tensor] = []  # of each piece (m,)

        def place_losses(logits: Tensor, places: slice) -> Tensor:
            # Negative log-likelihood where a token is wanted, KL(edited || unedited) where it is to stay.
            token, kept_of = self.token[places].to(logits.device), self.kept_of[places].to(logits.device)
            if count_missed:
                missed.append((logits.detach().argmax(dim=-1) != token).to(self.device))
            return token_losses(logits.float(), token, self.kept.to(logits.device), kept_of)

        with ExitStack() as stack:
            stack.enter_context(replay(self.model, self.anatomy, first + 1, state))
            for number, layer in enumerate(above, start=1):
                stack.enter_context(self._shift(layer, of_row[:, number]))
            self._top_only(stack, self.row_of, self.column)
            per_position = losses_at(
                self.model, self.anatomy, self._run, self.row_of, self.column, place_losses
            )  # (scored,)
        weighted = per_position.to(self.device) * self.weight  # (scored,)
        # Added up by edit, each kind of row for itself.
        edit = self.edit_of[self.row_of]
        empty = torch.zeros(self.edits, device=self.device, dtype=torch.float32)
        if count_missed:
            of = self.of_kind.get("target", self.row_of[:0])
            self.missed = empty.index_add(0, edit[of], torch.cat(missed)[of].to(empty))
        return {kind: empty.index_add(0, edit[of], weighted.index_select(0, of)) for kind, of in self.of_kind.items()}

    def _shift(self, layer: int, offset: Tensor) -> AbstractContextManager[None]:
        def change(output: Tensor) -> Tensor:
            return torch.cat([output[:, :1] + offset.unsqueeze(1).to(output), output[:, 1:]], dim=1)

        return add_at(self.anatomy.mlp_out(self.model, layer), change, rows=len(self.rows))


def per_row(offsets: Tensor, edit_of: Tensor) -> Tensor:
    """Each row's offset (rows, layers, d), from those of the edits (edits, layers, d) and each row's edit (rows,).

    Not `offsets[edit_of]`: on the CPU its gradient is added up by several threads in whatever order they come.
    """
    return offsets.index_select(0, edit_of)
