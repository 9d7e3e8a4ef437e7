"""The table of model families: where each keeps the modules that an edit reads or writes.

Notation: the MLP of a block computes m = W k + b, with key k (d_ff), value m (d) and W of shape (d, d_ff).
`mlp_out` is the module that holds W: its input is k, its output is m, bias included.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from kgedit.delta.in_context import longest_text, tokens_read_first
from kgedit.delta.weights import editable_weight, editable_weights
from kgedit.errors import NoSuchLayer, PluginError, UnsupportedModel
from kgedit.io.plugins import load_plugin, plugins


@dataclass(frozen=True, slots=True)
class Anatomy:
    """One row of the table: where a family keeps its parts, and the shape of its blocks.

    Attributes:
        family: Hugging Face `config.model_type`.
        blocks_path: The list of blocks, from the model.
        mlp_out_path: The second MLP matrix, from the block.
        final_norm_path: The norm before the head, from the model.
        head_path: The language-model head, from the model.
        conv1d: W is stored transposed, (d_ff, d), in a `Conv1D`.
        parallel: Attention and MLP both read the block's input: the key does not see that attention.
        gated: k = act(gate x) * (up x).
        post_mlp_path: A norm between m and the residual stream, from the block, if the family has one.
        residual_scale: Field of the config with the factor between m and the residual stream, if there is one.
        block_tuple: The block returns a tuple whose first item is the hidden state, instead of a tensor.
    """

    family: str
    blocks_path: str
    mlp_out_path: str
    final_norm_path: str
    head_path: str
    conv1d: bool = False
    parallel: bool = False
    gated: bool = False
    post_mlp_path: str | None = None
    residual_scale: str | None = None
    block_tuple: bool = False

    def blocks(self, model: nn.Module) -> list[nn.Module]:
        """All blocks in order."""
        return list(model.get_submodule(self.blocks_path).children())

    def n_layers(self, model: nn.Module) -> int:
        """Number of blocks."""
        return len(self.blocks(model))

    def block(self, model: nn.Module, layer: int) -> nn.Module:
        """Block number `layer`, counted from 0.

        Raises:
            NoSuchLayer: `layer` is negative, or not below the number of blocks.
        """
        blocks = self.blocks(model)
        if not 0 <= layer < len(blocks):
            raise NoSuchLayer(
                f"layer {layer} does not exist: this {self.family} model has layers 0 to {len(blocks) - 1}. "
                "Choose one of them."
            )
        return blocks[layer]

    def mlp_out(self, model: nn.Module, layer: int) -> nn.Module:
        """The module that holds W: input k (..., d_ff), output m (..., d) including the bias."""
        return self.block(model, layer).get_submodule(self.mlp_out_path)

    def mlp(self, model: nn.Module, layer: int) -> nn.Module | None:
        """The module around W that maps the state before the MLP to m; None where the block itself is all there is."""
        path = self.mlp_out_path.rpartition(".")[0]
        return self.block(model, layer).get_submodule(path) if path else None

    def weight_name(self, layer: int) -> str:
        """Full parameter name of W, as in `model.named_parameters()`."""
        return f"{self.blocks_path}.{layer}.{self.mlp_out_path}.weight"

    def weight(self, model: nn.Module, layer: int) -> nn.Parameter:
        """W as stored: (d_ff, d) in a `Conv1D`, else (d, d_ff); see `to_math`."""
        self.block(model, layer)
        return editable_weight(model, self.weight_name(layer))

    def residual_factor(self, model: nn.Module) -> float:
        """By what the block multiplies m before adding it to the residual stream; 1 in most families."""
        return float(getattr(model.config, self.residual_scale)) if self.residual_scale else 1.0

    def shifted(self, model: nn.Module, layer: int, state: Tensor, mlp: Tensor, offset: Tensor) -> Tensor:
        """Output of a block whose MLP output is moved by an offset; differentiable in the offset.

        Args:
            model: The model.
            layer: The block.
            state: Output of the unmodified block, (..., d).
            mlp: Output m of the unmodified MLP at the same positions, (..., d).
            offset: What is added to m, broadcast to (..., d).

        Returns:
            (..., d): `state + offset`, the offset scaled as the family scales m, and through the norm behind m where
            the family has one.
        """
        moved = offset
        if self.post_mlp_path is not None:
            post = self.block(model, layer).get_submodule(self.post_mlp_path)
            moved = post(mlp + offset) - post(mlp)  # (..., d)
        return state + self.residual_factor(model) * moved


def _decoder(family: str, **differences: Any) -> Anatomy:
    """A family built like Llama, but for the given fields."""
    like_llama = Anatomy(
        family=family,
        blocks_path="model.layers",
        mlp_out_path="mlp.down_proj",
        final_norm_path="model.norm",
        head_path="lm_head",
        gated=True,
    )
    return replace(like_llama, **differences)


_POST_NORM = "post_feedforward_layernorm"


_ROWS = (
    Anatomy(
        "gpt2",
        blocks_path="transformer.h",
        mlp_out_path="mlp.c_proj",
        final_norm_path="transformer.ln_f",
        head_path="lm_head",
        conv1d=True,
    ),
    Anatomy(
        "gptj",
        blocks_path="transformer.h",
        mlp_out_path="mlp.fc_out",
        final_norm_path="transformer.ln_f",
        head_path="lm_head",
        parallel=True,
        block_tuple=True,
    ),
    Anatomy(
        "gpt_neox",
        blocks_path="gpt_neox.layers",
        mlp_out_path="mlp.dense_4h_to_h",
        final_norm_path="gpt_neox.final_layer_norm",
        head_path="lm_head",
        parallel=True,
    ),
    Anatomy(
        "opt",
        blocks_path="model.decoder.layers",
        mlp_out_path="fc2",
        final_norm_path="model.decoder.final_layer_norm",
        head_path="lm_head",
    ),
    Anatomy(
        "gpt_bigcode",
        blocks_path="transformer.h",
        mlp_out_path="mlp.c_proj",
        final_norm_path="transformer.ln_f",
        head_path="lm_head",
    ),
    Anatomy(
        "gpt_neo",
        blocks_path="transformer.h",
        mlp_out_path="mlp.c_proj",
        final_norm_path="transformer.ln_f",
        head_path="lm_head",
        block_tuple=True,
    ),
    Anatomy(
        "codegen",
        blocks_path="transformer.h",
        mlp_out_path="mlp.fc_out",
        final_norm_path="transformer.ln_f",
        head_path="lm_head",
        parallel=True,
        block_tuple=True,
    ),
    Anatomy(
        "biogpt",
        blocks_path="biogpt.layers",
        mlp_out_path="fc2",
        final_norm_path="biogpt.layer_norm",
        head_path="output_projection",
    ),
    _decoder("llama"),
    _decoder("mistral"),
    _decoder("qwen2"),
    _decoder("qwen3"),
    _decoder("gemma"),
    _decoder("gemma2", post_mlp_path=_POST_NORM),
    _decoder("gemma3_text", post_mlp_path=_POST_NORM),
    _decoder("phi3"),
    _decoder("smollm3"),
    _decoder("olmo2", post_mlp_path=_POST_NORM),
    _decoder("granite", residual_scale="residual_multiplier"),
    _decoder("cohere", parallel=True),
    _decoder("apertus", gated=False),
    _decoder("arcee", gated=False),
    _decoder("cohere2", parallel=True),
    _decoder("cwm"),
    _decoder("diffllama"),
    _decoder("ernie4_5"),
    _decoder("exaone4", post_mlp_path=_POST_NORM),
    _decoder("glm"),
    _decoder("glm4", post_mlp_path="post_mlp_layernorm"),
    _decoder("granite_swa", residual_scale="residual_multiplier"),
    _decoder("helium"),
    _decoder("hunyuan_v1_dense"),
    _decoder("hyperclovax", post_mlp_path="post_norm2", residual_scale="residual_multiplier"),
    _decoder("internlm3"),
    _decoder("iquestcoder"),
    _decoder("jais2", gated=False),
    _decoder("ministral"),
    _decoder("ministral3"),
    _decoder("nanochat", mlp_out_path="mlp.fc2", gated=False),
    _decoder("nemotron", gated=False),
    _decoder("olmo"),
    _decoder("olmo3", post_mlp_path=_POST_NORM),
    _decoder("persimmon", mlp_out_path="mlp.dense_4h_to_h", final_norm_path="model.final_layernorm", gated=False),
    _decoder("phi", mlp_out_path="mlp.fc2", final_norm_path="model.final_layernorm", gated=False, parallel=True),
    _decoder("seed_oss"),
    _decoder("stablelm"),
    _decoder("starcoder2", mlp_out_path="mlp.c_proj", gated=False),
    _decoder("vaultgemma"),
    _decoder("xglm", mlp_out_path="fc2", final_norm_path="model.layer_norm", gated=False),
    _decoder("youtu"),
)

FAMILIES: Mapping[str, Anatomy] = MappingProxyType({row.family: row for row in _ROWS})
"""The built-in families by `config.model_type`."""

GROUP = "kgedit.families"
"""Entry-point group in which other distributions declare families: model_type = "module:attribute", an `Anatomy`."""


def families() -> dict[str, Anatomy]:
    """Model type -> its row: the built-in families, then those of plugins.

    Raises:
        PluginError: A plugin cannot be loaded, takes a name that is given already, or is no `Anatomy` of its name.
    """
    rows = dict(FAMILIES)
    for name, entry in plugins(GROUP, FAMILIES).items():
        row = load_plugin(entry)
        if not isinstance(row, Anatomy) or row.family != name:
            raise PluginError(
                f"the entry point {name!r} of {GROUP} names {entry.value!r}, which is no Anatomy of family {name!r} "
                f"but {row!r}; correct that distribution, or uninstall it"
            )
        rows[name] = row
    return rows


def anatomy_of(model: nn.Module) -> Anatomy:
    """The row of the table for this model, checked against the modules that the model really has.

    Raises:
        UnsupportedModel: Wrapped model, unknown family, or a block whose MLP output matrix is missing
            (mixture of experts), quantised, not loaded, or of another kind than the row says.
    """
    _refuse_wrapped(model)
    config = getattr(model, "config", None)
    family = str(getattr(config, "model_type", type(model).__name__))
    # Plugins are looked for only where the built-in table does not do.
    known = FAMILIES if family in FAMILIES else families()
    if family not in known and (experts := _experts(config)):
        raise mixture_of_experts(repr(family), experts)
    if family not in known:
        raise UnsupportedModel(
            f"the model family {family!r} is unknown; known are {', '.join(known)}. To add it, write an Anatomy: the "
            "paths of blocks, second MLP matrix, final norm and head; whether that matrix is a Conv1D, the block "
            f"parallel, the MLP gated, a norm behind it. Declare it as entry point of {GROUP}, or as a row in "
            "kgedit/lm/anatomy.py with a tiny config in tests/families.py."
        )
    row = known[family]
    if family in ("gpt_neox", "stablelm"):
        row = replace(row, parallel=bool(getattr(config, "use_parallel_residual", row.parallel)))
    if family == "opt" and not getattr(config, "do_layer_norm_before", True):
        raise UnsupportedModel(
            "this OPT model has its norms behind the residual sums (do_layer_norm_before=False: opt-350m), "
            "which the edits here do not account for; choose another OPT size"
        )
    try:
        blocks = row.blocks(model)
    except AttributeError as error:
        raise UnsupportedModel(
            f"{type(model).__name__} has no {row.blocks_path!r}: pass the causal language model itself"
        ) from error
    for layer, block in enumerate(blocks):
        _check_matrix(row, layer, block)
    editable_weights(model, [row.weight_name(layer) for layer in range(len(blocks))])
    return row


def _experts(config: object) -> int:
    """Number of experts in a block, by whatever name the config has it; 0 for a dense model."""
    if getattr(config, "is_moe", None) is False:  # Doge names the number in any case
        return 0
    names = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
    parts = (config, getattr(config, "ffn_config", None))  # DBRX has it in a config within
    return max(int(getattr(part, name, None) or 0) for part in parts for name in names)


def mixture_of_experts(model: str, experts: int) -> UnsupportedModel:
    """The error of a model whose blocks have several MLPs.

    Args:
        model: What it is called in the message.
        experts: How many a block has.
    """
    return UnsupportedModel(
        f"{model} is a mixture of experts ({experts} in a block): which of their matrices a fact passes "
        "through changes from token to token, so no single matrix holds it. Choose a dense model."
    )


def to_math(weight: Tensor, conv1d: bool) -> Tensor:
    """A stored weight as a view in math orientation, (d, d_ff) with m = W k; the same call turns it back."""
    return weight.T if conv1d else weight


def context_length(model: nn.Module) -> int:
    """How many tokens of a text the model can read; a large number when its config does not say."""
    return longest_text(model) - tokens_read_first(model)


def _refuse_wrapped(model: nn.Module) -> None:
    if hasattr(model, "_orig_mod"):
        raise UnsupportedModel("the model is compiled (torch.compile): pass the model from before compiling")
    if hasattr(model, "peft_config"):
        raise UnsupportedModel("the model carries PEFT adapters: merge them (merge_and_unload) and pass the result")
    if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        raise UnsupportedModel(f"the model is wrapped in {type(model).__name__}: pass its .module")


def _check_matrix(row: Anatomy, layer: int, block: nn.Module) -> None:
    """Refuse a block whose W cannot be edited, naming the layer and what it is instead."""
    where = f"layer {layer} of this {row.family} model"
    try:
        module = block.get_submodule(row.mlp_out_path)
    except AttributeError as error:
        raise UnsupportedModel(
            f"{where} has no {row.mlp_out_path!r} (a mixture of experts, or another variant of the family); "
            "only models with one MLP per block can be edited"
        ) from error
    expected = Conv1D if row.conv1d else nn.Linear
    # Quantised and adapter layers subclass nn.Linear, so the class must be exactly this one.
    if type(module) is not expected:
        raise UnsupportedModel(
            f"{where}: {row.mlp_out_path} is a {type(module).__module__}.{type(module).__name__}, not a "
            f"plain {expected.__name__} (quantised, or with an adapter); load the model without either"
        )
