"""The parameters that an edit may touch: find them, refuse those that must not be written, hash them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from kgedit.errors import UnsupportedModel

Hook = TypeVar("Hook")

# 8-bit floats come with scales that this code does not know.
_PLAIN_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def editable_weight(model: nn.Module, name: str) -> nn.Parameter:
    """The parameter of this name, if it can be edited at all; see `editable_weights`."""
    return editable_weights(model, (name,))[0]


def editable_weights(model: nn.Module, names: Iterable[str]) -> list[nn.Parameter]:
    """The parameters of these names, if they can be edited at all.

    Args:
        model: Any torch module.
        names: Full parameter names, e.g. "transformer.h.5.mlp.c_proj.weight".

    Returns:
        The parameters themselves, not copies.

    Raises:
        UnsupportedModel: No such parameter; or it is quantised, offloaded, on the meta device, not a matrix,
            an embedding, the LM head, or shared with another parameter.
    """
    # A wrapper such as torch.compile shows every parameter once, under its own path; tied ones show up twice.
    places: dict[int, list[str]] = {}  # address -> names of the parameters there
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if not parameter.is_meta:
            places.setdefault(parameter.data_ptr(), []).append(name)
    return [_editable(model, name, places) for name in names]


def _editable(model: nn.Module, name: str, places: Mapping[int, list[str]]) -> nn.Parameter:
    try:
        weight = model.get_parameter(name)
    except AttributeError as error:
        raise UnsupportedModel(
            f"the model ({type(model).__name__}) has no parameter {name!r}. It is another model than the "
            "edit was made for, or its layer is quantised so that the weight is hidden, or it is wrapped "
            "(DistributedDataParallel, FSDP). Load the full-precision model and pass it unwrapped."
        ) from error
    if type(weight) is not nn.Parameter or weight.dtype not in _PLAIN_FLOATS:
        raise UnsupportedModel(
            f"{name} is a {type(weight).__name__} of {weight.dtype}: quantised or sharded weights cannot be "
            "edited. Load the model in float32, bfloat16 or float16 on one device."
        )
    if weight.is_meta:
        raise UnsupportedModel(
            f"{name} is on the meta device (not loaded, or offloaded to disk): there is no weight to edit. "
            "Load the model fully, or with a device map that keeps this layer on a device."
        )
    if weight.dim() != 2:
        raise UnsupportedModel(
            f"{name} has shape {tuple(weight.shape)}, not that of one matrix (a mixture of experts?); "
            "only single matrices can be edited."
        )
    _refuse_shared(model, name, places.get(weight.data_ptr(), []) if weight.data_ptr() else [])
    return weight


def parent_module(model: nn.Module, name: str) -> nn.Module:
    """The module that holds the parameter of this name."""
    return model.get_submodule(name.rpartition(".")[0])


def hooks_at(model: nn.Module, name: str, kind: type[Hook]) -> list[Hook]:
    """The forward hooks of one kind on the module that holds the parameter of this name."""
    return [hook for hook in parent_module(model, name)._forward_hooks.values() if isinstance(hook, kind)]


def digest(name: str, tensor: Tensor) -> str:
    """SHA-256 over name, shape, dtype and the exact bytes of one tensor, wherever it lies."""
    plain = tensor.detach().to("cpu").contiguous()
    sha256 = hashlib.sha256(f"{name}\0{tuple(plain.shape)}\0{plain.dtype}\0".encode())
    sha256.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return sha256.hexdigest()


def all_digests(model: nn.Module) -> dict[str, str]:
    """Name -> `digest` of every parameter."""
    return {name: digest(name, parameter) for name, parameter in model.named_parameters()}


def model_hash(model: nn.Module) -> str:
    """SHA-256 of a whole model: names, shapes, dtypes and bytes of all parameters (not of buffers)."""
    return hash_digests(all_digests(model))


def hash_digests(digests: Mapping[str, str]) -> str:
    """One hash for several tensors, from name -> `digest`; the order of the mapping does not matter."""
    lines = "".join(f"{name} {digests[name]}\n" for name in sorted(digests))
    return hashlib.sha256(lines.encode()).hexdigest()


def hash_weights(model: nn.Module, names: Iterable[str]) -> str:
    """SHA-256 of the named parameters as they are now: names, shapes, dtypes and bytes.

    Args:
        model: Any torch module.
        names: Parameter names in any order.

    Raises:
        UnsupportedModel: A parameter is missing or has no plain weight (see `editable_weight`).
    """
    wanted = list(names)
    return hash_digests(
        {name: digest(name, weight) for name, weight in zip(wanted, editable_weights(model, wanted), strict=True)}
    )


def write_weights(weights: Mapping[str, nn.Parameter], values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy new values into parameters in place; if anything interrupts, all of them are as before.

    Identity, gradient flags and gradients of the parameters stay as they are.

    Args:
        weights: Name -> parameter.
        values: The same names -> tensor of the parameter's shape and dtype.

    Returns:
        Name -> copy of the parameter as it was before.
    """
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    with torch.no_grad():
        try:
            for name, weight in weights.items():
                weight.copy_(values[name])
        except BaseException:
            for name, weight in weights.items():
                weight.copy_(before[name])
            raise
    return before


def _refuse_shared(model: nn.Module, name: str, places: list[str]) -> None:
    for getter in ("get_input_embeddings", "get_output_embeddings"):
        module = getattr(model, getter, lambda: None)()
        if module is not None and parent_module(model, name) is module:
            raise UnsupportedModel(
                f"{name} is the token embedding or the LM head; an edit there would change every prompt. "
                "Edit the MLP output matrix of a block."
            )
    if len(places) > 1:
        raise UnsupportedModel(
            f"{name} is one weight in several places ({', '.join(places)}): tied weights. An edit of one "
            "would change the others. Edit the MLP output matrix of a block."
        )
