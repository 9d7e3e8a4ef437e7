"""Facts that a model reads before every text, in place of a change of its weights (IKE: Zheng et al., EMNLP 2023).

The tokens of the facts are run once. Their keys and values then stand at the beginning of every key-value cache, and
positions go on behind them, so the model sees what it would see if the facts were written before each text. (Where a
layer sees a sliding window, padding before a text takes part of it.) No weight changes. docs/methods.md, "IKE".
"""

from __future__ import annotations

import copy
import hashlib
import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from transformers import Cache, DynamicCache

from kgedit.delta.delta import Delta
from kgedit.delta.hook import DeltaHook, Detach
from kgedit.delta.low_rank import plain_manifest
from kgedit.delta.prompt_ends import prompts_at
from kgedit.delta.storage import StoredDelta
from kgedit.delta.weights import editable_weight
from kgedit.errors import PromptError, UnsupportedModel

_LEAST_ROOM = 16  # tokens of the context that the facts leave free

Ids = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class InContextDelta(Delta):
    """One fact or several as token ids that are read before every text.

    Attributes:
        weight: Name of a weight by whose hash the model is known: ids mean something to one tokenizer only.
        begin: What every text begins with, e.g. the begin-of-text token.
        demonstrations: Examples of what is done with a new fact, each as ids; read before all facts.
        facts: The facts, each as ids.
        end: What stands between the facts and the text.
        base_hash: `hash_weights` of `weight`.
        manifest: As for every delta.

    Raises:
        ValueError: No fact, one without a token, or a manifest that is not plain JSON.
    """

    kind = "in-context"

    weight: str
    begin: Ids
    demonstrations: tuple[Ids, ...]
    facts: tuple[Ids, ...]
    end: Ids
    base_hash: str
    manifest: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the facts; keep a private copy of the manifest."""
        if not self.facts or not all(self.facts):
            raise ValueError("a change in context needs at least one fact, and each fact a token")
        object.__setattr__(self, "manifest", plain_manifest(self.manifest))

    @property
    def names(self) -> tuple[str, ...]:
        """The weight by which its model is known; it is not rewritten."""
        return (self.weight,)

    @cached_property
    def id(self) -> str:
        """SHA-256 (hex) of the token ids."""
        return hashlib.sha256(json.dumps([self.kind, self.weight, self._row.model_dump()]).encode()).hexdigest()

    def weights_in(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """See `Delta.weights_in`."""
        return {self.weight: editable_weight(model, self.weight)}

    def attach(self, model: nn.Module) -> Detach:
        """The model reads the facts behind those of others that it reads already."""
        context = _context_of(model) or _Context(_base(model))
        context.add(self)
        return lambda: context.remove(self)

    def stored(self) -> StoredDelta:
        """The ids as plain JSON; there are no tensors."""
        return StoredDelta(self.kind, self.id, self.base_hash, {}, [self._row.model_dump(mode="json")], self.manifest)

    @classmethod
    def from_stored(cls, stored: StoredDelta) -> Self:
        """See `Delta.from_stored`."""
        (part,) = stored.parts
        row = _Row.model_validate_json(json.dumps(part))
        return cls(
            row.weight, row.begin, row.demonstrations, row.facts, row.end, stored.base_hash, stored.manifest
        )  # fmt: skip

    @classmethod
    def joined(cls, deltas: Sequence[Delta], base_hash: str, manifest: dict[str, Any]) -> Self:
        """See `Delta.joined`: the facts of all, one after the other, behind the demonstrations of all."""
        parts = [delta for delta in deltas if isinstance(delta, cls)]
        facts = tuple(fact for part in parts for fact in part.facts)
        last = parts[-1]
        return cls(last.weight, last.begin, _demonstrations(parts), facts, last.end, base_hash, manifest)

    @property
    def _row(self) -> _Row:
        return _Row(
            weight=self.weight, begin=self.begin, demonstrations=self.demonstrations, facts=self.facts, end=self.end
        )  # fmt: skip


def tokens_read_first(model: nn.Module) -> int:
    """How many tokens of facts the model reads before every text."""
    context = _context_of(model)
    return len(context.ids) if context else 0


def longest_text(model: nn.Module) -> int:
    """How many tokens the model was made for, from its config; a large number when the config does not say."""
    return int(getattr(getattr(model, "config", None), "max_position_embeddings", None) or 1 << 20)


class _Context(DeltaHook):
    """Puts the facts of all deltas at the beginning of a model's caches."""

    def __init__(self, base: nn.Module) -> None:
        self._base = base
        self._parts: list[InContextDelta] = []
        self._read: tuple[object, Cache] | None = None  # state of the weights, and the cache of the facts under it
        self._reading = False
        self._handle = base.register_forward_pre_hook(self, with_kwargs=True)

    @property
    def ids(self) -> Ids:
        """All that is read before a text."""
        last = self._parts[-1]
        facts = [fact for part in self._parts for fact in part.facts]
        return (*last.begin, *(token for text in (*_demonstrations(self._parts), *facts) for token in text), *last.end)

    def add(self, delta: InContextDelta) -> None:
        """Read the facts of one more delta, behind the others.

        Raises:
            PromptError: They do not fit into the model's context.
        """
        self._parts = [*self._parts, delta]
        length, limit = len(self.ids), longest_text(self._base)
        if length > limit - _LEAST_ROOM:
            self.remove(delta)
            raise PromptError(
                f"facts in context would take {length} of the {limit} tokens that the model reads; revert some of "
                "them, or take fewer demonstrations"
            )
        self._read = None

    def remove(self, delta: InContextDelta) -> None:
        """Read them no longer."""
        self._parts = [part for part in self._parts if part is not delta]
        self._read = None
        if not self._parts:
            self._handle.remove()

    def __call__(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        if self._reading:
            return None
        given = {**inspect.signature(module.forward).bind_partial(*args).arguments, **kwargs}
        texts = given["input_ids"] if given.get("input_ids") is not None else given["inputs_embeds"]
        # A cache that holds something is the continuation of a text, which has read the facts already.
        cache = given.get("past_key_values")
        if cache is None:
            cache = given["past_key_values"] = self._filled(len(texts))
        elif not cache.get_seq_length():
            if type(cache) is not DynamicCache:
                raise UnsupportedModel(f"facts in context need a DynamicCache, not a {type(cache).__name__}")
            cache.layers = self._filled(len(texts)).layers
        # The caller knows nothing of the facts: its masks and positions begin behind them.
        length = len(self.ids)
        mask = given.get("attention_mask")
        if mask is None:  # said, as OPT takes no mask for no past
            given["attention_mask"] = torch.ones(
                len(texts), cache.get_seq_length() + texts.shape[1], dtype=torch.long, device=texts.device
            )
        elif isinstance(mask, Tensor) and mask.dim() == 2:
            seen = mask.new_ones(len(mask), length)
            given["attention_mask"] = torch.cat([seen, mask], dim=1)  # (rows, facts + columns)
        else:
            raise UnsupportedModel("with facts in context, masks must be (rows, columns), 1 for tokens")
        for name in ("position_ids", "cache_position"):
            if given.get(name) is not None:
                given[name] = given[name] + length
        return (), given

    def _filled(self, rows: int) -> Cache:
        """A cache of so many rows, each of which has read the facts."""
        # The weights may change while the facts stay: every write of a parameter counts its version up.
        state = tuple((id(parameter), parameter._version) for parameter in self._base.parameters())
        if self._read is None or self._read[0] != state:
            self._read = state, self._run()
        filled = copy.copy(self._read[1])
        filled.layers = [copy.copy(layer) for layer in filled.layers]
        filled.batch_repeat_interleave(rows)
        return filled

    @torch.inference_mode(False)
    def _run(self) -> Cache:
        device = next(self._base.parameters()).device
        config: Any = self._base.config
        cache = DynamicCache(config=config)
        training = [(module, module.training) for module in self._base.modules()]
        self._reading = True
        try:
            self._base.eval()
            # What is looked up in prompts is looked up in the text, not in the facts.
            with torch.no_grad(), prompts_at(self._base, ()):
                self._base(
                    input_ids=torch.tensor([self.ids], device=device), past_key_values=cache, use_cache=True
                )  # fmt: skip
        finally:
            self._reading = False
            for module, flag in training:
                module.training = flag
        return cache


def _base(model: nn.Module) -> nn.Module:
    """The part of a causal language model that reads token ids and caches: the stack of its blocks."""
    base: nn.Module = model.get_decoder()  # type: ignore[operator]
    return base


def _context_of(model: nn.Module) -> _Context | None:
    hooks = _base(model)._forward_pre_hooks.values() if hasattr(model, "get_decoder") else ()
    return next((hook for hook in hooks if isinstance(hook, _Context)), None)


def _demonstrations(parts: Sequence[InContextDelta]) -> tuple[Ids, ...]:
    """Those of all parts, each once."""
    return tuple(dict.fromkeys(text for part in parts for text in part.demonstrations))


class _Row(BaseModel):
    """The ids in a manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weight: str
    begin: Ids
    demonstrations: tuple[Ids, ...]
    facts: tuple[Ids, ...]
    end: Ids
