"""Files of second moments: one layer each, with a checksum and the key of the weights and text they belong to."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from kgedit.errors import FileCorrupt, MomentError, MomentMismatch
from kgedit.io.atomic_files import write_files
from kgedit.io.sealed import read_sealed, seal
from kgedit.lm.second_moment.matrix import SecondMoment


def moment_file(folder: Path, layer: int) -> Path:
    """Where the statistics of a layer lie in a folder of them."""
    return folder / f"layer-{layer}.safetensors"


def save_moment(moment: SecondMoment, path: Path) -> None:
    """Write one layer's statistics; the file is there as a whole or not at all.

    Raises:
        SaveFailed: Disk full, read-only folder and the like.
    """
    matrix = moment.matrix.detach().to("cpu", torch.float32).contiguous()
    about = {"layer": str(moment.layer), "count": str(moment.count), "key": moment.key}
    write_files(path.parent, {path.name: seal({"matrix": matrix}, about)})


def load_moment(path: Path, *, key: str | None = None, weights: str | None = None) -> SecondMoment:
    """Read one layer's statistics and check that they are whole and the right ones.

    Args:
        path: A file that `save_moment` wrote.
        key: Refuse statistics whose key is another.
        weights: Refuse statistics of other weights than these (`weights_keys(model, [layer])[layer]`).

    Raises:
        MomentError: There is no such file.
        FileCorrupt: The file is damaged or no moments file.
        MomentMismatch: The statistics belong to something else; both keys are named.
    """
    tensors, about = read_sums(path)
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


def read_sums(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and text fields of a sealed file of statistics.

    Raises:
        MomentError: There is no such file.
        FileCorrupt: A byte of it has changed, or it is something else.
    """
    if not path.is_file():
        raise MomentError(f"{path} does not exist; collect the statistics first, or correct the path")
    return read_sealed(path, "delete it and collect the statistics anew")
