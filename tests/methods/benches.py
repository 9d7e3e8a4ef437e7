"""Workbenches and requests for the tests of methods, and what of a model must not change."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kg_cache.graph import Triple
from kgedit.graph.subgraph import Subgraph
from kgedit.graph.verbalize import Verbalizer
from kgedit.lm.second_moment.find import IdentityMoment
from kgedit.lm.tokens import encode_target
from kgedit.methods.base import Method, Request, Workbench
from kgedit.methods.engine.closed_form import Moment
from kgedit.methods.registry import load_method, settings_for
from kgedit.methods.trained_editor import TrainedMethod

# Lengths differ, and the longest is beyond the sliding windows of the tiny mistral and gemma2.
PREFIXES = (
    "",
    "The. ",
    "Because I know that. ",
    "Therefore the official language of the country is Danish. ",
)

# The subject first, in the middle (one token and several), and last in its prompt.
REQUESTS = (
    Request("Marie Curie", "{} is a citizen of", "Poland"),
    Request("Søren Kierkegaard", "The mother tongue of {} is", "German"),
    Request("Leonardo da Vinci", "Q: Where is {} was born? A:", "Tokyo"),
    Request("Nintendo", "Here in the headquarters of {}", "Kyoto, Japan"),
)


class Diagonal:
    """A second moment with known entries: C = diag(1, ..., 3)."""

    def __init__(self, d_ff: int) -> None:
        self.diagonal = torch.linspace(1, 3, d_ff, dtype=torch.float64)

    def solve(self, keys: torch.Tensor) -> torch.Tensor:
        return keys.double() / self.diagonal


def bench(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    layers: Sequence[int],
    *,
    moment: Moment | None = None,
    prefixes: Sequence[str] = PREFIXES,
    **kwargs: Any,
) -> Workbench:
    """A workbench with the same second moment for every layer, the identity by default."""
    return Workbench(model, tokenizer, dict.fromkeys(layers, moment or IdentityMoment()), prefixes, **kwargs)


def state_of(model: nn.Module) -> dict[str, Any]:
    """All that a computation must leave alone: bytes, flags, gradients, modes, hooks, swapped forwards."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {
        "bytes": {
            name: hashlib.sha256(t.detach().reshape(-1).view(torch.uint8).numpy().data).hexdigest()
            for name, t in tensors.items()
        },
        "identity": {name: id(t) for name, t in tensors.items()},
        "requires_grad": {name: p.requires_grad for name, p in model.named_parameters()},
        "grad": {name: p.grad for name, p in model.named_parameters()},
        "training": {name: m.training for name, m in model.named_modules()},
        "hooks": {
            name: [len(getattr(m, kind)) for kind in vars(m) if kind.endswith("_hooks") and getattr(m, kind)]
            for name, m in model.named_modules()
        },
        "forward": {name: m.__dict__.get("forward") for name, m in model.named_modules()},
        "random": hashlib.sha256(torch.get_rng_state().numpy().data).hexdigest(),
    }


def graph_of(
    subject: str, relation: str, target: str, facts: Mapping[str, str], own: Mapping[str, str] | None = None
) -> Subgraph:
    """A subgraph by hand, of order 2.

    Args:
        subject: Label of s (Q1).
        relation: r.
        target: Label of o* (Q2).
        facts: Relation of o* -> label of its object (Q3, Q4, ...).
        own: Relation of s -> label of its object (Q101, Q102, ...): its other facts.
    """
    objects = {f"Q{number}": (r, label) for number, (r, label) in enumerate(facts.items(), start=3)}
    others = {f"Q{number}": (r, label) for number, (r, label) in enumerate((own or {}).items(), start=101)}
    labels = {"Q1": subject, "Q2": target} | {q: label for q, (_, label) in (objects | others).items()}
    relations = tuple(dict.fromkeys([relation, *facts]))
    return Subgraph(
        center="Q1",
        target="Q2",
        nodes=("Q1", "Q2", *objects),
        relations=relations,
        triples=(Triple("Q1", relation, "Q2"), *(Triple("Q2", r, q) for q, (r, _) in objects.items())),
        labels=labels | {r: f"label of {r}" for r in (*relations, *(own or {}))},
        subject_facts=tuple(Triple("Q1", r, q) for q, (r, _) in others.items()),
        source="by hand",
    )


def recalled(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, subject: str) -> dict[str, str]:
    """Relation -> what the model says of the subject, wherever that is one clean token: facts that it "recalls"."""
    found = {}
    for relation, text in Verbalizer.bundled().texts.items():
        ids = tokenizer(text.cloze[0].replace("{}", subject))["input_ids"]
        with torch.no_grad():
            token = int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
        label = tokenizer.decode([token]).strip() if token < len(tokenizer) else ""
        if label.isalpha() and encode_target(tokenizer, label) == (token,):
            found[relation] = label
    return found


# A case of two edits, one with a graph, for models of three layers.
LAYERS = (0, 1, 2)
GRAPH = graph_of("Marie Curie", "P27", "Poland", {"P36": "Tokyo"})
CASE = [(Request("Marie Curie", "{} is a citizen of", "Poland", "P27"), GRAPH), (REQUESTS[1], None)]


def small(name: str, **changes: Any) -> Method:
    """The method with few steps, and with layers that a tiny model has; `changes` of its settings.

    A method that learns edits as it does before any training.
    """
    kind = load_method(name)
    fields, _ = settings_for("a model of no preset", name, n_layers=3)
    few = {field: 3 for field in ("steps", "epochs") if field in kind.Config.model_fields}
    method = kind(kind.Config.model_validate(fields | few | changes))
    if isinstance(method, TrainedMethod):
        method.trained = method.fresh
    return method
