"""Devices: which there are, what they promise, and checks of precision and revision before a model is loaded."""

from __future__ import annotations

import re
from importlib.util import find_spec

import torch
from torch import nn

from kg_cache.nearest import did_you_mean, nearest
from kgedit.errors import LoadingError, MissingExtra
from kgedit.lm.loading import DTYPES

SPREAD = "auto"  # as accelerate calls it: over all devices of the machine, in the order of the layers
_DEVICES = ("cpu", "cuda", "mps", "xpu")
_DEVICE = re.compile(r"([a-z]+)(?::(\d{1,3}))?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")


def checked_loading(
    device: str | None = None,
    dtype: torch.dtype | str = "auto",
    revision: str | None = None,
    *,
    trust_remote_code: bool = False,
) -> tuple[torch.device, torch.dtype | str]:
    """Device and precision to load a model with, checked without a model; a spread one counts as on the CPU at first.

    Raises:
        LoadingError: The device is not on this machine, the precision is unknown, or remote code is not pinned.
        MissingExtra: A model is to be spread without the package that does it.
    """
    check_trust(revision, trust_remote_code=trust_remote_code)
    spread = device == SPREAD
    if spread:
        check_can_spread()
    return checked_device(None if spread else device), checked_dtype(dtype)


def checked_device(name: str | None) -> torch.device:
    """The device of a name, if this machine has it.

    Args:
        name: E.g. "cuda:1"; None is the CPU.

    Raises:
        LoadingError: There is no such kind of device, or none on this machine.
    """
    parts = _DEVICE.fullmatch((name or "cpu").strip().lower())
    kind, number = (parts[1], int(parts[2] or 0)) if parts else ("", 0)
    if kind not in _DEVICES:
        near = ["cuda"] if kind in {"gpu", "nvidia", "rocm"} else nearest(kind, _DEVICES, count=1)
        raise LoadingError(
            f"{name!r} is no device; {did_you_mean(near)}there are: {', '.join(_DEVICES)}, e.g. cuda:1, and {SPREAD}"
        )
    count = _count(kind)
    if number >= count:
        has = "none" if not count else "one" if count == 1 else f"{count}, counted from 0"
        raise LoadingError(
            f"there is no device {name!r} here: this torch ({torch.__version__}) finds {has} of the kind {kind}; "
            "leave --device out for the CPU, or install a torch that is built for the device"
        )
    return torch.device(kind, number) if parts and parts[2] else torch.device(kind)


def check_can_spread() -> None:
    """Refuse to spread a model without the package that does it.

    Raises:
        MissingExtra: accelerate is not installed.
    """
    if find_spec("accelerate") is None:
        raise MissingExtra("--device auto needs accelerate; install it with pip install 'kgedit[accelerate]'")


def check_all_on_devices(model: nn.Module) -> None:
    """Refuse a model of which a part stays in main memory or on disk until it is used: it cannot be edited there.

    Raises:
        LoadingError: The devices together hold only a part of it.
    """
    waiting = [name for name, parameter in model.named_parameters() if parameter.device.type == "meta"]
    if waiting:
        raise LoadingError(
            f"the devices of this machine together cannot hold the model: {len(waiting)} tensors, {waiting[0]!r} the "
            "first, would stay outside, where they cannot be edited; use --dtype bfloat16, more devices, or leave "
            "--device out for the CPU"
        )


def repeatable(device: torch.device) -> str:
    """Whether the same work gives the same bits once more, in words for manifests.

    On the CPU every sum that kgedit takes is added up in one order, which the number of threads decides. The kernels
    of other devices add up with atomic operations, in whatever order these come (PyTorch, "Reproducibility").
    """
    if device.type == "cpu":
        return "bit for bit, on the same machine with the same number of threads"
    return f"not bit for bit: kernels of {device.type} add up in varying order"


def check_trust(revision: str | None, *, trust_remote_code: bool) -> None:
    """Refuse to run code of a repository that may change.

    Raises:
        LoadingError: Remote code without a full commit.
    """
    if trust_remote_code and not (revision and _COMMIT.fullmatch(revision)):
        raise LoadingError(
            "trust_remote_code runs code from the repository: pin it with a revision that is a full commit "
            f"(40 hexadecimal digits, --revision), not {revision!r}"
        )


def checked_dtype(dtype: torch.dtype | str) -> torch.dtype | str:
    """A precision that weights can be edited in.

    Raises:
        LoadingError: It is none of `DTYPES`.
    """
    if isinstance(dtype, torch.dtype) or dtype in DTYPES:
        return dtype
    meant = did_you_mean(nearest(dtype, DTYPES, count=1, cutoff=0.5))
    raise LoadingError(f"{dtype!r} is no precision of weights; {meant}there are: {', '.join(DTYPES)}")


def _count(kind: str) -> int:
    if kind == "cpu":
        return 1
    if kind == "mps":
        return int(torch.backends.mps.is_available())
    module = torch.cuda if kind == "cuda" else torch.xpu
    return module.device_count() if module.is_available() else 0
