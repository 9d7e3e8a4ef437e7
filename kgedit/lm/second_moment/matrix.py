"""The second moment C = E[k k^T] of a layer's keys: solving with it, and its file."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor

from kgedit.errors import FileCorrupt, IllConditioned, MomentError, MomentMismatch
from kgedit.io.atomic_files import write_files

_log = logging.getLogger(__name__)

_RIDGES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)  # shares of the mean diagonal, tried in turn
_WORST_CONDITION = 1e13  # beyond it, a float64 solve has no digit to rely on
_TOKENS_PER_DIMENSION = 10


@dataclass(frozen=True, eq=False)
class SecondMoment:
    """Statistics of one layer.

    Attributes:
        layer: Block index.
        matrix: (d_ff, d_ff) float32, E[k k^T], not centred.
        count: Number of tokens it was taken over.
        key: What it belongs to: weights below the layer's W, corpus, length, whether first tokens were
            left out.
    """

    layer: int
    matrix: Tensor
    count: int
    key: str

    def solve(self, keys: Tensor) -> Tensor:
        """Solve C x = k for every row by Cholesky in float64.

        A ridge of 1e-6 of the mean diagonal is added to C, more if that does not make it positive
        definite. The factor is kept for the next call.

        Args:
            keys: (n, d_ff).

        Returns:
            (n, d_ff) float64 on the device of the keys.

        Raises:
            IllConditioned: C is singular or not finite even with the largest ridge, or a key is not finite.
        """
        if not torch.isfinite(keys).all():
            raise IllConditioned(f"a key of layer {self.layer} is not finite; load the model in float32 or bfloat16")
        wide = keys.to(device=self.matrix.device, dtype=torch.float64)
        # Two triangular solves, since torch.cholesky_solve copies the factor at each call.
        half = torch.linalg.solve_triangular(self._factor, wide.T, upper=False)  # (d_ff, n)
        solved: Tensor = torch.linalg.solve_triangular(self._factor.T, half, upper=True).T  # (n, d_ff)
        return solved.to(keys.device)

    @cached_property
    def _factor(self) -> Tensor:
        """Lower Cholesky factor of C with ridge, (d_ff, d_ff) float64."""
        wide = self.matrix.double()
        wide = (wide + wide.T) / 2
        scale = float(wide.diagonal().mean())
        if not torch.isfinite(wide).all() or scale <= 0:
            raise IllConditioned(
                f"the second moment of layer {self.layer} is zero or not finite (mean diagonal {scale:g}); "
                "collect it anew, with the model in float32 or bfloat16"
            )
        added = 0.0
        for ridge in _RIDGES:
            wide.diagonal().add_((ridge - added) * scale)
            added = ridge
            factor: Tensor
            factor, failed = torch.linalg.cholesky_ex(wide)
            if failed:
                continue
            # The squared ratio of the factor's pivots is a lower bound of the condition number.
            pivots = factor.diagonal()
            condition = float((pivots.max() / pivots.min()) ** 2)
            if condition <= _WORST_CONDITION:
                self._warn(ridge, condition)
                return factor
        spectrum = torch.linalg.eigvalsh(wide)
        raise IllConditioned(
            f"the second moment of layer {self.layer} over {self.count} tokens cannot be solved with: "
            f"eigenvalues from {float(spectrum[0]):.3g} to {float(spectrum[-1]):.3g} even with a ridge of "
            f"{_RIDGES[-1]:g}; "
            f"collect it over at least {_TOKENS_PER_DIMENSION * len(wide)} tokens"
        )

    def _warn(self, ridge: float, condition: float) -> None:
        enough = _TOKENS_PER_DIMENSION * len(self.matrix)
        if ridge > _RIDGES[0] or self.count < enough:
            _log.warning(
                "the second moment of layer %d is weak: %d tokens where %d or more are advised, ridge %g, "
                "condition number at least %.2g; collect it from more text",
                self.layer,
                self.count,
                enough,
                ridge,
                condition,
            )


def save(moment: SecondMoment, path: Path) -> None:
    """Write one layer's statistics; the file is there as a whole or not at all.

    Raises:
        SaveFailed: Disk full, read-only folder and the like.
    """
    matrix = moment.matrix.detach().to("cpu", torch.float32).contiguous()
    about = {"layer": str(moment.layer), "count": str(moment.count), "key": moment.key}
    write_files(path.parent, {path.name: pack({"matrix": matrix}, about)})


def load(path: Path, *, key: str | None = None, weights: str | None = None) -> SecondMoment:
    """Read one layer's statistics and check that they are whole and the right ones.

    Args:
        path: A file that `save` wrote.
        key: Refuse statistics whose key is another.
        weights: Refuse statistics of other weights than these (`weights_keys(model, [layer])[layer]`).

    Raises:
        MomentError: There is no such file.
        FileCorrupt: The file is damaged or no moments file.
        MomentMismatch: The statistics belong to something else; both keys are named.
    """
    tensors, about = unpack(path)
    try:
        moment = SecondMoment(int(about["layer"]), tensors["matrix"], int(about["count"]), about["key"])
    except (KeyError, ValueError) as error:
        raise FileCorrupt(f"{path} is no moments file ({error}); collect the statistics anew") from error
    if key is not None and key != moment.key:
        raise MomentMismatch(
            f"{path} holds statistics of [{moment.key}], asked for are those of [{key}]; collect them anew"
        )
    if weights is not None and f"weights={weights} " not in moment.key:
        raise MomentMismatch(
            f"{path} holds statistics of [{moment.key}], the model's key is [weights={weights}]: they were "
            "taken on other weights; collect them anew"
        )
    return moment


def pack(tensors: dict[str, Tensor], about: dict[str, str]) -> bytes:
    """Tensors with text fields as safetensors bytes, sealed with a checksum over both."""
    return bytes(to_safetensors(tensors, {**about, "sha256": _seal(tensors, about)}))


def unpack(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read what `pack` made.

    Raises:
        MomentError: There is no such file.
        FileCorrupt: A byte of it has changed, or it is something else.
    """
    if not path.is_file():
        raise MomentError(f"{path} does not exist; collect the statistics first, or correct the path")
    try:
        with safe_open(path, framework="pt") as file:
            about = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise FileCorrupt(f"{path} cannot be read ({error}); delete it and collect the statistics anew") from error
    if about.pop("sha256", None) != _seal(tensors, about):
        raise FileCorrupt(f"{path} is damaged: its checksum is wrong; delete it and collect the statistics anew")
    return tensors, about


def _seal(tensors: dict[str, Tensor], about: dict[str, str]) -> str:
    found = hashlib.sha256(repr(sorted(about.items())).encode())
    for name in sorted(tensors):
        found.update(f"{name}{tuple(tensors[name].shape)}{tensors[name].dtype}".encode())
        found.update(tensors[name].contiguous().numpy().data)
    return found.hexdigest()
