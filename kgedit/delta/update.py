"""The change of one weight matrix, and what it costs to write it in the model's own precision.

Notation (math orientation, whatever the model stores): an edited layer computes m = W k + b with W
(d_out, d_in). An update adds dW = right @ left.T with left (d_in, r) and right (d_out, r). GPT-2's Conv1D
stores W transposed. All arithmetic is float32 (float64 for a float64 model), with one cast to the model's
dtype on write.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from kgedit.delta.weights import editable_weight, parent_module
from kgedit.errors import EditDiverged, UnsupportedModel, WrongBase

_PARAMETER_NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)+")


@dataclass(frozen=True, eq=False)
class WeightUpdate:
    """The change of one weight matrix, kept as its two factors.

    The factors are copied to the CPU, so that nobody can change a delta after its hash was taken.

    Attributes:
        name: Full parameter name, e.g. "transformer.h.5.mlp.c_proj.weight".
        left: (d_in, r) float32, for ROME the direction u of the key.
        right: (d_out, r) float32, for ROME the change of the value per unit of the key.
        conv1d: Whether the model stores the matrix transposed, (d_in, d_out), as GPT-2 does.

    Raises:
        ValueError: Shapes that do not fit together, or an impossible name.
        EditDiverged: A factor holds NaN or infinity.
    """

    name: str
    left: Tensor
    right: Tensor
    conv1d: bool = False

    def __post_init__(self) -> None:
        """Check the factors and take a private copy of them."""
        if not _PARAMETER_NAME.fullmatch(self.name):
            raise ValueError(
                f"{self.name!r} is not the name of a parameter; one is 'transformer.h.5.mlp.c_proj.weight'"
            )
        left, right = self.left, self.right
        sizes = (*left.shape, *right.shape)
        if left.dim() != 2 or right.dim() != 2 or left.shape[1] != right.shape[1] or 0 in sizes:
            raise ValueError(
                f"the factors of {self.name} must be (d_in, r) and (d_out, r) with r at least 1, "
                f"not {tuple(left.shape)} and {tuple(right.shape)}"
            )
        for side, given in (("left", left), ("right", right)):
            factor = given.detach().to("cpu", torch.float32, copy=True).contiguous()
            if not bool(torch.isfinite(factor).all()):
                raise EditDiverged(
                    f"the {side} factor of {self.name} holds NaN or infinity, so the edit has diverged. "
                    "Lower the learning rate or the clamp, or compute in float32."
                )
            object.__setattr__(self, side, factor)

    @property
    def rank(self) -> int:
        """Number of columns of the factors; an upper bound of the rank of the change."""
        return self.left.shape[1]

    def padded(self, rank: int) -> tuple[Tensor, Tensor]:
        """The factors with columns of zeros up to a rank, which change no number: (d_in, rank) and (d_out, rank).

        Formats for LoRA have one scale, alpha / rank; readers that know one rank only would scale the others wrongly.
        """
        missing = (0, rank - self.rank)
        return pad(self.left, missing), pad(self.right, missing)

    @property
    def stored_shape(self) -> tuple[int, int]:
        """Shape of the parameter in the model."""
        d_out, d_in = self.right.shape[0], self.left.shape[0]
        return (d_in, d_out) if self.conv1d else (d_out, d_in)

    def dense(self) -> Tensor:
        """The change dW in math orientation, (d_out, d_in) float32."""
        return self.right @ self.left.T  # (d_out, d_in)

    def added_to(self, weight: Tensor) -> Tensor:
        """The weight plus the change, in at least float32, stored orientation, on the weight's device."""
        wide = torch.promote_types(weight.dtype, torch.float32)
        first, second = (self.left, self.right) if self.conv1d else (self.right, self.left)
        first, second = first.to(weight.device, wide), second.to(weight.device, wide)
        # An autocast context around the caller would silently do this product in half precision.
        with torch.no_grad(), torch.autocast(weight.device.type, enabled=False):
            return torch.addmm(weight.detach().to(wide), first, second.T)  # stored_shape

    def edited(self, weight: Tensor) -> Tensor:
        """The weight plus the change in the weight's own dtype, cast once.

        Raises:
            EditDiverged: It does not fit the dtype.
        """
        exact = self.added_to(weight)
        narrow = exact.to(weight.dtype)
        if not bool(torch.isfinite(narrow).all()):
            raise EditDiverged(
                f"the edited {self.name} holds NaN or infinity in {weight.dtype} (largest value "
                f"{float(exact.abs().max()):.3g}); the model is unchanged. Lower the clamp, or load the model in "
                "bfloat16 or float32."
            )
        return narrow

    def rounding(self, weight: Tensor) -> float:
        """Share of the change that the cast to the weight's dtype loses, ||rounding error|| / ||dW||."""
        error = torch.linalg.vector_norm(self.added_to(weight) - self.edited(weight))
        size = self.norm()
        return float(error) / size if size > 0 else 0.0

    def norm(self) -> float:
        """Frobenius norm of the change, from the factors alone: ||R L^T||^2 = sum of (R^T R) * (L^T L)."""
        left, right = self.left.double(), self.right.double()
        squared = ((right.T @ right) * (left.T @ left)).sum()  # (r, r) -> ()
        return math.sqrt(max(float(squared), 0.0))

    def check_fits(self, model: nn.Module) -> nn.Parameter:
        """The parameter that this update belongs to, after checks of its shape and orientation.

        Raises:
            UnsupportedModel: See `editable_weight`; or the layer stores its matrix the other way round.
            WrongBase: The parameter has another shape.
        """
        weight = editable_weight(model, self.name)
        if tuple(weight.shape) != self.stored_shape:
            raise WrongBase(
                f"the edit changes {self.name} as a matrix of shape {self.stored_shape}, but this model has "
                f"{tuple(weight.shape)} there; load the model that the edit was made for."
            )
        kind = type(parent_module(model, self.name)).__name__
        if kind in ("Conv1D", "Linear") and (kind == "Conv1D") != self.conv1d:
            stored = "d_in x d_out" if kind == "Conv1D" else "d_out x d_in"
            raise UnsupportedModel(
                f"{self.name} belongs to a {kind}, which stores {stored}, but the edit was made with "
                f"conv1d={self.conv1d}; make it with conv1d={not self.conv1d}."
            )
        return weight
