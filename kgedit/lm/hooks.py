"""Hooks that record, change or skip parts of a forward pass; the model is left as it was, whatever happens.

Every context manager here removes its hooks and puts back what it swapped on any way out, also on an
exception and on KeyboardInterrupt. Modules are hooked in the order of the `with` statements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn

from kgedit.errors import NoSuchLayer
from kgedit.lm.activations import fused_activations
from kgedit.lm.anatomy import Anatomy


class _Stop(Exception):
    """Ends a forward pass early; never leaves `capture`."""


def unwrap(output: Any) -> Tensor:
    """The tensor that a module passes on: its output, or the first item of a tuple or list."""
    tensor = output[0] if isinstance(output, (tuple, list)) and output else output
    if not isinstance(tensor, Tensor):
        raise TypeError(f"expected a tensor, or a tuple that begins with one, not {type(tensor).__name__}")
    return tensor


def rewrap(output: Any, tensor: Tensor) -> Any:
    """`output` with the tensor that `unwrap` finds replaced by another."""
    return tensor if isinstance(output, Tensor) else type(output)([tensor, *output[1:]])


def _as_rows(tensor: Tensor, rows: int | None) -> Tensor:
    """(rows * seq, d) as (rows, seq, d): some families flatten the batch inside their MLP."""
    return tensor.reshape(rows, -1, tensor.shape[-1]) if rows is not None and tensor.dim() == 2 else tensor


@contextmanager
def capture(
    modules: Mapping[str, nn.Module], *, inputs: bool = False, stop: bool = False, rows: int | None = None
) -> Iterator[dict[str, Tensor]]:
    """Record what modules give out, or take in, while the body runs the model.

    Args:
        modules: Name -> module.
        inputs: Record the first tensor of the input instead of the output.
        stop: End the forward pass once every module has run. The body ends there too: nothing after the
            call of the model is executed, so put only that call into the body.
        rows: Batch size; lets families whose MLP flattens the batch (OPT) be recorded as (batch, seq, d)
            as well.

    Yields:
        Name -> tensor of the latest forward pass, not detached.
    """
    recorded: dict[str, Tensor] = {}

    def record(name: str, value: Any) -> None:
        recorded[name] = _as_rows(unwrap(value), rows)
        if stop and len(recorded) == len(modules):
            raise _Stop

    def on_input(name: str) -> Callable[..., None]:
        return lambda module, args, kwargs: record(name, args or tuple(kwargs.values()))

    def on_output(name: str) -> Callable[..., None]:
        return lambda module, args, output: record(name, output)

    with ExitStack() as stack:
        for name, module in modules.items():
            if inputs:
                handle = module.register_forward_pre_hook(on_input(name), with_kwargs=True)
            else:
                handle = module.register_forward_hook(on_output(name))
            stack.callback(handle.remove)
        with suppress(_Stop):
            yield recorded


@contextmanager
def add_at(module: nn.Module, change: Callable[[Tensor], Tensor], *, rows: int | None = None) -> Iterator[None]:
    """Replace a module's output by `change(output)` while the body runs.

    Args:
        module: Any module; tuples are rewrapped around the changed tensor.
        change: Takes and returns a tensor of the output's shape; must not write into it.
        rows: Batch size; `change` then always sees (batch, seq, d), also in families that flatten the batch.
    """

    def hook(module: nn.Module, args: Any, output: Any) -> Any:
        tensor = unwrap(output)
        changed = change(_as_rows(tensor, rows)).to(tensor.dtype)
        return rewrap(output, changed.reshape(tensor.shape))

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def replay(model: nn.Module, anatomy: Anatomy, layers: int, state: Tensor) -> Iterator[None]:
    """Skip the first `layers` blocks: the forward pass goes on from `state`, gradients flow into it.

    The skipped blocks neither compute nor touch the key-value cache, so a cache that holds earlier
    positions of all layers keeps reporting the right past length. With it, the forward pass of a suffix
    costs only the blocks above:

        past = prefill(model, ids[:, :c], mask[:, :c], positions[:, :c])
        with capture({"state": anatomy.block(model, layer)}, stop=True) as clean, torch.no_grad():
            model(input_ids=ids[:, c:], attention_mask=mask, position_ids=positions[:, c:],
                  past_key_values=fork(past))
        with replay(model, anatomy, layer + 1, clean["state"] + offset):
            model(input_ids=ids[:, c:], attention_mask=mask, position_ids=positions[:, c:],
                  past_key_values=fork(past))

    Args:
        model: The model whose forward is called in the body.
        anatomy: `anatomy_of(model)`.
        layers: How many blocks are skipped, counted from the first; 0 skips none.
        state: (batch, seq, d), what the last of them would give out; cast to the model's dtype and device.

    Raises:
        NoSuchLayer: `layers` is negative or more than there are.
        ValueError: In the body, when `state` has another shape than the hidden states.
    """
    blocks = anatomy.blocks(model)
    if not 0 <= layers <= len(blocks):
        raise NoSuchLayer(f"{layers} blocks cannot be skipped: the model has {len(blocks)}")
    with ExitStack() as stack:
        for index, block in enumerate(blocks[:layers]):
            stack.callback(_restore, block, block.__dict__.get("forward"))
            given = state if index == layers - 1 else None
            block.forward = _skip(given, anatomy.block_tuple)
        yield


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, fused activations, no gradients for parameters while the body runs; all is put back exactly."""
    training = [(module, module.training) for module in model.modules()]
    grads = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        model.eval()
        for parameter, _ in grads:
            parameter.requires_grad_(False)
        with fused_activations(model):
            yield
    finally:
        for module, flag in training:
            module.training = flag
        for parameter, flag in grads:
            parameter.requires_grad_(flag)


@contextmanager
def head_at(model: nn.Module, rows: Tensor, columns: Tensor) -> Iterator[None]:
    """Apply the head only to the positions (rows[i], columns[i]): logits come out as (1, n, vocabulary).

    The family's own scaling or capping of logits still happens, since the model's forward runs as it is.

    Args:
        model: A causal language model of transformers.
        rows: (n,) batch indices; a position may occur several times.
        columns: (n,) sequence indices.
    """

    def gather(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden = args[0]  # (batch, seq, d)
        # Not `hidden[rows, columns]`: where a position counts twice, several threads would add up its gradient.
        places = (rows * hidden.shape[1] + columns).to(hidden.device)  # (n,)
        return hidden.flatten(0, 1).index_select(0, places).unsqueeze(0), *args[1:]  # (1, n, d)

    handle = model.get_output_embeddings().register_forward_pre_hook(gather)  # type: ignore[operator]
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def only_at(module: nn.Module, rows: Tensor, columns: Tensor) -> Iterator[None]:
    """Run a module that treats each position by itself (an MLP) at some positions only; elsewhere it gives zeros.

    Args:
        module: Takes and gives (batch, seq, d).
        rows: (n,) batch indices; a position may occur several times.
        columns: (n,) sequence indices.
    """
    shape: list[int] = []  # (batch, seq) of the pass that is under way

    def places(tensor: Tensor) -> Tensor:
        different: Tensor = torch.unique(rows * shape[1] + columns)
        return different.to(tensor.device)  # (places,)

    def gather(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        shape[:] = args[0].shape[:2]
        return args[0].flatten(0, 1).index_select(0, places(args[0])).unsqueeze(0), *args[1:]  # (1, places, d)

    def scatter(module: nn.Module, args: Any, output: Tensor) -> Tensor:
        everywhere = output.new_zeros(shape[0] * shape[1], output.shape[-1])
        return everywhere.index_copy(0, places(output), output[0]).view(*shape, -1)  # (batch, seq, d)

    handles = [module.register_forward_pre_hook(gather), module.register_forward_hook(scatter)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _skip(state: Tensor | None, as_tuple: bool) -> Callable[..., Any]:
    def forward(*args: Any, **kwargs: Any) -> Any:
        hidden: Tensor = args[0] if args else kwargs["hidden_states"]
        passed = hidden
        if state is not None:
            if state.shape != hidden.shape:
                raise ValueError(f"the stored state has shape {tuple(state.shape)}, not {tuple(hidden.shape)}")
            passed = state.to(device=hidden.device, dtype=hidden.dtype)
        return (passed, None) if as_tuple else passed

    return forward


def _restore(block: nn.Module, forward: Any) -> None:
    if forward is None:
        block.__dict__.pop("forward", None)
    else:  # an accelerate hook or another wrapper had set its own
        block.forward = forward
