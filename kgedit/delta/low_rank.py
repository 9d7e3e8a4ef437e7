"""Low-rank changes of named weight matrices: the kind of delta that ROME, MEMIT and GLAME make.

A change of a whole matrix (fine-tuning) is one of full rank.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from kgedit.delta.delta import Delta
from kgedit.delta.peft import ORIGIN, write_adapter
from kgedit.delta.storage import StoredDelta
from kgedit.delta.update import WeightUpdate
from kgedit.delta.weights import digest
from kgedit.errors import UnsupportedExport


@dataclass(frozen=True, eq=False)
class LowRankDelta(Delta):
    """One edit (or several, composed) as low-rank updates of named weights.

    Attributes:
        updates: One per weight; each name once.
        base_hash: `hash_weights` of those weights before the edit.
        manifest: How it came about (method, settings, seeds, graph provenance, versions); plain JSON values.

    Raises:
        ValueError: No update, a name twice, or a manifest that is not plain JSON.
    """

    kind = "low-rank"

    updates: tuple[WeightUpdate, ...]
    base_hash: str
    manifest: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check names and manifest; keep a private copy of the manifest."""
        object.__setattr__(self, "updates", tuple(self.updates))
        names = [update.name for update in self.updates]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"a delta needs at least one update, and each weight once, not {names}; see compose()")
        object.__setattr__(self, "manifest", plain_manifest(self.manifest))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the edited parameters."""
        return tuple(update.name for update in self.updates)

    @property
    def rank(self) -> int:
        """Largest rank of any update."""
        return max(update.rank for update in self.updates)

    @cached_property
    def id(self) -> str:
        """SHA-256 (hex) of the updates: names, orientation and factors; not of the base or the manifest."""
        lines = sorted(
            f"{digest(update.name, update.left)} {digest(update.name, update.right)} {update.conv1d}"
            for update in self.updates
        )
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def weights_in(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """See `Delta.weights_in`."""
        return {update.name: update.check_fits(model) for update in self.updates}

    def edited(self, name: str, weight: Tensor) -> Tensor:
        """The weight plus its change, summed in at least float32 and cast once; see `Delta.edited`."""
        return self._update_of[name].edited(weight)

    def rounding(self, model: nn.Module) -> dict[str, float]:
        """Share of each change that the cast to the model's dtype would lose: ||rounding error|| / ||dW||.

        0 in float32; in bfloat16 small edits can lose much.
        """
        return {name: self._update_of[name].rounding(weight) for name, weight in self.weights_in(model).items()}

    def norms(self, model: nn.Module) -> dict[str, float]:
        """See `Delta.norms`."""
        norms = {}
        for update in self.updates:
            weight = update.check_fits(model).detach()
            size = float(torch.linalg.vector_norm(weight.float()))
            norms[update.name] = update.norm() / size if size > 0 else math.inf
        return norms

    def export(self, model: nn.Module, directory: str | Path) -> Path:
        """Write it as a LoRA adapter for the unedited model, exactly; see `peft.write_adapter`."""
        origin = {ORIGIN: self.id, "kgedit_base_hash": self.base_hash}
        return write_adapter(self.updates, model, Path(directory), origin)

    def stored(self) -> StoredDelta:
        """The factors, and a row for each weight that says how they are laid out."""
        tensors: dict[str, Tensor] = {}
        for index, update in enumerate(self.updates):
            tensors[f"{index}.left"] = update.left  # (d_in, r)
            tensors[f"{index}.right"] = update.right  # (d_out, r)
        rows = [
            _Row(name=u.name, conv1d=u.conv1d, d_in=u.left.shape[0], d_out=u.right.shape[0], rank=u.rank).model_dump()
            for u in self.updates
        ]
        return StoredDelta(self.kind, self.id, self.base_hash, tensors, rows, self.manifest)

    @classmethod
    def from_stored(cls, stored: StoredDelta) -> LowRankDelta:
        """See `Delta.from_stored`."""
        rows = [_Row.model_validate(row) for row in stored.parts]
        updates = tuple(
            WeightUpdate(row.name, stored.tensors[f"{index}.left"], stored.tensors[f"{index}.right"], row.conv1d)
            for index, row in enumerate(rows)
        )
        return cls(updates, stored.base_hash, stored.manifest)

    @classmethod
    def joined(cls, deltas: Sequence[Delta], base_hash: str, manifest: dict[str, Any]) -> Self:
        """See `Delta.joined`: factors side by side, so ranks add.

        Raises:
            ValueError: Two store a weight differently.
        """
        parts: dict[str, list[WeightUpdate]] = {}
        for update in (update for delta in deltas if isinstance(delta, LowRankDelta) for update in delta.updates):
            parts.setdefault(update.name, []).append(update)
        for name, updates in parts.items():
            if len({(update.stored_shape, update.conv1d) for update in updates}) > 1:
                raise ValueError(
                    f"the deltas disagree on the shape or orientation of {name}: they belong to different models"
                )
        merged = tuple(
            replace(
                updates[0],
                left=torch.cat([update.left for update in updates], dim=1),  # (d_in, sum of r)
                right=torch.cat([update.right for update in updates], dim=1),  # (d_out, sum of r)
            )
            for updates in parts.values()
        )
        return cls(merged, base_hash, manifest)

    @cached_property
    def _update_of(self) -> dict[str, WeightUpdate]:
        return {update.name: update for update in self.updates}


def plain_manifest(manifest: dict[str, Any]) -> dict[str, Any]:
    """A private copy of a manifest.

    Raises:
        ValueError: It is not plain JSON.
    """
    try:
        text = json.dumps(manifest, allow_nan=False, ensure_ascii=False)
        text.encode()  # a lone surrogate could be written, but never read again
    except (TypeError, ValueError) as error:
        raise ValueError(f"a manifest holds plain JSON values, no NaN, no objects: {error}") from error
    copied: dict[str, Any] = json.loads(text)
    return copied


def as_low_rank(delta: Delta) -> LowRankDelta:
    """The delta, for formats that hold nothing but matrices.

    Raises:
        UnsupportedExport: It is of another kind.
    """
    if not isinstance(delta, LowRankDelta):
        raise UnsupportedExport(f"a delta of kind {delta.kind!r} is no change of weight matrices; save it instead")
    return delta


def columns(delta: LowRankDelta, owners: Mapping[str, Sequence[int]]) -> list[LowRankDelta]:
    """A joint write, whose columns belong to an edit each, as one delta per edit.

    Args:
        delta: The write.
        owners: Weight -> the number of the edit that each of its columns belongs to.

    Returns:
        Deltas with the base hash of the whole, though an edit with no column on a weight leaves it out.

    Raises:
        ValueError: A weight has another number of columns, or an edit has none at all.
    """
    for update in delta.updates:
        if update.rank != len(owners[update.name]):
            raise ValueError(f"a joint write must have the rank {len(owners[update.name])} on {update.name}")
    edits = 1 + max(max(of_weight) for of_weight in owners.values())
    return [
        LowRankDelta(
            tuple(
                replace(update, left=update.left[:, own], right=update.right[:, own])
                for update in delta.updates
                if (own := [column for column, owner in enumerate(owners[update.name]) if owner == edit])
            ),
            delta.base_hash,
            {**delta.manifest, "column": edit, "columns": edits},
        )
        for edit in range(edits)
    ]


def side_by_side(
    parts: Sequence[tuple[WeightUpdate, ...]], numbers: Sequence[Sequence[int]]
) -> tuple[WeightUpdate, ...]:
    """Writes to the same weights as one, the other way round of `columns`.

    Args:
        parts: The updates of each, in the same order of weights, with a column for each of its edits.
        numbers: The numbers of these edits, by which the columns are ordered.
    """
    if len(parts) == 1:
        return parts[0]
    order = torch.tensor([number for part in numbers for number in part]).argsort()  # (edits,)
    return tuple(
        replace(
            of_weight[0],
            left=torch.cat([update.left for update in of_weight], dim=1)[:, order],  # (d_in, edits)
            right=torch.cat([update.right for update in of_weight], dim=1)[:, order],  # (d_out, edits)
        )
        for of_weight in zip(*parts, strict=True)
    )


class _Row(BaseModel):
    """One update in a manifest."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str
    conv1d: bool
    d_in: int
    d_out: int
    rank: int
