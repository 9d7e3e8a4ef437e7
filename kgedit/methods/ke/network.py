"""KE's network: it reads what an edit says, and gives rank-one masks of the gradient of each weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.rnn import pack_padded_sequence

from kgedit.lm.padding import pad
from kgedit.methods.engine.edit_gradient import Changes, EditedMatrix
from kgedit.methods.hyper.network import Condition, Hypernetwork

_READ, _CONDITION, _INNER = 128, 1024, 128  # widths: of the LSTM in each direction, of c, and inside of a head


@dataclass(frozen=True)
class Masks:
    """What a head gives for one weight, for each edit.

    Attributes:
        row_a: (edits, d_out), whose softmax weighs the rows of A.
        col_a: (edits, d_in) columns of A.
        row_b: (edits, d_out), likewise of B.
        col_b: (edits, d_in).
        size: (edits, 1), whose sigmoid is the share of the largest change that is used (eta).
    """

    row_a: Tensor
    col_a: Tensor
    row_b: Tensor
    col_b: Tensor
    size: Tensor

    def change(self, u: Tensor, delta: Tensor, most: float) -> tuple[Tensor, Tensor]:
        """DW = most sigmoid(eta) (grad * A + B), A = softmax(row_a)^T col_a, B likewise (section 3.3, eq. 4).

        A mask of rank one keeps the rank of a gradient in factors: (delta u^T) * (a b^T) = (a * delta) (b * u)^T.

        Args:
            u: (edits, tokens, d_in) inputs of the weight.
            delta: (edits, tokens, d_out) gradients at its output.
            most: The largest share of the gradient.

        Returns:
            Left (edits, tokens + 1, d_in) and right (edits, tokens + 1, d_out) factors of dW.
        """
        left = torch.cat([u * self.col_a[:, None], self.col_b[:, None]], dim=1)
        right = torch.cat([delta * self.row_a.softmax(-1)[:, None], self.row_b.softmax(-1)[:, None]], dim=1)
        return left, most * self.size.sigmoid()[:, None] * right


class MaskHead(nn.Module):
    """The masks of one weight from the condition c.

    The columns of A are read in units of -d_out: before training A is about -1 and B about 0, so that the change is a
    plain gradient step.
    """

    def __init__(self, d_out: int, d_in: int) -> None:
        """Take the weight's shape."""
        super().__init__()
        self.inner = weight_norm(nn.Linear(_CONDITION, _INNER))
        self.outer = weight_norm(nn.Linear(_INNER, 2 * (d_out + d_in) + 1))
        self._sizes = [d_in, d_out, d_in, d_out, 1]

    def forward(self, c: Tensor) -> Masks:
        """Masks of edits with conditions c (edits, 1024)."""
        parts = torch.split(self.outer(self.inner(c).tanh()), self._sizes, dim=-1)
        col_a, row_a, col_b, row_b, size = parts
        return Masks(row_a, -self._sizes[1] * (1 + col_a), row_b, col_b, size)


class ConditionReader(nn.Module):
    """A bidirectional LSTM over the tokens of what an edit says, and a layer on its last states."""

    def __init__(self, embeddings: Tensor) -> None:
        """Begin with the model's own token embeddings (vocabulary, d), a copy of which is trained."""
        super().__init__()
        self.embeddings = nn.Embedding(
            len(embeddings), embeddings.shape[1], _weight=embeddings.detach().float().clone()
        )
        self.lstm = nn.LSTM(embeddings.shape[1], _READ, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * _READ, _CONDITION)

    def forward(self, conditions: Sequence[Condition]) -> Tensor:
        """C of each edit, (edits, 1024)."""
        ids, mask = pad(conditions, 0, "right")  # (edits, longest)
        embedded = self.embeddings(ids.to(self.embeddings.weight.device))  # (edits, longest, d)
        packed = pack_padded_sequence(embedded, mask.sum(dim=1), batch_first=True, enforce_sorted=False)
        _, (last, _) = self.lstm(packed)  # (2, edits, 128)
        return cast(Tensor, self.out(torch.cat([last[0], last[1]], dim=-1)).tanh())  # (edits, 1024)


class KeNetwork(Hypernetwork):
    """The reader, and a head for each weight."""

    def __init__(self, matrices: Sequence[EditedMatrix], embeddings: Tensor, most: float) -> None:
        """Begin with a plain gradient step of half of `most`."""
        super().__init__()
        self.reader = ConditionReader(embeddings)
        self.heads = nn.ModuleList(MaskHead(*matrix.shape) for matrix in matrices)
        self._number: Mapping[str, int] = {matrix.name: number for number, matrix in enumerate(matrices)}
        self._most = most

    def forward(self, gradient: Changes, conditions: Sequence[Condition]) -> Changes:
        """The masked gradient of each edit; see `Masks.change`."""
        c = self.reader(conditions)  # (edits, 1024)
        changes: dict[str, tuple[Tensor, Tensor]] = {}
        for name, (u, delta) in gradient.items():
            masks = cast(Masks, self.heads[self._number[name]](c))
            changes[name] = masks.change(u, delta, self._most)
        return changes
