"""A bypass beside one layer: low-rank experts, chosen token by token by a router that knows what the text is about.

A layer computes m = W k + b. In a prompt that names an anchor (the subject of one of the edits), from the anchor's
last token to the prompt's end, the layer gives

    m + scale * sum over the `top` best e of g_e U_e D_e k,    g = softmax(R [k / |k| ; a / |a|]),

a the mean input embedding of the anchor's tokens. Where no anchor is named, outputs are bit for bit the unedited
model's, and the weights stay as they are. docs/methods.md, "MEMoE".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Self

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.nn.functional import normalize

from kgedit.delta.delta import Delta
from kgedit.delta.hook import Attached, Detach
from kgedit.delta.low_rank import plain_manifest
from kgedit.delta.prompt_ends import PromptWatch, watched
from kgedit.delta.storage import StoredDelta
from kgedit.delta.weights import digest, editable_weight, parent_module
from kgedit.errors import UnsupportedModel

Ids = tuple[int, ...]


class ExpertWeights(NamedTuple):
    """Router R (E, d_ff + d_emb), and the factors D (E, r, d_ff) and U (E, d, r) of E experts; float32."""

    router: Tensor
    down: Tensor
    up: Tensor

    def shares(self, keys: Tensor, anchors: Tensor, noise: Tensor | None = None) -> Tensor:
        """G (n, E) before the best are chosen.

        Args:
            keys: (n, d_ff).
            anchors: (n, d_emb).
            noise: (n, E), added before the softmax.
        """
        seen = torch.cat([normalize(keys, dim=-1), normalize(anchors, dim=-1)], dim=-1)  # (n, d_ff + d_emb)
        logits = seen @ self.router.T  # (n, E)
        return (logits if noise is None else logits + noise).softmax(dim=-1)

    def output(self, keys: Tensor, shares: Tensor, top: int) -> Tensor:
        """What the `top` best experts of each row add, (n, d), for keys (n, d_ff) and shares (n, E)."""
        best = shares.topk(top, dim=-1).indices  # (n, top)
        kept = shares * torch.zeros_like(shares).scatter(1, best, 1.0)  # (n, E)
        inner = torch.einsum("nf,erf->ner", keys, self.down)  # (n, E, r)
        return torch.einsum("ner,edr,ne->nd", inner, self.up, kept)


@dataclass(frozen=True, eq=False)
class ExpertBank:
    """The experts of one layer, and the anchors in whose texts they act.

    Attributes:
        weight: Name of the layer's weight.
        weights: Router and experts.
        anchors: Names as token ids, each in the forms that it may take in a text.
        top: How many experts a token passes.
        scale: Factor of what they add.

    Raises:
        ValueError: Shapes that do not fit together, numbers that are not finite, or no anchor.
    """

    weight: str
    weights: ExpertWeights
    anchors: tuple[Ids, ...]
    top: int = 1
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Check what was given; tensors become private copies on the CPU."""
        own = ExpertWeights(*(part.detach().to("cpu", torch.float32, copy=True).contiguous() for part in self.weights))
        router, down, up = own
        shapes = (router.dim(), down.dim(), up.dim()) == (2, 3, 3) and len(router) == len(down) == len(up)
        if not shapes or down.shape[1] != up.shape[2] or router.shape[1] <= down.shape[2]:
            raise ValueError(f"router {tuple(router.shape)} and experts {tuple(down.shape)}, {tuple(up.shape)} differ")
        if not all(bool(part.isfinite().all()) for part in own):
            raise ValueError("router and experts are finite numbers")
        if not self.anchors or not all(self.anchors) or not 1 <= self.top <= len(router):
            raise ValueError("experts need an anchor, and act one at least and all at most")
        object.__setattr__(self, "weights", own)
        object.__setattr__(self, "anchors", tuple(tuple(anchor) for anchor in self.anchors))


@dataclass(frozen=True, eq=False)
class ExpertsDelta(Delta):
    """One edit or several as experts beside layers.

    Attributes:
        banks: In the order in which they act.
        base_hash: `hash_weights` of the layers' weights, which it leaves as they are.
        manifest: As for every delta.

    Raises:
        ValueError: No bank, or a manifest that is not plain JSON.
    """

    kind = "experts"

    banks: tuple[ExpertBank, ...]
    base_hash: str
    manifest: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the banks; keep a private copy of the manifest."""
        object.__setattr__(self, "banks", tuple(self.banks))
        if not self.banks:
            raise ValueError("a change by experts needs at least one bank of them")
        object.__setattr__(self, "manifest", plain_manifest(self.manifest))

    @property
    def names(self) -> tuple[str, ...]:
        """The weights beside which it acts; none is rewritten."""
        return tuple(dict.fromkeys(bank.weight for bank in self.banks))

    @cached_property
    def id(self) -> str:
        """SHA-256 (hex) of the banks in their order."""
        lines = [
            " ".join([*(digest(name, part) for name, part in bank.weights._asdict().items()), json.dumps(_row(bank))])
            for bank in self.banks
        ]
        return hashlib.sha256("\n".join([self.kind, *lines]).encode()).hexdigest()

    def weights_in(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """See `Delta.weights_in`."""
        found = {}
        for bank in self.banks:
            found[bank.weight] = parameter = editable_weight(model, bank.weight)
            d_ff, d = bank.weights.down.shape[2], bank.weights.up.shape[1]
            if sorted(parameter.shape) != sorted((d_ff, d)):
                raise UnsupportedModel(
                    f"the experts are for a layer of {d_ff} inputs and {d} outputs, but {bank.weight} has the shape "
                    f"{tuple(parameter.shape)}: they belong to another model"
                )
        return found

    def attach(self, model: nn.Module) -> Detach:
        """A hook on each layer for each of its banks."""
        with Attached() as attached:
            watch = watched(model, "a bypass of experts")
            attached.add(watch.used())
            for bank in self.banks:
                hook = _Bypass(bank, model, watch)
                attached.add(parent_module(model, bank.weight).register_forward_hook(hook).remove)
        return attached

    def stored(self) -> StoredDelta:
        """Router and factors of each bank, and a row that says where they act."""
        tensors = {
            f"{number}.{name}": part
            for number, bank in enumerate(self.banks)
            for name, part in bank.weights._asdict().items()
        }
        rows = [_row(bank) for bank in self.banks]
        return StoredDelta(self.kind, self.id, self.base_hash, tensors, rows, self.manifest)

    @classmethod
    def from_stored(cls, stored: StoredDelta) -> Self:
        """See `Delta.from_stored`."""
        banks = []
        for number, part in enumerate(stored.parts):
            row = _Row.model_validate_json(json.dumps(part))
            weights = ExpertWeights(*(stored.tensors[f"{number}.{name}"] for name in ExpertWeights._fields))
            banks.append(ExpertBank(row.weight, weights, tuple(map(tuple, row.anchors)), row.top, row.scale))
        return cls(tuple(banks), stored.base_hash, stored.manifest)

    @classmethod
    def joined(cls, deltas: Sequence[Delta], base_hash: str, manifest: dict[str, Any]) -> Self:
        """See `Delta.joined`: the banks of all, one after the other."""
        banks = [bank for delta in deltas if isinstance(delta, cls) for bank in delta.banks]
        return cls(tuple(banks), base_hash, manifest)


def anchored_tokens(ids: Sequence[int], anchors: Sequence[Ids]) -> Iterator[tuple[int, int]]:
    """Place of each token from the end of the first anchor in a text on, with the number of the anchor before it.

    The latest anchor counts; of several that end at one token the longest.

    Args:
        ids: The text.
        anchors: See `ExpertBank`.
    """
    numbers = {tuple(anchor): number for number, anchor in enumerate(anchors)}
    lengths = sorted({len(anchor) for anchor in numbers}, reverse=True)
    text, current = tuple(ids), -1
    for end in range(1, len(text) + 1):
        ending = (text[end - length : end] for length in lengths if length <= end)
        current = next((numbers[name] for name in ending if name in numbers), current)
        if current >= 0:
            yield end - 1, current


class _Bypass:
    """Adds what the experts give to a layer's output."""

    def __init__(self, bank: ExpertBank, model: nn.Module, watch: PromptWatch) -> None:
        device = model.get_parameter(bank.weight).device
        self._bank, self._watch = bank, watch
        self._weights = ExpertWeights(*(part.to(device) for part in bank.weights))
        self._anchors = embedded(model, bank.anchors).to(device)  # (anchors, d_emb)

    def __call__(self, module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        watch, columns, anchors = self._watch, dict[tuple[int, int], int](), self._bank.anchors
        if watch.ids is None or not watch.prompts:
            return output
        ids = watch.ids.tolist()
        for row, own in watch.prompts:
            for place, number in anchored_tokens([ids[row][column] for column in own], anchors):
                columns[row, own[place]] = number
        if not columns:
            return output
        width = watch.ids.shape[1]
        places = torch.tensor([row * width + column for row, column in columns], device=output.device)  # (n,)
        keys = args[0].reshape(-1, args[0].shape[-1])[places].float()  # (n, d_ff)
        named = self._anchors[torch.tensor([*columns.values()], device=output.device)]  # (n, d_emb)
        added = self._bank.scale * self._weights.output(keys, self._weights.shares(keys, named), self._bank.top)
        flat = output.reshape(-1, output.shape[-1]).clone()  # (rows * columns, d)
        flat[places] = (flat[places].float() + added).to(output.dtype)
        return flat.reshape(output.shape)


def embedded(model: nn.Module, anchors: Sequence[Ids]) -> Tensor:
    """Mean input embedding of each anchor's tokens, (anchors, d_emb) float32."""
    table = model.get_input_embeddings().weight.detach()  # type: ignore[operator]  # (V, d_emb)
    return torch.stack([table[list(anchor)].float().mean(dim=0) for anchor in anchors])


class _Row(BaseModel):
    """One bank in a manifest."""

    model_config = ConfigDict(extra="forbid", strict=True)

    weight: str
    anchors: list[list[int]]
    top: int
    scale: float


def _row(bank: ExpertBank) -> dict[str, Any]:
    anchors = [list(anchor) for anchor in bank.anchors]
    return _Row(weight=bank.weight, anchors=anchors, top=bank.top, scale=bank.scale).model_dump(mode="json")
