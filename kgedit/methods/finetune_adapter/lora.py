"""A LoRA adapter around a model for the length of a `with` block, and its factors as a delta and back.

dW = (alpha / r) B A (LoRA, Hu et al., ICLR 2022, arXiv 2106.09685, section 4.1), so a delta's factors are left = A^T
and right = (alpha / r) B, exactly.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kgedit.delta import Delta, LowRankDelta, WeightUpdate
from kgedit.errors import MissingExtra, SettingError
from kgedit.lm.hooks import frozen

Factors = Mapping[str, tuple[Tensor, Tensor]]  # weight -> A (r, d_in), B (d_out, r)


@contextmanager
def lora(
    model: PreTrainedModel,
    *,
    rank: int,
    scale: float,
    modules: tuple[str, ...] | str,
    seed: int,
    begin: Factors | None = None,
    dropout: float = 0.0,
) -> Iterator[Any]:
    """The model with a LoRA adapter; at the end it is as it was: modules, weights, gradient flags, random state.

    Args:
        model: The model.
        rank: r.
        scale: alpha / r.
        modules: Names of the changed modules as peft takes them: a suffix each, or "all-linear"; "attention" for those
            that peft has for the family.
        seed: Draws A and what is dropped; B is zero.
        begin: Factors to begin with instead.
        dropout: Share of the adapter's inputs that is dropped while the body runs.

    Raises:
        MissingExtra: peft is not installed.
        SettingError: peft has no modules for the family.
    """
    peft = load_peft()
    with frozen(model), torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = peft.LoraConfig(
            r=rank,
            lora_alpha=rank * scale,
            target_modules=_targets(modules),
            lora_dropout=dropout,
            task_type="CAUSAL_LM",
            fan_in_fan_out=any(type(module).__name__ == "Conv1D" for module in model.modules()),
        )
        with warnings.catch_warnings():
            # Of peft's, about a name that transformers has changed; nothing that a user could fix.
            warnings.simplefilter("ignore", FutureWarning)
            try:
                adapter = peft.get_peft_model(model, config)
            except ValueError as error:
                _take_out(model)  # peft replaces one module after the other
                raise SettingError(
                    f"peft cannot put an adapter on the modules {modules!r} of a {model.config.model_type} model "
                    f"({error}); name them, or set finetune-adapter:modules=all-linear"
                ) from error
        for name, module in adapter.named_modules():
            if name.endswith("lora_dropout"):
                module.train()  # all else is in evaluation mode
        try:
            for name, (a, b) in (begin or {}).items():
                layer = adapter.get_submodule(f"base_model.model.{name.removesuffix('.weight')}")
                with torch.no_grad():
                    layer.lora_A["default"].weight.copy_(a)
                    layer.lora_B["default"].weight.copy_(b)
            yield adapter
        finally:
            adapter.unload()
            if hasattr(model, "peft_config"):
                del model.peft_config


def _take_out(model: PreTrainedModel) -> None:
    """Put the bare modules back where peft stopped half-way."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    adapted = {name: module for name, module in model.named_modules() if isinstance(module, BaseTunerLayer)}
    for name, module in adapted.items():
        model.set_submodule(name, module.get_base_layer())
    if hasattr(model, "peft_config"):
        del model.peft_config


def factors_of(adapter: Any) -> Factors:
    """A and B of every adapted weight, by the weight's name in the bare model."""
    factors: dict[str, tuple[Tensor, Tensor]] = {}
    for name, module in adapter.named_modules():
        if hasattr(module, "lora_A") and "default" in module.lora_A:
            weight = f"{name.removeprefix('base_model.model.')}.weight"
            a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
            factors[weight] = a.detach().clone(), b.detach().clone()
    return factors


def updates_of(factors: Factors, model: PreTrainedModel, scale: float) -> tuple[WeightUpdate, ...]:
    """The factors as updates of the bare model's weights, in the order of their names."""
    return tuple(
        WeightUpdate(name, a.T, b * scale, _is_conv1d(model, name)) for name, (a, b) in sorted(factors.items())
    )


def factors_from(delta: Delta, scale: float) -> Factors:
    """The factors of a delta that `updates_of` made.

    Raises:
        TypeError: The delta is of another kind.
    """
    if not isinstance(delta, LowRankDelta):
        raise TypeError(f"an adapter is trained further from a low-rank delta, not from a {type(delta).__name__}")
    return {update.name: (update.left.T, update.right / scale) for update in delta.updates}


def load_peft() -> Any:
    """The library peft.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        import peft
    except ImportError as error:
        raise MissingExtra("the method finetune-adapter needs peft: pip install 'kgedit[peft]'") from error
    return peft


def _targets(modules: tuple[str, ...] | str) -> list[str] | str | None:
    if modules in ("attention", ("attention",)):
        return None  # peft's own table
    return modules if isinstance(modules, str) else list(modules)


def _is_conv1d(model: PreTrainedModel, weight: str) -> bool:
    return type(model.get_submodule(weight.removesuffix(".weight"))).__name__ == "Conv1D"
