"""Low-rank changes that act only where they are meant: a gate on each, opened by the layer's input (NeuralDB's idea).

An edited layer computes m = W k + b. A gated change adds dW k only at tokens whose key k is near one of its own keys
k_j, cos(r(k), r(k_j)) > threshold with r(k) = sign(k) |k|^1/2 number by number; everywhere else the output is bit for
bit that of the unedited model. Of many gates at a layer the nearest acts, as in a store of keyed values: the last word
of "Gazi University" opens the gate of "Brown University" as well. The weights stay as they are, so it cannot be
exported as an adapter. (NeuralDB, 2025, arXiv 2507.18028, compares the keys as they are, and adds a stored residual
instead of dW k.) docs/methods.md, "A gate on any change".
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import groupby
from typing import Any, Self

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.nn.functional import normalize

from kgedit.delta.delta import Delta
from kgedit.delta.hook import Attached, DeltaHook, Detach
from kgedit.delta.low_rank import LowRankDelta, plain_manifest
from kgedit.delta.storage import StoredDelta
from kgedit.delta.update import WeightUpdate
from kgedit.delta.weights import digest, hooks_at, parent_module

# Gates whose cosine is within this of the nearest one's act together: edits of one subject have keys that are equal
# wherever their prompts begin alike.
_ALIKE = 0.02
# A few huge numbers decide the cosine of keys as they are, and texts share those. Roots count them for less, which
# image search calls power normalisation: at smollm2's layers 1 and 3 a third as many texts open the gate of a subject
# that they do not name (docs/methods.md).
_ROOT = 0.5
# Cosines that are held at a time: of ten thousand edits each token has a quarter of a million.
_MOST_COSINES = 2**26


def rooted(keys: Tensor, exponent: float = _ROOT) -> Tensor:
    """Keys (..., d_in) as gates compare them: sign(k) |k|^exponent, of length 1."""
    return normalize(keys if exponent == 1 else keys.sign() * keys.abs() ** exponent, dim=-1)


@dataclass(frozen=True, eq=False)
class Gate:
    """The change of one layer and the keys that open it.

    Attributes:
        update: dW, with the name of the layer's weight.
        keys: (n, d_in) float32 rows of length 1.
        threshold: Least cosine that opens it, between 0 and 1.
        exponent: See `rooted`; 1 in what earlier versions saved.
        thresholds: (n,) float32, of each key its own; by default `threshold` for all.

    Raises:
        ValueError: Keys that do not fit the change, or a threshold that is no cosine.
    """

    update: WeightUpdate
    keys: Tensor
    threshold: float
    exponent: float = _ROOT
    thresholds: Tensor | None = None

    def __post_init__(self) -> None:
        """Check what was given, and take a private copy of the keys and their thresholds."""
        keys = self.keys.detach().to("cpu", torch.float32, copy=True).contiguous()
        if keys.dim() != 2 or not len(keys) or keys.shape[1] != self.update.left.shape[0]:
            raise ValueError(
                f"the gate of {self.update.name} needs keys (n, {self.update.left.shape[0]}), not {tuple(keys.shape)}"
            )
        if not bool(((keys.norm(dim=-1) - 1).abs() < 1e-3).all()) or not 0 < self.threshold < 1:
            raise ValueError(
                f"the gate of {self.update.name} needs keys of length 1 and a threshold between 0 and 1, "
                f"not {self.threshold}"
            )
        if not 0 < self.exponent <= 1:
            raise ValueError(
                f"the gate of {self.update.name} needs an exponent above 0 and at most 1, not {self.exponent}"
            )
        object.__setattr__(self, "keys", keys)
        if self.thresholds is None:
            return
        thresholds = self.thresholds.detach().to("cpu", torch.float32, copy=True).contiguous()
        if thresholds.shape != keys.shape[:1] or not bool(((thresholds > 0) & (thresholds <= 1)).all()):
            raise ValueError(
                f"the gate of {self.update.name} needs a threshold above 0 and at most 1 for each of its {len(keys)} "
                f"keys, not {thresholds.tolist()}"
            )
        object.__setattr__(self, "thresholds", thresholds)


@dataclass(frozen=True, eq=False)
class GatedDelta(Delta):
    """One edit (or several, composed) as gated changes of layers.

    Attributes:
        gates: In the order in which they act; a layer may have several.
        base_hash: `hash_weights` of the layers' weights, which it leaves as they are.
        manifest: As for every delta.

    Raises:
        ValueError: No gate, or a manifest that is not plain JSON.
    """

    kind = "gated"

    gates: tuple[Gate, ...]
    base_hash: str
    manifest: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the gates; keep a private copy of the manifest."""
        object.__setattr__(self, "gates", tuple(self.gates))
        if not self.gates:
            raise ValueError("a gated delta needs at least one gate")
        object.__setattr__(self, "manifest", plain_manifest(self.manifest))

    @property
    def names(self) -> tuple[str, ...]:
        """The weights beside which it acts: none is rewritten, but on others the keys would mean nothing."""
        return tuple(dict.fromkeys(gate.update.name for gate in self.gates))

    @cached_property
    def id(self) -> str:
        """SHA-256 (hex) of the gates in their order."""
        lines = []
        for gate in self.gates:
            stated = [
                digest(gate.update.name, gate.update.left),
                digest(gate.update.name, gate.update.right),
                str(gate.update.conv1d),
                digest("keys", gate.keys),
                repr(gate.threshold),
            ]
            # What earlier versions did not know is left out where it says what they did.
            stated += [] if gate.exponent == 1 else [repr(gate.exponent)]
            stated += [] if gate.thresholds is None else [digest("thresholds", gate.thresholds)]
            lines.append(" ".join(stated))
        return hashlib.sha256("\n".join(["gated", *lines]).encode()).hexdigest()

    def weights_in(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """See `Delta.weights_in`."""
        return {gate.update.name: gate.update.check_fits(model) for gate in self.gates}

    def attach(self, model: nn.Module) -> Detach:
        """The gates join those that their layers have; the layers' outputs change where a gate opens."""
        with Attached() as attached:
            for name in self.names:
                hook = _hook(model, name)
                hook.put([*hook.parts, self])
                attached.add(partial(hook.without, self))
        return attached

    def norms(self, model: nn.Module) -> dict[str, float]:
        """Relative Frobenius norm of what all gates of a layer add where they are open."""
        squared: dict[str, float] = {}
        for gate in self.gates:
            squared[gate.update.name] = squared.get(gate.update.name, 0.0) + gate.update.norm() ** 2
        sizes = {name: float(torch.linalg.vector_norm(model.get_parameter(name).detach().float())) for name in squared}
        return {name: math.sqrt(total) / sizes[name] if sizes[name] else math.inf for name, total in squared.items()}

    def stored(self) -> StoredDelta:
        """Factors and keys, and a row for each gate that says how they are laid out."""
        tensors: dict[str, Tensor] = {}
        rows = []
        for index, gate in enumerate(self.gates):
            tensors[f"{index}.left"] = gate.update.left  # (d_in, r)
            tensors[f"{index}.right"] = gate.update.right  # (d_out, r)
            tensors[f"{index}.keys"] = gate.keys  # (n, d_in)
            if gate.thresholds is not None:
                tensors[f"{index}.thresholds"] = gate.thresholds  # (n,)
            update, threshold, exponent = gate.update, gate.threshold, gate.exponent
            row = _Row(name=update.name, conv1d=update.conv1d, threshold=threshold, exponent=exponent)
            rows.append(row.model_dump(exclude_defaults=True))
        return StoredDelta(self.kind, self.id, self.base_hash, tensors, rows, self.manifest)

    @classmethod
    def from_stored(cls, stored: StoredDelta) -> Self:
        """See `Delta.from_stored`."""
        tensors = stored.tensors
        gates = []
        for index, part in enumerate(stored.parts):
            row = _Row.model_validate(part)
            update = WeightUpdate(row.name, tensors[f"{index}.left"], tensors[f"{index}.right"], row.conv1d)
            thresholds = tensors.get(f"{index}.thresholds")
            gates.append(Gate(update, tensors[f"{index}.keys"], row.threshold, row.exponent, thresholds))
        return cls(tuple(gates), stored.base_hash, stored.manifest)

    @classmethod
    def joined(cls, deltas: Sequence[Delta], base_hash: str, manifest: dict[str, Any]) -> Self:
        """See `Delta.joined`: the gates of all, one after the other."""
        gates = [gate for delta in deltas if isinstance(delta, GatedDelta) for gate in delta.gates]
        return cls(tuple(gates), base_hash, manifest)


def gated(
    delta: LowRankDelta, keys: Mapping[str, Tensor], threshold: float, closed: Mapping[str, Tensor] | None = None
) -> GatedDelta:
    """A low-rank delta with a gate on each of its changes.

    Args:
        delta: The change.
        keys: Weight -> (n, d_in) keys at which it is meant to act, of any length.
        threshold: See `Gate`.
        closed: Weight -> (m, d_in) keys at which no gate is to open. A key near one of them opens only for what is
            nearer to it, see `raised`.
    """
    gates = []
    for update in delta.updates:
        own = keys[update.name]  # (n, d_in)
        thresholds = None if closed is None else raised(own, closed[update.name], threshold)  # (n,)
        gates.append(Gate(update, normalize(own, dim=-1), threshold, thresholds=thresholds))
    return GatedDelta(tuple(gates), delta.base_hash, {**delta.manifest, "gate": threshold})


def raised(keys: Tensor, closed: Tensor, threshold: float, exponent: float = _ROOT) -> Tensor:
    """Thresholds (..., n) of keys (..., n, d_in) beside keys (m, d_in) at which no gate is to open.

    At least `threshold`, and at least halfway between a key's cosine with the nearest of the closed ones and 1.
    """
    alike = (rooted(keys, exponent) @ rooted(closed, exponent).T).amax(dim=-1)  # (..., n)
    return ((1 + alike) / 2).clamp(min=threshold, max=1)  # (..., n)


class _Gates:
    """All gates of a layer, in one look at what the layer reads."""

    def __init__(self, gates: Sequence[Gate], weight: Tensor) -> None:
        device, dtype = weight.device, torch.promote_types(weight.dtype, torch.float32)
        self._number, self._dtype = len(gates), dtype
        gates = sorted(gates, key=lambda gate: gate.exponent)
        self._keys = [
            (exponent, rooted(torch.cat([gate.keys for gate in alike]).to(device, dtype), exponent))  # (keys, d_in)
            for exponent, alike in groupby(gates, key=lambda gate: gate.exponent)
        ]
        self._left = torch.cat([gate.update.left for gate in gates], dim=1).to(device, dtype)  # (d_in, ranks)
        self._right = torch.cat([gate.update.right for gate in gates], dim=1).to(device, dtype)  # (d_out, ranks)
        least = [
            torch.full((len(gate.keys),), gate.threshold) if gate.thresholds is None else gate.thresholds
            for gate in gates
        ]
        self._least = torch.cat(least).to(device, dtype)  # (keys,)
        # Which gate a key opens, and which gate a column of the factors belongs to.
        of_key = [number for number, gate in enumerate(gates) for _ in gate.keys]
        of_rank = [number for number, gate in enumerate(gates) for _ in range(gate.update.rank)]
        self._gate_of_key = torch.tensor(of_key, device=device)  # (keys,)
        self._gate_of_rank = torch.tensor(of_rank, device=device)  # (ranks,)

    def changed(self, inputs: Tensor, output: Tensor) -> Tensor:
        """The layer's output (..., d_out) for what it reads (..., d_in), with the changes whose gates open."""
        most = max(1, _MOST_COSINES // len(self._least))
        pieces = zip(*(torch.split(each.flatten(0, -2), most) for each in (inputs, output)), strict=True)
        changed = [self._changed(*piece) for piece in pieces]  # (tokens, d_out) each
        return torch.cat(changed).view_as(output) if len(changed) > 1 else changed[0].view_as(output)

    def _changed(self, inputs: Tensor, output: Tensor) -> Tensor:
        """The same of some tokens, (tokens, d_in) and (tokens, d_out)."""
        key = inputs.to(self._dtype)  # (tokens, d_in)
        cosine = torch.cat([rooted(key, exponent) @ own.T for exponent, own in self._keys], dim=-1)  # (tokens, keys)
        near = cosine > self._least  # (tokens, keys)
        reached = near.any(-1)  # (tokens,)
        if not bool(reached.any()):
            return output
        # Few tokens open a gate, so the changes are computed at those alone; elsewhere every bit stays.
        cosine, near = cosine[reached], near[reached]  # (tokens, keys)
        # Of the gates that a token opens the nearest acts, with those that are as near.
        nearest = cosine.where(near, -1.0).amax(dim=-1, keepdim=True)  # (tokens, 1)
        hit, opened = (near & (cosine >= nearest - _ALIKE)).nonzero(as_tuple=True)  # (pairs,) each
        is_open = near.new_zeros(len(near), self._number)  # (tokens, gates)
        is_open[hit, self._gate_of_key[opened]] = True
        change = (key[reached] @ self._left * is_open[:, self._gate_of_rank]) @ self._right.T  # (tokens, d_out)
        changed = output.clone()
        changed[reached] = (output[reached].to(self._dtype) + change).to(output.dtype)
        return changed


class _Hook(DeltaHook):
    """On a layer, for all gated deltas that change it."""

    def __init__(self, model: nn.Module, name: str) -> None:
        self.parts: list[GatedDelta] = []
        self._gates: _Gates | None = None
        self._name, self._weight = name, model.get_parameter(name)
        self._handle = parent_module(model, name).register_forward_hook(self)

    def put(self, parts: list[GatedDelta]) -> None:
        """Have exactly the gates of these deltas, in this order."""
        self.parts, self._gates = parts, None  # made when the layer runs: deltas come and go by the hundred before
        if not parts:
            self._handle.remove()

    def without(self, part: GatedDelta) -> None:
        """Take the gates of one delta out."""
        self.put([other for other in self.parts if other is not part])

    def __call__(self, module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if self._gates is None:
            gates = [gate for part in self.parts for gate in part.gates if gate.update.name == self._name]
            self._gates = _Gates(gates, self._weight)
        return self._gates.changed(args[0], output)


def _hook(model: nn.Module, name: str) -> _Hook:
    """The hook of a layer that has gated changes; a new one if it has none."""
    return next(iter(hooks_at(model, name, _Hook)), None) or _Hook(model, name)


class _Row(BaseModel):
    """One gate in a manifest."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str
    conv1d: bool
    threshold: float
    exponent: float = 1.0
