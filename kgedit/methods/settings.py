"""Hyper-parameters of methods: what all of them have, and what a model's depth alone says about them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator

# Share of a model's depth at which facts are edited when nothing is known of the model (published: gpt2-xl 17 of 48,
# GPT-J 5 of 28, Llama-2 5 of 32).
_EDIT_DEPTH = 0.2
MOST = 10**9  # of whole numbers in settings


def guessed_layer(n_layers: int, depth: float = _EDIT_DEPTH, *, above: int = 0) -> int:
    """The layer to edit in a model of which nothing but its depth is known.

    Args:
        n_layers: Number of the model's blocks.
        depth: Share of them that lies below the layer.
        above: How many blocks there must be above it, if the model has so many.
    """
    return max(0, min(round(depth * n_layers), n_layers - 1 - above))


class Variant(NamedTuple):
    """What a word behind a method's name stands for.

    Attributes:
        about: What it is, in one line for lists.
        sets: Field -> value.
    """

    about: str
    sets: Mapping[str, Any] = MappingProxyType({})


AS_PUBLISHED = "as published"


class MethodSettings(BaseModel):
    """Base of every method's hyper-parameters: frozen, and a misspelt name is an error.

    Attributes:
        ending: Text that is learned behind the new object, e.g. "."; without it a name may go on as a longer one
            (Weimar as Weimar Republic). The published objectives have none.
        gate: Least cosine between a token's key and the edit's own, compared as in `delta.gated`, at which the change
            acts; outputs elsewhere stay bit for bit the unedited model's. None for a change of the weights, which acts
            everywhere.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    # The word behind a method's name -> what its published procedure sets: "paper", and what differs from it for one
    # benchmark or in another paper's comparison ("paper-mquake").
    published: ClassVar[Mapping[str, Variant]] = {"paper": Variant(AS_PUBLISHED)}

    ending: str = Field(default="", max_length=8)
    gate: float | None = Field(default=None, gt=0, lt=1)

    @field_validator("*")
    @classmethod
    def _of_64_bits(cls, value: Any) -> Any:
        numbers = value if isinstance(value, tuple) else (value,)
        if any(isinstance(number, int) and abs(number) > MOST for number in numbers):
            raise ValueError(f"whole numbers above {MOST:,} make no sense here")
        return value

    @classmethod
    def guess(cls, n_layers: int) -> dict[str, Any]:
        """Fields that must be given, for a model without a preset.

        Args:
            n_layers: Number of the model's blocks, all that is known of it.

        Returns:
            Field -> value; empty if every field has a default that suits any model.
        """
        return {}

    @classmethod
    def paper(cls, **changes: Any) -> Self:
        """The published procedure; pass the fields that depend on the model, or that are to differ."""
        return cls.model_validate({**cls.published["paper"].sets, **changes})

    def longer(self, factor: int) -> Self:
        """These settings with `factor` times the optimisation steps; the same where there are no steps."""
        return self

    def keeping_more(self) -> Self:
        """These settings with more weight on what stays; the same where nothing is weighed."""
        return self


class SteppedSettings(MethodSettings):
    """Hyper-parameters of a method that takes optimisation steps.

    Attributes:
        steps: Most evaluations of the loss.
        learning_rate: Of the optimiser.
    """

    steps: int = Field(default=20, ge=1)
    learning_rate: float = Field(default=0.5, gt=0)

    def longer(self, factor: int) -> Self:
        """These settings with `factor` times the steps."""
        return self.model_copy(update={"steps": self.steps * factor})
