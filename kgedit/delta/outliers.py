"""Changes that act at the tokens of a prompt where they are outliers (COMEBA-HK; Li et al., EMNLP 2024).

A layer computes m = W k + b. With dW the sum of all such changes of the layer that are applied, a token of a prompt
gets dW k added where the length of dW k stands out among the prompt's tokens,

    z = (|dW k| - mean) / standard deviation  >=  alpha,

alpha the least of these changes'. Elsewhere, and at tokens that are generated behind the prompt, outputs are bit for
bit the unedited model's. The weights stay as they are. docs/methods.md, "Many edits".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from kgedit.delta.delta import Delta
from kgedit.delta.hook import Attached, DeltaHook, Detach
from kgedit.delta.low_rank import plain_manifest
from kgedit.delta.prompt_ends import PromptWatch, watched
from kgedit.delta.storage import StoredDelta
from kgedit.delta.update import WeightUpdate
from kgedit.delta.weights import digest, hooks_at, parent_module


@dataclass(frozen=True, eq=False)
class OutlierDelta(Delta):
    """One edit or several as changes of layers that act at outliers.

    Attributes:
        updates: The changes; a layer may have several.
        thresholds: alpha of each.
        base_hash: `hash_weights` of the layers' weights, which it leaves as they are.
        manifest: As for every delta.

    Raises:
        ValueError: No change, not one threshold for each, or a manifest that is not plain JSON.
    """

    kind = "outliers"

    updates: tuple[WeightUpdate, ...]
    thresholds: tuple[float, ...]
    base_hash: str
    manifest: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the changes; keep a private copy of the manifest."""
        object.__setattr__(self, "updates", tuple(self.updates))
        object.__setattr__(self, "thresholds", tuple(map(float, self.thresholds)))
        if not self.updates or len(self.updates) != len(self.thresholds):
            raise ValueError("a change at outliers needs at least one update, and a threshold for each")
        object.__setattr__(self, "manifest", plain_manifest(self.manifest))

    @property
    def names(self) -> tuple[str, ...]:
        """The weights beside which it acts; none is rewritten."""
        return tuple(dict.fromkeys(update.name for update in self.updates))

    @cached_property
    def id(self) -> str:
        """SHA-256 (hex) of the changes in their order."""
        lines = [
            f"{digest(update.name, update.left)} {digest(update.name, update.right)} {update.conv1d} {threshold!r}"
            for update, threshold in zip(self.updates, self.thresholds, strict=True)
        ]
        return hashlib.sha256("\n".join([self.kind, *lines]).encode()).hexdigest()

    def weights_in(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """See `Delta.weights_in`."""
        return {update.name: update.check_fits(model) for update in self.updates}

    def attach(self, model: nn.Module) -> Detach:
        """What acts on each layer gets these changes behind those that it has."""
        with Attached() as attached:
            for update, threshold in zip(self.updates, self.thresholds, strict=True):
                acting = _acting_on(model, update.name)
                if acting is None:
                    watch = watched(model, "a change at outliers")
                    acting = _AtOutliers(parent_module(model, update.name), watch)
                attached.add(acting.with_part(update, threshold))
        return attached

    def stored(self) -> StoredDelta:
        """The factors, and a row for each change."""
        tensors: dict[str, Tensor] = {}
        rows = []
        for number, (update, threshold) in enumerate(zip(self.updates, self.thresholds, strict=True)):
            tensors |= {f"{number}.left": update.left, f"{number}.right": update.right}  # (d_in, r), (d_out, r)
            rows.append(_Row(name=update.name, conv1d=update.conv1d, threshold=threshold).model_dump(mode="json"))
        return StoredDelta(self.kind, self.id, self.base_hash, tensors, rows, self.manifest)

    @classmethod
    def from_stored(cls, stored: StoredDelta) -> Self:
        """See `Delta.from_stored`."""
        rows = [_Row.model_validate_json(json.dumps(part)) for part in stored.parts]
        updates = tuple(
            WeightUpdate(row.name, stored.tensors[f"{number}.left"], stored.tensors[f"{number}.right"], row.conv1d)
            for number, row in enumerate(rows)
        )
        return cls(updates, tuple(row.threshold for row in rows), stored.base_hash, stored.manifest)

    @classmethod
    def joined(cls, deltas: Sequence[Delta], base_hash: str, manifest: dict[str, Any]) -> Self:
        """See `Delta.joined`: the changes of all, one after the other."""
        parts = [delta for delta in deltas if isinstance(delta, cls)]
        updates = tuple(update for part in parts for update in part.updates)
        return cls(updates, tuple(alpha for part in parts for alpha in part.thresholds), base_hash, manifest)


def z_scores(lengths: Tensor) -> Tensor:
    """How far each of the lengths (n,) stands out, in standard deviations; zeros where they do not differ."""
    if len(lengths) < 2 or not float(deviation := lengths.std()):
        return torch.zeros_like(lengths)
    return (lengths - lengths.mean()) / deviation


@contextmanager
def acting_everywhere(model: nn.Module) -> Iterator[None]:
    """All changes at outliers act at every token while the body runs, as changes of the weights would."""
    hooks = [hook for module in model.modules() for hook in module._forward_hooks.values()]
    acting = [hook for hook in hooks if isinstance(hook, _AtOutliers)]
    before = [hook.everywhere for hook in acting]
    try:
        for hook in acting:
            hook.everywhere = True
        yield
    finally:
        for hook, flag in zip(acting, before, strict=True):
            hook.everywhere = flag


def peaks(model: nn.Module, update: WeightUpdate, keys: Sequence[Tensor]) -> list[float]:
    """The largest z of each prompt if a change joined those that are applied.

    Args:
        model: The model.
        update: The change.
        keys: Of each prompt (tokens, d_in), what the layer reads.
    """
    acting = _acting_on(model, update.name)
    parts = [*(acting.updates if acting else ()), update]
    return [float(z_scores(_added(parts, key).norm(dim=-1)).max()) for key in keys]


class _AtOutliers(DeltaHook):
    """Adds the changes of a layer to its output.

    Attributes:
        everywhere: Whether they act at every token.
    """

    def __init__(self, layer: nn.Module, watch: PromptWatch) -> None:
        self.everywhere = False
        self._parts: list[tuple[WeightUpdate, float]] = []
        self._factors: tuple[Tensor, Tensor] | None = None
        self._watch, self._leave = watch, watch.used(whole=True)
        self._device = next(layer.parameters()).device
        self._handle = layer.register_forward_hook(self)

    @property
    def updates(self) -> list[WeightUpdate]:
        """The changes, in their order."""
        return [update for update, _ in self._parts]

    def with_part(self, update: WeightUpdate, threshold: float) -> Detach:
        """Have one change more; returns what takes it off. The last one takes all of this off the model."""
        part = (update, threshold)
        self._put([*self._parts, part])

        def leave() -> None:
            self._put([other for other in self._parts if other is not part])
            if not self._parts:
                self._handle.remove()
                self._leave()

        return leave

    def _put(self, parts: list[tuple[WeightUpdate, float]]) -> None:
        self._parts = parts
        if parts:
            left = torch.cat([update.left for update, _ in parts], dim=1).to(self._device)  # (d_in, ranks)
            right = torch.cat([update.right for update, _ in parts], dim=1).to(self._device)  # (d_out, ranks)
            self._factors = left, right

    def __call__(self, module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if self._factors is None or not (self.everywhere or self._watch.prompts):
            return output
        left, right = self._factors
        added = (args[0].float() @ left) @ right.T  # (..., d_out)
        changed = (output.float() + added).to(output.dtype)
        if self.everywhere:
            return changed
        alpha = min(threshold for _, threshold in self._parts)
        lengths = added.norm(dim=-1).reshape(self._watch.rows, -1)  # (rows, columns); OPT flattens its batch
        acts = torch.zeros_like(lengths, dtype=torch.bool)  # (rows, columns)
        for row, columns in self._watch.prompts:
            acts[row, list(columns)] = z_scores(lengths[row, list(columns)]) >= alpha
        if not bool(acts.any()):
            return output
        return torch.where(acts.reshape(output.shape[:-1])[..., None], changed, output)


def _added(updates: Sequence[WeightUpdate], keys: Tensor) -> Tensor:
    """DW k of all changes together, (n, d_out) float32, for keys (n, d_in)."""
    keys = keys.float().cpu()
    return torch.stack([(keys @ update.left) @ update.right.T for update in updates]).sum(dim=0)


def _acting_on(model: nn.Module, weight: str) -> _AtOutliers | None:
    return next(iter(hooks_at(model, weight, _AtOutliers)), None)


class _Row(BaseModel):
    """One change in a manifest."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str
    conv1d: bool
    threshold: float
