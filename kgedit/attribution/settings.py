"""How training texts are scored."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

ScoreName = Literal["tracin", "cosine", "influence", "ekfac", "bm25"]
SCORES: tuple[ScoreName, ...] = get_args(ScoreName)

_BLOCKS = 4  # whose MLPs are looked at where nothing else is asked for


class AttributionSettings(BaseModel):
    """How training texts are scored; docs/methods.md, "Attribution".

    Attributes:
        scores: Which scores are computed.
        layers: Blocks whose MLP matrices count; by default four, spread evenly over the depth.
        matrices: "output" for the second MLP matrix alone (the down projection), "mlp" for all of the MLP.
        curvature_texts: Texts, drawn at random, that the curvature is estimated on.
        damping: What is added to the Hessian for `influence`, in units of the mean of its diagonal.
        iterations: Most steps of the conjugate gradients.
        ekfac_damping: What is added to the eigenvalues of each matrix for `ekfac`, in units of their mean.
        batch_tokens: The most tokens in a forward pass, padding included.
        seed: Of the drawn texts and labels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scores: tuple[ScoreName, ...] = Field(default=SCORES, min_length=1)
    layers: tuple[int, ...] | None = Field(default=None, min_length=1)
    matrices: Literal["output", "mlp"] = "output"
    curvature_texts: int = Field(default=256, ge=1)
    damping: float = Field(default=1e-3, gt=0)
    iterations: int = Field(default=20, ge=1)
    ekfac_damping: float = Field(default=0.1, gt=0)
    batch_tokens: int = Field(default=1024, ge=1)
    seed: int = 0

    def layers_of(self, depth: int) -> tuple[int, ...]:
        """The blocks that count in a model of so many."""
        if self.layers is not None:
            return tuple(sorted(set(self.layers)))
        count = min(_BLOCKS, depth)
        return tuple(int((index + 0.5) * depth / count) for index in range(count))
