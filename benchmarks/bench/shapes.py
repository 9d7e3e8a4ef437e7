"""The models that are measured: the bundled one, smollm2 where it was fetched, and random weights of known shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPTJConfig, LlamaConfig

from benchmarks.baseline import explicit_inverse
from kg_cache.settings import Settings
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.load import load_model
from kgedit.lm.prefixes import PrefixPlan, sample_prefixes
from kgedit.lm.second_moment.matrix import SecondMoment
from kgedit.lm.sources.catalogue import FETCHABLE
from kgedit.lm.sources.fetch import fetched_file
from kgedit.methods.base import Workbench
from kgedit.mini import MINI, mini_folder

TEMPLATES: Mapping[int, str] = MappingProxyType({21: "5x10+10x10", 5: "5x2+10x2"})  # with the bare prompt -> plan
_RANK = 64  # of what makes the random second moments more than a diagonal


@dataclass(frozen=True)
class Plan:
    """What a shape is: where it is edited, and what makes it.

    Attributes:
        layer: Edit layer.
        band: MEMIT's layers.
        repr_layer: GLAME's layer of representations.
        ending: Learned behind the new object.
        clamp: ROME's bound; the bundled model is small and needs a wide one.
        config: Of a random model; None for one that is loaded by its name.
        gpu: Only measured on a GPU, in bfloat16.
        most: Edits of a batch at most.
    """

    layer: int
    band: tuple[int, ...]
    repr_layer: int
    ending: str = ""
    clamp: float = 4.0
    config: Callable[[], Any] | None = None
    gpu: bool = False
    most: int = 100


PLANS: Mapping[str, Plan] = MappingProxyType(
    {
        MINI: Plan(1, (1, 2, 3), 1, ".", 30.0),
        "smollm2": Plan(6, (2, 3, 4, 5, 6), 4),
        "gpt2": Plan(5, (3, 4, 5), 3, config=GPT2Config),
        "gpt2-medium": Plan(8, (6, 7, 8), 5, config=lambda: GPT2Config(n_embd=1024, n_layer=24, n_head=16)),
        "gpt2-xl": Plan(
            17, (13, 14, 15, 16, 17), 5, config=lambda: GPT2Config(n_embd=1600, n_layer=48, n_head=25), gpu=True
        ),
        "gpt-j": Plan(5, (3, 4, 5, 6, 7, 8), 3, config=GPTJConfig, gpu=True, most=32),
        "llama-8b": Plan(
            5,
            (4, 5, 6, 7, 8),
            3,
            config=lambda: LlamaConfig(
                hidden_size=4096,
                intermediate_size=14336,
                num_hidden_layers=32,
                num_attention_heads=32,
                num_key_value_heads=8,
                vocab_size=128256,
                max_position_embeddings=8192,
            ),
            gpu=True,
            most=32,
        ),
    }
)


class Shape:
    """A model in evaluation mode without gradients, with statistics that serve both sides."""

    def __init__(self, name: str) -> None:
        """Load or make the model."""
        self.name, self.plan = name, PLANS[name]
        device, dtype = ("cuda", torch.bfloat16) if self.plan.gpu else ("cpu", torch.float32)
        if self.plan.config is None:
            self.model, self.tokenizer = load_model(name, dtype=dtype)
        else:
            torch.manual_seed(0)
            with torch.device(device):
                self.model = AutoModelForCausalLM.from_config(self.plan.config(), dtype=dtype).eval()
            self.tokenizer = AutoTokenizer.from_pretrained(mini_folder())
        self.model.requires_grad_(False)
        self.anatomy = anatomy_of(self.model)
        self._prefixes: dict[int, Sequence[str]] = {}

    @property
    def tolerance(self) -> float:
        """How far two results of the same arithmetic may be apart, in float32; a GPU adds up in varying order."""
        return 5e-3 if self.plan.gpu else 1e-4

    @contextmanager
    def in_float32(self) -> Iterator[None]:
        """The same weights in float32 for the length of a `with` block: bfloat16 has too few digits to compare in."""
        stored = self.model.dtype
        try:
            self._cast(torch.float32)
            yield
        finally:
            self._cast(stored)

    def _cast(self, dtype: torch.dtype) -> None:
        """Parameters alone: a table of positions stays as it is."""
        for parameter in self.model.parameters():
            parameter.data = parameter.data.to(dtype)

    @cached_property
    def moment(self) -> SecondMoment:
        """Random statistics, positive definite: a diagonal and something of low rank."""
        generator = torch.Generator().manual_seed(1)
        weight = self.anatomy.weight(self.model, 0)
        d_ff = weight.shape[0 if self.anatomy.conv1d else 1]
        wide = torch.randn(d_ff, _RANK, generator=generator)
        matrix = torch.diag(1 + torch.rand(d_ff, generator=generator)) + wide @ wide.T / _RANK
        return SecondMoment(self.plan.layer, matrix, 100 * d_ff, "random")

    @cached_property
    def inverse(self) -> Tensor:
        """C^-1, which the published code makes once for each layer."""
        return explicit_inverse(self.moment.matrix.to(self.model.device), self.moment.ridge).cpu()

    def prefixes(self, templates: int) -> Sequence[str]:
        """So many context prefixes, the bare prompt among them."""
        if templates not in self._prefixes:
            plan = PrefixPlan.parse(TEMPLATES[templates], ())
            self._prefixes[templates] = sample_prefixes(self.model, self.tokenizer, plan)
        return self._prefixes[templates]

    def workbench(self, templates: int) -> Workbench:
        """What a method of the package works with."""
        layers = range(len(self.anatomy.blocks(self.model)))
        return Workbench(self.model, self.tokenizer, dict.fromkeys(layers, self.moment), self.prefixes(templates))


def available(name: str) -> str:
    """Why a shape cannot be measured here; empty where it can."""
    if PLANS[name].gpu and not torch.cuda.is_available():
        return "needs a GPU"
    if name in FETCHABLE and not fetched_file(FETCHABLE[name], Settings().cache_dir).is_file():
        return f"was not fetched; `kgedit models fetch {name}` gets it"
    return ""
