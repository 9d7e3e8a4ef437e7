"""A delta of another kind than the package's own: a store of keys and values that one module consults at run time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from kgedit.delta import Delta
from kgedit.delta.delta import Detach
from kgedit.delta.storage import StoredDelta
from kgedit.delta.weights import digest, hash_digests
from kgedit.errors import UnsupportedModel
from kgedit.graph.subgraph import Subgraph
from kgedit.lm.anatomy import anatomy_of
from kgedit.methods.base import Case, Computed, Method, Request, Workbench, one_after_another
from kgedit.methods.settings import MethodSettings

NO_WEIGHTS = hash_digests({})


@dataclass(frozen=True, eq=False)
class SideStore(Delta):
    """Where the module's input is within `threshold` of the key, its output is the value."""

    kind = "test-side-store"

    module: str
    key: Tensor
    value: Tensor
    threshold: float
    base_hash: str = NO_WEIGHTS
    manifest: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        parts = (digest("key", self.key), digest("value", self.value), self.module, str(self.threshold))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    @property
    def names(self) -> tuple[str, ...]:
        return ()

    def weights_in(self, model: nn.Module) -> dict[str, nn.Parameter]:
        try:
            model.get_submodule(self.module)
        except AttributeError as error:
            raise UnsupportedModel(f"the model has no module {self.module}") from error
        return {}

    def edited(self, name: str, weight: Tensor) -> Tensor:
        raise AssertionError("it rewrites no weight")

    def attach(self, model: nn.Module) -> Detach:
        def consult(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
            near = (args[0] - self.key).norm(dim=-1, keepdim=True) < self.threshold
            return torch.where(near, self.value.to(output.dtype), output)

        return model.get_submodule(self.module).register_forward_hook(consult).remove

    def stored(self) -> StoredDelta:
        part = {"module": self.module, "threshold": self.threshold}
        tensors = {"key": self.key, "value": self.value}
        return StoredDelta(self.kind, self.id, self.base_hash, tensors, [part], self.manifest)

    @classmethod
    def from_stored(cls, stored: StoredDelta) -> SideStore:
        (part,) = stored.parts
        key, value = stored.tensors["key"], stored.tensors["value"]
        return cls(part["module"], key, value, part["threshold"], stored.base_hash, stored.manifest)


class SideStoreSettings(MethodSettings):
    """Which layer consults the store."""

    layer: int = 2


class SideStoreMethod(Method):
    """Stores the subject's key at one layer, with a value that pushes the model towards the target's first token."""

    name = "test-side-store"
    summary = "stores a key and a value"
    Config = SideStoreSettings
    config: SideStoreSettings

    def compute(
        self, bench: Workbench, requests: Sequence[Request], subgraphs: Sequence[Subgraph | None] = ()
    ) -> list[Computed]:
        return [Computed(self._store(bench, request)) for request in requests]

    def together(self, bench: Workbench, cases: Sequence[Case]) -> list[Computed]:
        return one_after_another(self, bench, cases)

    def _store(self, bench: Workbench, request: Request) -> SideStore:
        module = anatomy_of(bench.model).weight_name(self.config.layer).rpartition(".")[0]
        text = request.prompt.replace("{}", request.subject)
        captured: list[Tensor] = []
        hook = bench.model.get_submodule(module).register_forward_hook(lambda _, args, out: captured.append(args[0]))
        with torch.no_grad():
            bench.model(**bench.tokenizer(text, return_tensors="pt"))
        hook.remove()
        key = captured[0][0, -1].clone()
        first = bench.tokenizer(" " + request.target)["input_ids"][0]
        value = 30 * bench.model.get_output_embeddings().weight[first].detach().clone()
        return SideStore(module, key, value, threshold=0.1, manifest={"method": self.name})
