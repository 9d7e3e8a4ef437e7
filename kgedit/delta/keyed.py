"""A store of keys and values beside one layer, looked up once for each prompt (GRACE, HoReN).

A layer computes m = W k + b. The store looks at the keys of a prompt, in the pass that reads it, and where an entry
answers, m at the prompt's last token is the entry's value, or has it added; what is generated behind it reads that
state. Where none answers, outputs are bit for bit the unedited model's. Each delta holds its own entries; radii follow
from all that are applied, in their order, so a reverted one is as if it had never been. docs/methods.md, "GRACE and
HoReN".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Self

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from kgedit.delta.codebook import Codebook, KeyedValue, Lookup
from kgedit.delta.delta import Delta
from kgedit.delta.hook import DeltaHook, Detach
from kgedit.delta.low_rank import plain_manifest
from kgedit.delta.prompt_ends import PromptWatch, watched
from kgedit.delta.storage import StoredDelta
from kgedit.delta.weights import digest, editable_weight, hooks_at, parent_module
from kgedit.errors import UnsupportedExport, UnsupportedModel


@dataclass(frozen=True, eq=False)
class KeyedDelta(Delta):
    """Entries of the store of one layer.

    Attributes:
        weight: Name of the layer's weight, which stays as it is.
        lookup: How the store is consulted.
        entries: In their order.
        base_hash: `hash_weights` of `weight`.
        manifest: As for every delta.
        projection: (m, d_ff) by which queries are multiplied before they are compared with keys (m,), if there is one.

    Raises:
        ValueError: No entry, entries of different sizes, numbers that are not finite, or a manifest that is not JSON.
    """

    kind = "keyed-store"

    weight: str
    lookup: Lookup
    entries: tuple[KeyedValue, ...]
    base_hash: str
    manifest: dict[str, Any] = field(default_factory=dict)
    projection: Tensor | None = None

    def __post_init__(self) -> None:
        """Check the entries; keep a private copy of the manifest."""
        object.__setattr__(self, "entries", tuple(self.entries))
        if self.lookup.scope != ("" if self.projection is None else scope_of(self.projection)):
            raise ValueError("the projection is not the one that the keys of the store were made with")
        tensors = [tensor for entry in self.entries for tensor in (entry.key, entry.value)]
        if len({(len(entry.key), len(entry.value)) for entry in self.entries}) != 1:
            raise ValueError("a keyed store needs at least one entry, and entries of one size")
        if any(tensor.dtype != torch.float32 or not bool(tensor.isfinite().all()) for tensor in tensors):
            raise ValueError("keys and values of a store are finite numbers in float32")
        object.__setattr__(self, "manifest", plain_manifest(self.manifest))

    @property
    def names(self) -> tuple[str, ...]:
        """The weight beside which it acts: it is not rewritten, but beside others the keys would mean nothing."""
        return (self.weight,)

    @cached_property
    def id(self) -> str:
        """SHA-256 (hex) of the entries in their order, and of how they are looked up."""
        lines = [
            f"{digest('key', entry.key)} {digest('value', entry.value)} {list(entry.label)}" for entry in self.entries
        ]
        lookup = asdict(self.lookup)
        if not self.lookup.reuses:  # saved stores keep the ids that they had before there was this choice
            del lookup["reuses"]
        header = f"{self.kind} {self.weight} {json.dumps(lookup)}"
        return hashlib.sha256("\n".join([header, *lines]).encode()).hexdigest()

    def weights_in(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """See `Delta.weights_in`."""
        parameter = editable_weight(model, self.weight)
        entry = self.entries[0]
        d_ff = len(entry.key) if self.projection is None else self.projection.shape[1]
        if sorted(parameter.shape) != sorted((d_ff, len(entry.value))):
            raise UnsupportedModel(
                f"the store is for a layer of {d_ff} inputs and {len(entry.value)} outputs, but "
                f"{self.weight} has the shape {tuple(parameter.shape)}: it belongs to another model"
            )
        return {self.weight: parameter}

    def attach(self, model: nn.Module) -> Detach:
        """The layer's store gets these entries behind those that it has."""
        store = _store(model, self.weight, self.lookup)
        if store is None:
            watch = watched(model, "a keyed store")
            store = _Store(parent_module(model, self.weight), self.lookup, self.projection, watch)
        store.put([*store.parts, self])
        return lambda: store.put([part for part in store.parts if part is not self])

    def stored(self) -> StoredDelta:
        """Keys and values as two tensors, and one row that says how they are looked up."""
        tensors = {
            "keys": torch.stack([entry.key for entry in self.entries]),  # (n, d_ff)
            "values": torch.stack([entry.value for entry in self.entries]),  # (n, d)
        }
        if self.projection is not None:
            tensors["projection"] = self.projection  # (m, d_ff)
        labels = [list(entry.label) for entry in self.entries]
        row = _Row(weight=self.weight, labels=labels, lookup=self.lookup).model_dump(mode="json")
        return StoredDelta(self.kind, self.id, self.base_hash, tensors, [row], self.manifest)

    @classmethod
    def from_stored(cls, stored: StoredDelta) -> Self:
        """See `Delta.from_stored`."""
        (part,) = stored.parts
        row = _Row.model_validate_json(json.dumps(part))
        if any(tensor.dim() != 2 for tensor in stored.tensors.values()):
            raise ValueError("keys, values and projection of a store are matrices")
        parts = zip(stored.tensors["keys"], stored.tensors["values"], row.labels, strict=True)
        entries = tuple(KeyedValue(key.clone(), value.clone(), tuple(label)) for key, value, label in parts)
        projection = stored.tensors.get("projection")
        return cls(row.weight, row.lookup, entries, stored.base_hash, stored.manifest, projection)

    @classmethod
    def joined(cls, deltas: Sequence[Delta], base_hash: str, manifest: dict[str, Any]) -> Self:
        """See `Delta.joined`: the entries of all, one after the other.

        Raises:
            UnsupportedExport: They are of several layers, or looked up in different ways.
        """
        parts = [delta for delta in deltas if isinstance(delta, cls)]
        if len({(part.weight, part.lookup) for part in parts}) > 1:
            raise UnsupportedExport("stores of several layers or settings cannot become one; save them one by one")
        entries = tuple(_entries(parts))
        return cls(parts[0].weight, parts[0].lookup, entries, base_hash, manifest, parts[0].projection)


def scope_of(projection: Tensor) -> str:
    """The hash by which a lookup names its projection."""
    return digest("projection", projection)


def codebook_of(model: nn.Module, weight: str, lookup: Lookup) -> Codebook | None:
    """What is in the store of a layer as it is applied; None where there is no such store."""
    store = _store(model, weight, lookup)
    return store.book if store else None


class _Store(DeltaHook):
    """Consulted by a layer once it has computed its output."""

    def __init__(self, layer: nn.Module, lookup: Lookup, projection: Tensor | None, watch: PromptWatch) -> None:
        self.lookup, self._watch = lookup, watch
        self.parts: list[KeyedDelta] = []
        self._book: Codebook | None = None
        self._device = next(layer.parameters()).device
        self._projection = None if projection is None else projection.to(self._device)
        self._leave, self._handle = watch.used(), layer.register_forward_hook(self)

    def put(self, parts: list[KeyedDelta]) -> None:
        """Have exactly the entries of these deltas, in this order."""
        known, self.parts, book = self.parts, parts, self._book
        if not parts:
            self._handle.remove()
            self._leave()
        elif book and parts[: len(known)] == known and book.added == len(_entries(known)):
            for entry in _entries(parts[len(known) :]):
                book.add(entry)
        else:
            self._book = None

    @property
    def book(self) -> Codebook:
        """The entries of `parts`; made anew where an error came after others had been added."""
        entries = _entries(self.parts)
        if self._book is None or self._book.added != len(entries):
            with torch.inference_mode(False):  # entries may be added to it later, in whatever mode it is first asked
                self._book = Codebook(self.lookup, entries, self._device)
        return self._book

    def __call__(self, module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        prompts = self._watch.prompts
        if not prompts:
            return output
        rows = self._watch.rows
        inputs = args[0].reshape(rows, -1, args[0].shape[-1])  # (rows, columns, d_ff); OPT flattens its batch
        found = self.book.find(self.lookup.query(inputs, prompts, self._projection))  # (prompts,)
        hits = (found >= 0).nonzero()[:, 0].tolist()
        if not hits:
            return output
        values = self.book.values[found[hits]]  # (hits, d)
        row = torch.tensor([prompts[hit].row for hit in hits], device=output.device)
        column = torch.tensor([prompts[hit].columns[-1] for hit in hits], device=output.device)
        changed = output.clone().reshape(rows, -1, output.shape[-1])  # (rows, columns, d)
        if not self.lookup.replaces:
            values = changed[row, column].to(values.dtype) + values
        changed[row, column] = values.to(output.dtype)
        return changed.reshape(output.shape)


def _entries(parts: Sequence[KeyedDelta]) -> list[KeyedValue]:
    return [entry for part in parts for entry in part.entries]


def _store(model: nn.Module, weight: str, lookup: Lookup) -> _Store | None:
    return next((store for store in hooks_at(model, weight, _Store) if store.lookup == lookup), None)


class _Row(BaseModel):
    """The store in a manifest."""

    model_config = ConfigDict(extra="forbid", strict=True)

    weight: str
    labels: list[list[int]]
    lookup: Lookup
