"""Methods that optimise a value m* behind context prefixes and write it in closed form: their settings and needs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kgedit.lm.prefixes import SEEDS, PrefixPlan
from kgedit.lm.second_moment.matrix import LEAST_RIDGE
from kgedit.methods.base import Method
from kgedit.methods.settings import SteppedSettings


class ValueSettings(SteppedSettings):
    """Hyper-parameters of a method that optimises a value behind context prefixes.

    Attributes:
        weight_decay: Weight of ||delta|| / ||m||^2.
        clamp: Bound of ||delta|| / ||m||.
        kl_weight: Weight of the "{s} is a" term.
        stop_loss: The optimisation stops below this loss.
        prefixes: Context prefixes beside the bare prompt: "5x10+10x10" are ten of 5 tokens and ten of 10; "" is none.
        prefix_seeds: What they begin with: common words, or the begin-of-text token as ROME's and GLAME's do.
        moment_ridge: Ridge added to C, as a share of its mean diagonal; the published code has none.
    """

    weight_decay: float = Field(default=0.5, ge=0)
    clamp: float = Field(default=4.0, gt=0)
    kl_weight: float = Field(default=0.0625, ge=0)
    stop_loss: float = Field(default=0.05, ge=0)
    prefixes: str = Field(
        default="5x10+10x10", pattern=r"^([1-9]\d{0,2}x[1-9]\d{0,2}(\+[1-9]\d{0,2}x[1-9]\d{0,2})*)?$"
    )
    prefix_seeds: Literal["words", "begin"] = "words"
    moment_ridge: float = Field(default=LEAST_RIDGE, ge=0, le=1)


class ValueMethod(Method):
    """A method with such settings."""

    takes_chat = True
    config: ValueSettings

    @property
    def prefix_plan(self) -> PrefixPlan:
        """The context prefixes of its settings."""
        return PrefixPlan.parse(self.config.prefixes, SEEDS if self.config.prefix_seeds == "words" else ())

    @property
    def moment_ridge(self) -> float:
        """The ridge of its settings."""
        return self.config.moment_ridge
