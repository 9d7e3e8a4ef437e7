"""ROME-KG and MEMIT-KG, GLAME's controls: what the graph says of the new object, written as edits of their own.

Beside (s, r, o*) each path (s, r, o*, r_i, o_i) of the subgraph becomes an edit whose prompt is the composed
"The {r_i} of the {r} of {s} is" and whose object is o_i. ROME-KG writes them one after another with the
published ROME, MEMIT-KG all at once. No code of the paper's own was released: wording and order are this
project's. docs/methods.md, "ROME-KG and MEMIT-KG".
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar, Literal

from pydantic import Field
from transformers import PreTrainedModel

from kg_cache.graph import named
from kgedit.errors import PromptError, TargetError
from kgedit.graph.subgraph import EdgeChoice, Subgraph
from kgedit.lm.anatomy import context_length
from kgedit.lm.tokens import encode_prompt, encode_target
from kgedit.methods.base import Case, Computed, Request, Workbench, check_cases
from kgedit.methods.memit import Memit, MemitConfig
from kgedit.methods.rome import Rome, RomeConfig
from kgedit.methods.settings import Variant
from kgedit.methods.value_method import ValueMethod
from kgedit.text.template import fill

ORDER = 2  # further than the facts of o* the paper's relations do not go


def _with_graph(published: Mapping[str, Variant]) -> dict[str, Variant]:
    """Published settings of a method of single facts, with GLAME's choice of facts."""
    own = {word: Variant(f"{each.about}, with the graph's facts", each.sets) for word, each in published.items()}
    return own | {"paper": own["paper"]._replace(sets={**own["paper"].sets, "edge_choice": "first"})}


class RomeKgConfig(RomeConfig):
    """Hyper-parameters of ROME-KG: ROME's, as published.

    Attributes:
        key: As for ROME.
        max_edges: Size of the subgraph, target triple included; GLAME's.
        edge_choice: Which facts are in it, likewise.
        first: Whether the edited fact is written before what follows from it, or after (the order is unpublished).
    """

    published: ClassVar[Mapping[str, Variant]] = _with_graph(RomeConfig.published)

    key: Literal["averaged", "original"] = "original"
    max_edges: int = Field(default=20, ge=1)
    edge_choice: EdgeChoice = "telling"
    first: Literal["target", "graph"] = "target"


class MemitKgConfig(MemitConfig):
    """Hyper-parameters of MEMIT-KG: MEMIT's.

    Attributes:
        max_edges: Size of the subgraph, target triple included; GLAME's.
        edge_choice: Which facts are in it, likewise.
    """

    published: ClassVar[Mapping[str, Variant]] = _with_graph(MemitConfig.published)

    max_edges: int = Field(default=20, ge=1)
    edge_choice: EdgeChoice = "telling"


class _WithGraph(ValueMethod):
    """A method of single facts that is given the edits and what their subgraphs add to them."""

    uses_graph = True
    config: RomeKgConfig | MemitKgConfig

    @property
    def target_first(self) -> bool:
        """Whether an edit is written before what its subgraph adds."""
        return True

    @property
    @abstractmethod
    def inner(self) -> Rome | Memit:
        """The method that writes the facts."""

    @property
    def moment_layers(self) -> tuple[int, ...]:
        """Those of the method that writes."""
        return self.inner.moment_layers

    @property
    def subgraph_options(self) -> dict[str, Any]:
        """How the subgraphs it is handed should be built."""
        return {"order": ORDER, "max_edges": self.config.max_edges, "edge_choice": self.config.edge_choice}

    def together(self, bench: Workbench, cases: Sequence[Case]) -> list[Computed]:
        """One delta per case: all its facts and what their subgraphs add."""
        check_cases(cases)
        expanded = []
        for case in cases:
            requests: list[Request] = []
            for request, subgraph in case:
                further = further_requests(bench, request, subgraph)
                requests += [request, *further] if self.target_first else [*further, request]
            expanded.append([(request, None) for request in requests])
        return [
            _named(computed, self, bench, case, len(requests))
            for computed, case, requests in zip(self.inner.together(bench, expanded), cases, expanded, strict=True)
        ]


class RomeKg(_WithGraph):
    """ROME-KG; see the module's docstring."""

    name = "rome-kg"
    summary = "ROME, one after another, for a fact and what the graph says of its new object (GLAME's control)."
    kind = "closed form"
    needs = "second moments, graph"
    Config = RomeKgConfig
    config: RomeKgConfig

    @property
    def inner(self) -> Rome:
        """ROME with these settings."""
        return Rome(self.config)

    @property
    def target_first(self) -> bool:
        """Whether the edited fact is written first."""
        return self.config.first == "target"


class MemitKg(_WithGraph):
    """MEMIT-KG; see the module's docstring."""

    name = "memit-kg"
    summary = "MEMIT, all at once, for a fact and what the graph says of its new object (GLAME's control)."
    kind = "closed form"
    needs = "second moments, graph"
    Config = MemitKgConfig
    config: MemitKgConfig

    @property
    def inner(self) -> Memit:
        """MEMIT with these settings."""
        return Memit(self.config)

    def check_model(self, model: PreTrainedModel) -> None:
        """MEMIT's."""
        self.inner.check_model(model)


def further_requests(bench: Workbench, request: Request, subgraph: Subgraph | None) -> list[Request]:
    """The paths through the new object as edits of the same subject, in the subgraph's order.

    What the graph adds to an edit must not stop it: a path whose labels the tokenizer cannot write, or that does not
    fit into the context, is left out.
    """
    if subgraph is None:
        return []
    requests = []
    labels, limit = subgraph.labels, context_length(bench.model)
    for path in subgraph.paths():
        if not named(labels, path.object):
            continue
        prompt = f"The {labels[path.second]} of the {labels[path.first]} of {{}} is"
        with suppress(PromptError, TargetError):
            target_ids = encode_target(bench.tokenizer, labels[path.object], fill(prompt, request.subject))
            encode_prompt(bench.tokenizer, prompt, request.subject, max_length=limit - len(target_ids) + 1)
            requests.append(Request(request.subject, prompt, labels[path.object]))
    return requests


def _named(computed: Computed, method: _WithGraph, bench: Workbench, case: Case, edits: int) -> Computed:
    """The delta with the manifest of the method that was asked for."""
    manifest = {
        "parts": computed.delta.manifest,
        "method": method.name,
        "settings": method.config.model_dump(mode="json"),
        "seed": bench.seed,
        "edits": edits,
        "graphs": [subgraph.manifest() if subgraph else None for _, subgraph in case],
    }
    notes = () if edits > len(case) else ("the graph adds no fact to this edit",)
    return Computed(computed.delta.with_manifest(manifest), (*computed.notes, *notes), computed.log)
