"""MEND: Model Editor Networks with Gradient Decomposition (Mitchell et al., ICLR 2022, arXiv 2110.11309).

A network for each shape of weights turns the factors u, delta of the gradient of an edit, token by token, into others;
their product, times a learned step, is the change. docs/methods.md, "MEND".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from kgedit.methods.base import Workbench
from kgedit.methods.engine.edit_gradient import Changes, EditedMatrix
from kgedit.methods.hyper.config import HyperSettings
from kgedit.methods.hyper.method import HyperMethod
from kgedit.methods.hyper.network import Condition, Hypernetwork, TrainingObjective
from kgedit.methods.mend.transform import GradientTransform
from kgedit.methods.settings import MethodSettings


class MendConfig(HyperSettings):
    """Hyper-parameters of MEND; the defaults are those published, but for batch and length of the training.

    Attributes:
        rank: Inner rank of the transform's layers.
        first_step: Step alpha of every weight before training.
        edit_weight: Weight of the new object's negative log-likelihood (c_e).
        keep_weight: Weight of the KL divergence on other facts (c_loc).
        learning_rate: Adam's, of the transforms.
        step_rate: Adam's, of the steps.
    """

    shaping = (*HyperSettings.shaping, "rank")

    rank: int = Field(default=1920, ge=1)
    first_step: float = Field(default=1e-4, gt=0)
    edit_weight: float = Field(default=0.1, gt=0)
    keep_weight: float = Field(default=1.0, ge=0)
    learning_rate: float = Field(default=1e-6, gt=0)
    step_rate: float = Field(default=1e-4, gt=0)


class MendNetwork(Hypernetwork):
    """The transforms, one for each shape of weights, and a step for each weight."""

    def __init__(self, matrices: Sequence[EditedMatrix], rank: int, first_step: float) -> None:
        """Begin with a plain gradient step."""
        super().__init__()
        # Which weights share a transform, and the number of each among them.
        self._place: dict[str, tuple[str, int]] = {}
        count: dict[str, int] = {}
        shapes: dict[str, tuple[int, int]] = {}
        for matrix in matrices:
            shape = f"{matrix.shape[0]}x{matrix.shape[1]}"
            shapes[shape] = matrix.shape
            self._place[matrix.name] = shape, count.get(shape, 0)
            count[shape] = count.get(shape, 0) + 1
        self.transforms = nn.ModuleDict(
            {shape: GradientTransform(*shapes[shape], members, rank) for shape, members in count.items()}
        )
        self.steps = nn.Parameter(torch.full((len(matrices),), first_step))

    def observe(self, gradient: Changes) -> None:
        """Take the factors into the running moments of their shapes."""
        for name, (u, delta) in gradient.items():
            self._transform(name).observe(u, delta)

    def forward(self, gradient: Changes, conditions: Sequence[Condition]) -> Changes:
        """W~ = W - alpha sum_t delta~_t u~_t^T (Algorithm 2)."""
        changes: dict[str, tuple[Tensor, Tensor]] = {}
        for number, (name, (u, delta)) in enumerate(gradient.items()):
            new_u, new_delta = self._transform(name)(u, delta, self._place[name][1])
            changes[name] = new_u, -self.steps[number] * new_delta
        return changes

    def _transform(self, name: str) -> GradientTransform:
        return cast(GradientTransform, self.transforms[self._place[name][0]])


class MendObjective(TrainingObjective):
    """c_e L_e + c_loc L_loc (Algorithm 1)."""

    def __init__(self, edit_weight: float, keep_weight: float) -> None:
        """Take the weights."""
        super().__init__()
        self._edit_weight, self._keep_weight = edit_weight, keep_weight

    def forward(self, new: Tensor, drift: Tensor) -> Tensor:
        """See `TrainingObjective.forward`."""
        return self._edit_weight * new + self._keep_weight * drift


class Mend(HyperMethod):
    """The method; see the module's docstring."""

    name = "mend"
    summary = "A trained network turns the gradient of one edit into a low-rank change (Mitchell et al., 2022)."
    Config: ClassVar[type[MethodSettings]] = MendConfig
    config: MendConfig

    def network(self, bench: Workbench, matrices: Sequence[EditedMatrix]) -> Hypernetwork:
        """The transforms before training."""
        return MendNetwork(matrices, self.config.rank, self.config.first_step)

    def trainer(self, network: Hypernetwork) -> tuple[TrainingObjective, torch.optim.Optimizer]:
        """The weighted sum of both losses, and Adam with a rate of its own for the steps."""
        steps = [parameter for name, parameter in network.named_parameters() if name == "steps"]
        others = [parameter for name, parameter in network.named_parameters() if name != "steps"]
        groups: list[dict[str, Any]] = [{"params": others}, {"params": steps, "lr": self.config.step_rate}]
        optimizer = torch.optim.Adam(groups, lr=self.config.learning_rate)
        return MendObjective(self.config.edit_weight, self.config.keep_weight), optimizer
