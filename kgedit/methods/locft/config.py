"""Hyper-parameters of LocFT-BF (Yang et al., 2025, arXiv 2509.22072)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from kgedit.methods.settings import MethodSettings, Variant, guessed_layer

# Layer 22 of Llama-3's 32 blocks, as published; late layers harm what else the model can do the least.
_DEPTH = 22 / 32


class LocftConfig(MethodSettings):
    """Hyper-parameters of LocFT-BF; but for `inverse` the defaults are those published, without rehearsal.

    Attributes:
        layer: Trained layer.
        epochs: Most passes over the edits.
        learning_rate: Adam's.
        rows: Edits in a batch.
        stop_loss: A batch below this loss is skipped; the training stops when a whole pass is below it.
        order: "breadth-first" passes over all edits; "depth-first" trains one after the other, and shows why not to.
        mean: "text" weighs every edit alike, "token" every token of a batch.
        end_of_text: Whether every target ends with the model's end of text, so that it learns to stop there.
        prefixes: With how many context prefixes each edit is asked as well (published: 0, or 5 as "Aug").
        wordings: In how many further wordings of its relation, and with how many of its consequences, each edit is
            asked in a pass; drawn anew each time.
        inverse: Ask each edit from its object's side as well, where an object has one such subject.
        invented: In how many texts with invented attributes each edit has to be used in a pass.
        rehearsed: How many known facts are rehearsed in a pass for each edit: those around it, then others.
        keep_weight: Weight of the rehearsal: KL from the unedited model's next tokens to the trained one's.
        facts: Known facts that the others are drawn from.
        texts: Texts that the model samples itself, rehearsed in each pass as well.
        order_of_graph: Hops of the subgraph that gives consequences and facts around an edit.
        max_edges: Its size, target triple included.
    """

    published: ClassVar[Mapping[str, Variant]] = {
        "paper": Variant("LocFT-BF as published: the edit prompts alone", {"inverse": False}),
        "aug": Variant("LocFT-BF Aug: each edit behind five random prefixes as well", {"prefixes": 5}),
        "token-mean": Variant("LocFT-BF with every token of a batch weighed alike", {"mean": "token"}),
        "depth-first": Variant("LocFT with one edit trained to its end, then the next", {"order": "depth-first"}),
    }

    layer: int = Field(ge=0)
    epochs: int = Field(default=25, ge=1)
    learning_rate: float = Field(default=5e-4, gt=0)
    rows: int = Field(default=100, ge=1)
    stop_loss: float = Field(default=0.01, ge=0)
    order: Literal["breadth-first", "depth-first"] = "breadth-first"
    mean: Literal["text", "token"] = "text"
    end_of_text: bool = True
    prefixes: int = Field(default=0, ge=0)
    wordings: int = Field(default=0, ge=0)
    inverse: bool = True
    invented: int = Field(default=0, ge=0)
    rehearsed: float = Field(default=0.0, ge=0)
    keep_weight: float = Field(default=1.0, ge=0)
    facts: int = Field(default=2500, ge=1)
    texts: int = Field(default=0, ge=0)
    order_of_graph: int = Field(default=2, ge=1, le=4)
    max_edges: int = Field(default=20, ge=1)

    @classmethod
    def guess(cls, n_layers: int) -> dict[str, Any]:
        """The trained layer."""
        return {"layer": guessed_layer(n_layers, _DEPTH)}

    def keeping_more(self) -> Self:
        """The rehearsal weighs three times as much."""
        return self.model_copy(update={"keep_weight": 3 * self.keep_weight})

    def longer(self, factor: int) -> Self:
        """These settings with `factor` times the passes."""
        return self.model_copy(update={"epochs": self.epochs * factor})
