"""Hyper-parameters of GLAME: the clean variant by default, the released code's behaviour as `GlameConfig.paper()`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from kgedit.graph.subgraph import EdgeChoice
from kgedit.lm.represent import Pooling
from kgedit.methods.engine.closed_form import Key
from kgedit.methods.engine.value import Choice
from kgedit.methods.glame.encoder import Aggregation, SelfLoops
from kgedit.methods.settings import Variant, guessed_layer
from kgedit.methods.value_method import ValueSettings

CARRIED_NOTE = "carry_rgnn: the encoder goes on from the edits before this one, which therefore depends on them"
GATE_NOTE = "gate: nothing is written to later layers, where prompts do not name the subject and the gate stays shut"


class GlameConfig(ValueSettings):
    """Hyper-parameters; docs/methods.md, "GLAME", "Terms from the graph" and "Writing to later layers".

    Attributes:
        layers: Edited layers, ascending; the paper edits one.
        repr_layer: Block whose output represents entities and relations.
        pooling: How a label's tokens become one vector.
        encoder: "rgnn", or the ablations "gnn" (no relation vectors), "mlp" (no graph), "none" (no z).
        aggregation: Sum of the messages (the paper's equation) or their mean (the released code).
        self_loops: Messages of a node to itself: none, with a zero relation vector, or with that of relation 1 (the
            released code).
        dropout: Inside the encoder.
        dropout_last: Dropout also on the encoder's output z while it is trained, as the released code does.
        order: Hops of the subgraph, and layers of the encoder.
        max_edges: Size of the subgraph, target triple included.
        edge_choice: Which facts are in it where there are more: see `build_subgraph`.
        carry_rgnn: Train one encoder on over all edits of an editor, as the released code does, which never resets it;
            an edit then depends on those made before. By default each edit has a fresh one.
        optimizer: "lbfgs", or AdamW as published.
        steps: Evaluations of the loss.
        learning_rate: AdamW's.
        weight_decay: AdamW's.
        first_step: Length of L-BFGS's first step, as a share of the mean ||m|| over the layers; later ones are at
            most twice as long.
        gated: Take z's direction alone, times a trained gate per layer; published is z in its full length.
        first_gate: How far the unfitted encoder's direction is followed at the start, as a share of the mean ||m||.
        free_offset: Train a free delta beside z; without z it is what is trained in any case.
        clamp: Bound of ||m* - m|| / ||m||, layer by layer, while it is optimised.
        written_length: Length of the offset that is written, as a multiple of the optimised one.
        clamp_gradient: Whether gradients pass through the clamp; the released code's ignore it.
        clamp_from: First step that is clamped; 1 in the released code.
        kl_weight: Weight of the "{s} is a" term (lambda).
        path_weight: Weight of the path term (alpha); 0 leaves it out.
        wording_weight: Weight of the edit's other wordings; 0 leaves them out.
        keep_weight: Weight of the keep term (beta); 0 leaves it out.
        keep_recalled: Hold those of the subject's other facts that the unedited model recalls, each by statement and
            by question; else all that the graph has, by statement and by question in turns.
        stop_loss: The optimisation stops below this loss.
        extra_steps: Further evaluations for an edit whose best loss is above `hard_loss` after `steps`.
        hard_loss: See `extra_steps`.
        choice: Which of the offsets seen is written, see `engine.value.optimise`.
        key: Keys that the write is solved for, see `engine.closed_form`.
        ridge: Its ridge.
        inverse: Write the fact from its object's side as well, where an object has one such subject; takes the key
            "contexts", and no gate.
        later_layers: Later layers for questions that reach the edited fact on their way, ascending; none by default.
        later_hops: Longest walk to the subject that such questions begin with.
        later_walks: Walks over the edited fact to each of its ends that the later layers are optimised for.
        later_siblings: Items of the subject's kind whose questions of the same wordings are held where they were.
        later_ridge: Ridge of their write.
    """

    # The released code's settings for CounterFact on gpt2-xl, and what it changes for the other two benchmarks.
    published: ClassVar[Mapping[str, Variant]] = {
        "paper": Variant("GLAME as its released code runs it, CounterFact", {
            "layers": (9,), "repr_layer": 5, "steps": 40, "learning_rate": 0.5, "weight_decay": 0.1, "dropout": 0.3,
            "stop_loss": 0.04, "key": "original", "free_offset": False, "path_weight": 0.0, "keep_weight": 0.0,
            "keep_recalled": False, "wording_weight": 0.0,
            "optimizer": "adamw", "aggregation": "mean", "self_loops": "published", "dropout_last": True,
            "gated": False, "clamp_gradient": False, "clamp_from": 1, "choice": "last unless worse",
            "edge_choice": "first", "inverse": False,
            "prefixes": "5x10+10x10+20x10", "prefix_seeds": "begin", "moment_ridge": 0.0,
        }),
        "paper-cf-plus": Variant(
            "GLAME as its released code runs it, CounterFactPlus",
            {"steps": 35, "weight_decay": 0.5, "dropout": 0.4, "kl_weight": 0.0725},
        ),
        "paper-mquake": Variant("GLAME as its released code runs it, MQuAKE", {
            "pooling": "composite_norm", "max_edges": 50, "steps": 50, "weight_decay": 0.5, "dropout": 0.3,
            "kl_weight": 0.075, "stop_loss": 0.005,
        }),
    }  # fmt: skip

    layers: tuple[int, ...] = Field(min_length=1)
    repr_layer: int = Field(ge=0)
    pooling: Pooling = "avg"
    encoder: Literal["rgnn", "gnn", "mlp", "none"] = "rgnn"
    aggregation: Aggregation = "sum"
    self_loops: SelfLoops = "none"
    dropout: float = Field(default=0.0, ge=0, lt=1)
    dropout_last: bool = False
    order: int = Field(default=2, ge=1, le=4)
    max_edges: int = Field(default=20, ge=1)
    edge_choice: EdgeChoice = "telling"
    carry_rgnn: bool = False
    optimizer: Literal["lbfgs", "adamw"] = "lbfgs"
    steps: int = Field(default=30, ge=1)
    weight_decay: float = Field(default=0.1, ge=0)
    first_step: float = Field(default=0.7, gt=0)
    gated: bool = True
    first_gate: float = Field(default=0.35, ge=0)
    free_offset: bool = True
    clamp_gradient: bool = True
    clamp_from: int = Field(default=0, ge=0)
    path_weight: float = Field(default=1.0, ge=0)
    wording_weight: float = Field(default=0.5, ge=0)
    keep_weight: float = Field(default=1.0, ge=0)
    keep_recalled: bool = True
    stop_loss: float = Field(default=0.02, ge=0)
    extra_steps: int = Field(default=0, ge=0)
    hard_loss: float = Field(default=0.5, ge=0)
    choice: Choice = "best"
    written_length: float = Field(default=1.0, gt=0)
    key: Key = "contexts"
    ridge: float = Field(default=0.02, ge=0)
    inverse: bool = True
    later_layers: tuple[int, ...] = ()
    later_hops: int = Field(default=2, ge=1, le=3)
    later_walks: int = Field(default=16, ge=1)
    later_siblings: int = Field(default=0, ge=0)
    later_ridge: float = Field(default=0.1, ge=0)

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        for name, layers in (("layers", self.layers), ("later_layers", self.later_layers)):
            if list(layers) != sorted(set(layers)):
                raise ValueError(f"{name} must be ascending and distinct, not {layers}")
        return self

    @classmethod
    def guess(cls, n_layers: int) -> dict[str, Any]:
        """One edit layer, and the layer of representations two below it."""
        layer = guessed_layer(n_layers)
        return {"layers": [layer], "repr_layer": max(layer - 2, 0)}

    @property
    def notes(self) -> tuple[str, ...]:
        """What users should be told about these settings with each edit."""
        behind_gate = self.gate is not None and self.later_layers
        return (CARRIED_NOTE,) * self.carry_rgnn + (GATE_NOTE,) * bool(behind_gate)
