"""What the hyper-parameters of all hypernetwork editors have in common."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from kgedit.methods.trained_editor import TrainedSettings

_LAST = 3  # blocks, as published for every model


class HyperSettings(TrainedSettings):
    """Hyper-parameters of a hypernetwork editor; all but `editor`, `ending` and `gate` are those of its training.

    Attributes:
        layers: Blocks whose MLP matrices are changed.
        matrices: "mlp" changes all matrices of an MLP, "output" the second one alone.
        training_steps: Most steps of the training.
        edits: Edits in a step.
        wordings: In how many wordings each edit is asked in a step, the edit prompt among them.
        kept: For each edit in a step, of how many other facts the answers are held: half of them around the edit.
        check_every: Steps between two looks at edits that are held out.
        held_out: How many of these are looked at.
        patience: The training ends when held-out edits have not become better for so many steps.
        clip: The gradient is shortened to this length.
    """

    shaping: ClassVar[tuple[str, ...]] = ("ending", "layers", "matrices")

    layers: tuple[int, ...] = Field(min_length=1)
    matrices: Literal["mlp", "output"] = "mlp"
    training_steps: int = Field(default=20_000, ge=1)
    edits: int = Field(default=8, ge=1)
    wordings: int = Field(default=3, ge=1)
    kept: int = Field(default=2, ge=1)
    check_every: int = Field(default=100, ge=1)
    held_out: int = Field(default=48, ge=1)
    patience: int = Field(default=2000, ge=1)
    clip: float = Field(default=100.0, gt=0)

    @classmethod
    def guess(cls, n_layers: int) -> dict[str, Any]:
        """The last three blocks, as published for every model."""
        return {"layers": tuple(range(max(0, n_layers - _LAST), n_layers))}
