"""Keys with values and radii: which value answers a query, and what a further entry does to the others.

GRACE (Hartvigsen et al., *Aging with GRACE*, NeurIPS 2023, arXiv 2211.11031) and HoReN differ in settings only.
docs/methods.md, "GRACE and HoReN".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from kgedit.delta.prompt_ends import PromptPlace

_APART = 1e-5  # between two balls that touch (GRACE's code)
_SAME = 1e-4  # share of a key's length below which two keys are one, up to rounding
_STILL = 1e-5  # a query that a Hopfield step moves by less is left where it is (HoReN's code)


@dataclass(frozen=True)
class Lookup:
    """How a query is made of a prompt and compared with the keys.

    Attributes:
        radius: Distance from its key up to which an entry answers, at first.
        adapts: Whether radii grow and shrink with further entries (GRACE).
        replaces: Whether a value stands in for the layer's output, or is added to it.
        share: Share of the prompt's tokens, the last ones, whose inputs are averaged; 0 for the last token alone.
        unit: Whether queries and keys have length 1.
        pull: How far a Hopfield step moves a query towards the keys; 0 for none.
        sharpness: Of the softmax in that step.
        scope: Hash of the matrix that queries are multiplied by, if there is one (SERAC's scope classifier).
        reuses: Whether an edit that an entry with the same object answers for is trained into that entry, and has no
            key of its own (HoReN's code; entries with radii that adapt always do so).
    """

    radius: float
    adapts: bool
    replaces: bool
    share: float = 0.0
    unit: bool = False
    pull: float = 0.0
    sharpness: float = 20.0
    scope: str = ""
    reuses: bool = False

    def query(self, inputs: Tensor, prompts: Sequence[PromptPlace], projection: Tensor | None = None) -> Tensor:
        """Queries, float32.

        Args:
            inputs: (rows, columns, d_ff), what the layer reads.
            prompts: Where the prompts are.
            projection: (m, d_ff), the matrix of `scope`.

        Returns:
            (prompts, m), or (prompts, d_ff) where there is no projection.
        """
        queries = []
        for row, columns in prompts:
            last = list(columns)[-max(1, math.ceil(self.share * len(columns))) :]
            queries.append(inputs[row, last].float().mean(dim=0))  # (d_ff,)
        stacked = torch.stack(queries)  # (prompts, d_ff)
        stacked = normalize(stacked, dim=-1) if self.unit else stacked
        return stacked if projection is None else stacked @ projection.T.to(stacked)  # (prompts, m)


@dataclass(frozen=True, eq=False)
class KeyedValue:
    """A key (d_ff,), its value (d,), and the token ids of the object that the value leads to."""

    key: Tensor
    value: Tensor
    label: tuple[int, ...]


class Codebook:
    """Entries in the order in which they were added, with the radii that follow.

    Attributes:
        labels: The object of each, as token ids.
        added: How many were added, those included that took the place of an earlier one.
    """

    def __init__(self, lookup: Lookup, entries: Sequence[KeyedValue], device: torch.device | str = "cpu") -> None:
        """Add the entries one after another.

        Args:
            lookup: How queries are compared.
            entries: At least one.
            device: Where tensors lie.
        """
        self.lookup, self.labels, self.added = lookup, list[tuple[int, ...]](), 0
        # Room for more rows than there are, so that a further entry does not copy all.
        self._rows = [torch.empty(1, size, device=device) for size in (len(entries[0].key), len(entries[0].value), 1)]
        # HoReN's null entry: a direction of no meaning, which a query that is near no key is pulled to instead.
        null = torch.randn(len(entries[0].key), generator=torch.Generator().manual_seed(0)).to(device)  # (d_ff,)
        self._null = normalize(null, dim=0)[None]  # (1, d_ff)
        for entry in entries:
            self.add(entry)

    @property
    def keys(self) -> Tensor:
        """(n, d_ff), float32."""
        return self._rows[0][: len(self.labels)]

    @property
    def values(self) -> Tensor:
        """(n, d), float32."""
        return self._rows[1][: len(self.labels)]

    @property
    def radii(self) -> Tensor:
        """(n,), float32."""
        return self._rows[2][: len(self.labels), 0]

    def known(self, key: Tensor, label: tuple[int, ...]) -> int:
        """Number of the entry that an edit goes on from: near enough to its key (d_ff,), with its object; -1 for none.

        Near enough is what would answer for the key; with radii that adapt also what would grow to hold it.
        """
        if not self.labels:
            return -1
        if self.lookup.adapts:
            nearest, distance = self._nearest(key)
            near = distance <= self.lookup.radius + float(self.radii[nearest])
        else:
            nearest = int(self.find(key[None]))
            near = nearest >= 0
        return nearest if near and self.labels[nearest] == label else -1

    def add(self, entry: KeyedValue) -> None:
        """Add an entry; what becomes of the others' radii are GRACE's rules."""
        self.added += 1
        key = entry.key.to(self.keys)
        if not self.labels:
            self._append(entry, self.lookup.radius)
            return
        nearest, distance = self._nearest(key)
        radius, joins = float(self.radii[nearest]), self.lookup.adapts or self.lookup.reuses
        # The same prompt again: the later edit stands in the place of the earlier one.
        if distance <= _SAME * float(key.norm()):
            self._replace(nearest, entry, radius)
        # Expand: an entry near by has the same object. Its value was trained on; its ball comes to hold the new key.
        elif joins and (known := self.known(key, entry.label)) >= 0:
            self.values[known] = entry.value.to(key)
            if self.lookup.adapts:
                self.radii[known] = max(radius, distance)
        # Add: it is far from all others.
        elif not self.lookup.adapts or distance > self.lookup.radius + radius:
            self._append(entry, self.lookup.radius)
        # Split: two objects, each with a ball of half the distance.
        else:
            self.radii[nearest] = distance / 2 - _APART
            self._append(entry, distance / 2)

    def _nearest(self, key: Tensor) -> tuple[int, float]:
        """Number of the entry whose key is nearest, and its distance."""
        distances = torch.linalg.vector_norm(self.keys - key, dim=-1)  # (n,)
        nearest = int(distances.argmin())
        return nearest, float(distances[nearest])

    def _append(self, entry: KeyedValue, radius: float) -> None:
        number = len(self.labels)
        if number == len(self._rows[0]):
            self._rows = [torch.cat([rows, torch.empty_like(rows)]) for rows in self._rows]
        self.labels.append(entry.label)
        self._replace(number, entry, radius)

    def _replace(self, number: int, entry: KeyedValue, radius: float) -> None:
        self.labels[number] = entry.label
        for rows, row in zip(self._rows, (entry.key, entry.value, torch.tensor([radius])), strict=True):
            rows[number] = row.to(rows)

    def find(self, queries: Tensor) -> Tensor:
        """Number of the entry that answers each query (q, d_ff): the nearest, if within its radius; else -1, (q,)."""
        if self.lookup.pull:
            # One damped step of a Hopfield network: q <- normalised (1 - a) q + a softmax(b q Q^T) Q.
            stored = torch.cat([self._null, self.keys])  # (1 + n, d_ff)
            drawn = normalize((self.lookup.sharpness * queries @ stored.T).softmax(-1) @ stored, dim=-1)  # (q, d_ff)
            pulled = normalize((1 - self.lookup.pull) * queries + self.lookup.pull * drawn, dim=-1)  # (q, d_ff)
            moves = torch.linalg.vector_norm(drawn - queries, dim=-1, keepdim=True) >= _STILL
            queries = torch.where(moves, pulled, queries)
        distances = torch.cdist(queries, self.keys, compute_mode="donot_use_mm_for_euclid_dist")  # (q, n)
        nearest, number = distances.min(dim=-1)
        return number.where(nearest <= self.radii[number], -1)  # (q,)
