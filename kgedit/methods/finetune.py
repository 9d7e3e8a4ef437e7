"""FT and FT-L: Adam on one MLP output matrix W until it gives the new objects.

FT-L is the constrained fine-tuning of Zhu et al., 2020 (arXiv 2012.00363), both with settings of Meng et al., 2022.
FT bounds nothing. FT-L keeps every entry of W within epsilon of what it was (L-infinity). The published code trains
the layer's bias too; here a delta holds matrices only, so W alone is trained. docs/methods.md, "FT and FT-L".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from kgedit.delta import LowRankDelta, hash_weights
from kgedit.errors import PromptError
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.hooks import frozen
from kgedit.lm.padding import pad_id
from kgedit.methods.base import Case, Computed, Method, Request, Workbench, check_cases
from kgedit.methods.engine.divergence import check_loss
from kgedit.methods.engine.trained_matrix import TrainedMatrix, full_update
from kgedit.methods.engine.training_batch import ScoredAt, TrainingBatch
from kgedit.methods.settings import MethodSettings, SteppedSettings, Variant, guessed_layer

# Share of a model's depth that is fine-tuned when nothing is known of it (published: Llama-2 and -3 21 of 32, GPT-J
# 21 of 28).
_DEPTH = 0.65


class FineTuneConfig(SteppedSettings):
    """Hyper-parameters of FT; the defaults are those published.

    Attributes:
        layer: Edited layer.
        steps: Steps at most.
        learning_rate: Adam's.
        weight_decay: Adam's, on W itself.
        stop_loss: The training stops below this mean loss.
        epsilon: Bound of |W' - W|, entry by entry; None for no bound.
        loss: "prompt_last" scores every token of the object at the prompt's last position, as published (the object
            as a bag of tokens); "target" scores each behind those before it (FT-M).
    """

    published: ClassVar[Mapping[str, Variant]] = {
        "paper": Variant("FT as published: every token of the object at the prompt's last position"),
        "ft-m": Variant(
            "FT-M: each token of the object behind those before it (as ft has it on mini)", {"loss": "target"}
        ),
    }

    layer: int = Field(ge=0)
    steps: int = Field(default=25, ge=1)
    learning_rate: float = Field(default=5e-4, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    stop_loss: float = Field(default=0.01, ge=0)
    epsilon: float | None = Field(default=None, gt=0)
    loss: ScoredAt = "prompt_last"

    @classmethod
    def guess(cls, n_layers: int) -> dict[str, Any]:
        """The trained layer."""
        return {"layer": guessed_layer(n_layers, _DEPTH)}


class BoundedConfig(FineTuneConfig):
    """Hyper-parameters of FT-L: those of FT, with the bound published for gpt2-xl.

    Attributes:
        epsilon: As for FT.
    """

    published: ClassVar[Mapping[str, Variant]] = {
        "paper": Variant("FT-L as published: every token of the object at the prompt's last position")
    }

    epsilon: float | None = Field(default=5e-4, gt=0)

    @classmethod
    def guess(cls, n_layers: int) -> dict[str, Any]:
        """The first layer, as published for every model."""
        return {"layer": 0}


class FineTune(Method):
    """FT; see the module's docstring."""

    name = "ft"
    summary = "Fine-tuning of one layer's MLP output matrix, without a bound."
    kind = "fine-tuning"
    takes_gate = False
    takes_chat = True
    Config: ClassVar[type[MethodSettings]] = FineTuneConfig
    config: FineTuneConfig

    @torch.inference_mode(False)  # gradients are needed whatever mode the caller is in
    def together(self, bench: Workbench, cases: Sequence[Case]) -> list[Computed]:
        """One delta per case, all its requests in one training batch.

        Raises:
            EditDiverged: A loss is NaN or infinite.
        """
        check_cases(cases)
        model = bench.model
        anatomy = anatomy_of(model)
        matrix = TrainedMatrix(model, anatomy, self.config.layer, pad_id(bench.tokenizer))
        batches = [self._batch(bench, [request for request, _ in case]) for case in cases]
        with frozen(model):
            base = hash_weights(model, [matrix.name])
            computed = []
            for number, batch in enumerate(batches):
                change, losses = self._train(matrix, batch)
                log = {"losses": losses}
                settings = self.config.model_dump()
                manifest = {"method": self.name, "settings": settings, "seed": bench.seed, **log}
                update = full_update(matrix.name, change, conv1d=anatomy.conv1d)
                computed.append(Computed(LowRankDelta((update,), base, manifest), log=log))
                if bench.progress:
                    bench.progress("train", number + 1, len(batches))
        return computed

    def _batch(self, bench: Workbench, requests: Sequence[Request]) -> TrainingBatch:
        rows = []
        for request in requests:
            (prompt,), target = bench.encoded(request, self.config.ending)
            rows.append((prompt, target))
            for template in bench.chat_templates(request):
                with suppress(PromptError):  # a chat that does not fit is left out
                    (prompt,), target = bench.encoded(request, self.config.ending, [template])
                    rows.append((prompt, target))
        return TrainingBatch(rows, self.config.loss)

    def _train(self, matrix: TrainedMatrix, batch: TrainingBatch) -> tuple[Tensor, list[float]]:
        """The change of W (d, d_ff), and the loss at each step."""
        config = self.config
        change = matrix.no_change()  # (d, d_ff)
        adam = torch.optim.Adam([change], lr=config.learning_rate)
        losses: list[float] = []
        for step in range(config.steps):
            loss = batch.loss(matrix, change)
            losses.append(float(loss.detach()))
            check_loss(losses[-1], f"at step {step}", config.learning_rate)
            if losses[-1] < config.stop_loss:
                break
            # Adam on dW; the published weight decay is on W + dW itself.
            (change.grad,) = torch.autograd.grad(loss, change)
            if config.weight_decay:
                change.grad += config.weight_decay * (matrix.weight.to(change) + change.detach())
            adam.step()
            # FT-L: back into the box |dW| <= epsilon.
            if config.epsilon is not None:
                with torch.no_grad():
                    change.clamp_(-config.epsilon, config.epsilon)
        return change.detach(), losses


class FineTuneBounded(FineTune):
    """FT-L; see the module's docstring."""

    name = "ft-l"
    summary = "Fine-tuning of one layer's MLP output matrix, every entry within a bound (Zhu et al., 2020)."
    Config = BoundedConfig
