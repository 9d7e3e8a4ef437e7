"""What an edit is, as data: low-rank changes of named weights, to apply, take back, save and combine.

This is the only way weights change: a method computes a delta, `apply` writes it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from kgedit.delta.storage import StoredDelta, load_stored, save_stored
from kgedit.delta.update import WeightUpdate, edited_values
from kgedit.delta.weights import digest, hash_weights, write_weights
from kgedit.errors import FileCorrupt, WeightsChanged, WrongBase


@dataclass(frozen=True, eq=False)
class LowRankDelta:
    """One edit (or several, composed) as low-rank updates of named weights.

    Attributes:
        updates: One per weight; each name once.
        base_hash: `hash_weights` of those weights before the edit.
        manifest: How it came about (method, settings, seeds, graph provenance, versions); plain JSON values.

    Raises:
        ValueError: No update, a name twice, or a manifest that is not plain JSON.
    """

    updates: tuple[WeightUpdate, ...]
    base_hash: str
    manifest: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check names and manifest; keep a private copy of the manifest."""
        object.__setattr__(self, "updates", tuple(self.updates))
        names = [update.name for update in self.updates]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"a delta needs at least one update, and each weight once, not {names}; see compose()")
        try:
            text = json.dumps(self.manifest, allow_nan=False, ensure_ascii=False)
            text.encode()  # a lone surrogate could be written, but never read again
        except (TypeError, ValueError) as error:
            raise ValueError(f"a manifest holds plain JSON values, no NaN, no objects: {error}") from error
        object.__setattr__(self, "manifest", json.loads(text))

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

    def check_base(self, model: nn.Module) -> None:
        """Make sure that the model's weights are those the delta was computed on.

        Raises:
            WrongBase: They are not; names both hashes.
            UnsupportedModel: A weight is missing or cannot be edited.
        """
        for update in self.updates:
            update.check_fits(model)
        found = hash_weights(model, self.names)
        if found != self.base_hash:
            raise wrong_base(self, found)

    def apply(self, model: nn.Module, *, check: bool = True) -> Applied:
        """Write the change into the model; use the result to take it back, or as a context manager.

        Args:
            model: Model to change in place; parameters keep their identity, flags and gradients.
            check: Refuse other weights than those the delta was computed on.

        Raises:
            WrongBase: The model's weights are others (only with `check`), or have other shapes.
            UnsupportedModel: A weight is missing or cannot be edited.
            EditDiverged: The result does not fit the model's dtype. In all cases the model is unchanged.
        """
        if check:
            self.check_base(model)
        weights = {update.name: update.check_fits(model) for update in self.updates}
        values, lost = edited_values(self.updates, weights)
        after = {name: digest(name, value) for name, value in values.items()}
        before = write_weights(weights, values)
        return Applied(self, weights, before, after, lost)

    def norms(self, model: nn.Module) -> dict[str, float]:
        """Relative Frobenius norm ||dW|| / ||W|| of each update, W as it is in the model now."""
        found = {}
        for update in self.updates:
            weight = update.check_fits(model).detach()
            size = float(torch.linalg.vector_norm(weight.float()))
            found[update.name] = update.norm() / size if size > 0 else math.inf
        return found

    def save(self, directory: str | Path) -> Path:
        """Write the delta into a folder as safetensors and `manifest.json`; a delta saved there is replaced.

        Returns:
            The folder.

        Raises:
            SaveFailed: The disk is full or the folder cannot be written; it is as before then.
        """
        save_stored(StoredDelta(self.id, self.base_hash, self.updates, self.manifest), Path(directory))
        return Path(directory)

    @classmethod
    def load(cls, directory: str | Path, model: nn.Module | None = None) -> LowRankDelta:
        """Read a saved delta; given a model, also make sure that it is the one the delta was computed on.

        Raises:
            FileCorrupt: Something is missing, damaged or forged.
            WrongBase: The model's weights are others.
        """
        stored = load_stored(Path(directory))
        delta = cls(stored.updates, stored.base_hash, stored.manifest)
        if delta.id != stored.id:
            raise FileCorrupt(
                f"{directory} holds no usable delta: its content has the id {delta.id}, its manifest says "
                f"{stored.id}. Restore the folder from a copy, or make the edit anew."
            )
        if model is not None:
            delta.check_base(model)
        return delta


class Applied:
    """A delta that is in force, with the original weights kept aside.

    As a context manager it takes the delta back at the end of the block, whatever happened inside.

    Attributes:
        delta: What was applied.
        lost: Parameter name -> share of the change that the cast to the model's dtype lost (0 in float32; in
            bfloat16 small edits can lose much).
    """

    def __init__(
        self,
        delta: LowRankDelta,
        weights: Mapping[str, nn.Parameter],
        before: dict[str, Tensor],
        after: dict[str, str],
        lost: dict[str, float],
    ) -> None:
        """Made by `LowRankDelta.apply`."""
        self.delta = delta
        self.lost = lost
        self._weights = dict(weights)
        self._before: dict[str, Tensor] | None = before
        self._after = after

    def revert(self) -> None:
        """Put the original weights back, bit for bit. A second call does nothing.

        Raises:
            WeightsChanged: Something else wrote to a weight meanwhile; putting the originals back would undo
                that as well. Nothing is written then.
        """
        if self._before is None:
            return
        for name, weight in self._weights.items():
            if digest(name, weight) != self._after[name]:
                raise weights_changed(name)
        write_weights(self._weights, self._before)
        self._before = None

    def __enter__(self) -> Applied:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.revert()


def compose(*deltas: LowRankDelta, base_hash: str | None = None) -> LowRankDelta:
    """One delta that does what the given ones do together: factors side by side, so ranks add. Exact.

    Args:
        deltas: In the order in which they are applied.
        base_hash: `hash_weights` of all weights concerned before the first delta. May be left out when the
            first delta touches all of them; then it is the first one's.

    Raises:
        ValueError: No delta; two that store a weight differently; or an unknown base.
    """
    if not deltas:
        raise ValueError("compose() needs at least one delta")
    parts: dict[str, list[WeightUpdate]] = {}
    for delta in deltas:
        for update in delta.updates:
            parts.setdefault(update.name, []).append(update)
    if base_hash is None:
        if set(parts) != set(deltas[0].names):
            raise ValueError(
                "the deltas touch different weights, so the hash of their common base is not known; "
                "pass base_hash=hash_weights(unedited_model, names)"
            )
        base_hash = deltas[0].base_hash
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
    origins: list[dict[str, Any]] = []
    for delta in deltas:  # the parts of a composed delta stand in the list themselves, not one level deeper
        origins += delta.manifest.get("composed", [{"id": delta.id, "manifest": delta.manifest}])
    return LowRankDelta(merged, base_hash, {"composed": origins})


def wrong_base(delta: LowRankDelta, found: str) -> WrongBase:
    """The error for a delta that meets other weights than its own."""
    return WrongBase(
        f"this delta was computed on weights with hash {delta.base_hash}, but the model's have hash {found} "
        f"({', '.join(delta.names)}). Load the model that it was made for, without other edits in force."
    )


def weights_changed(name: str) -> WeightsChanged:
    """The error for weights that changed behind the back of whoever keeps their originals."""
    return WeightsChanged(
        f"{name} is not as the last edit left it: something else wrote to it (training, or another edit that "
        "is still in force). Take back later changes first, or reload the model."
    )
