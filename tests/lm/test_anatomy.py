"""The table describes every family as transformers really builds it, and refuses what it cannot describe."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import (
    CONFIG_MAPPING,
    BertConfig,
    BertLMHeadModel,
    DbrxConfig,
    GPTNeoXJapaneseConfig,
    GPTNeoXJapaneseForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
)

from families import ALIKE, CONTEXT, D_FF, LAYERS, D, tiny_model
from families import FAMILIES as TESTED
from kgedit.errors import NoSuchLayer, PluginError, UnsupportedModel
from kgedit.lm.anatomy import FAMILIES, Anatomy, anatomy_of, context_length, families, to_math
from kgedit.lm.hooks import capture

IDS = torch.tensor([[5, 9, 30, 11]])


def test_every_row_of_the_table_is_tested() -> None:
    assert set(FAMILIES) == {*TESTED, *ALIKE}


@pytest.mark.parametrize("family", FAMILIES)
def test_paths_lead_to_what_they_name(family: str) -> None:
    model, _ = tiny_model(family)
    row = anatomy_of(model)
    assert row.n_layers(model) == LAYERS
    assert model.get_submodule(row.head_path) is model.get_output_embeddings()
    assert "norm" in type(model.get_submodule(row.final_norm_path)).__name__.lower()
    assert row.weight(model, 2) is dict(model.named_parameters())[row.weight_name(2)]
    assert to_math(row.weight(model, 2), row.conv1d).shape == (D, D_FF)
    assert context_length(model) == CONTEXT


@pytest.mark.parametrize("family", FAMILIES)
def test_flags_describe_what_the_block_computes(family: str) -> None:
    """Zeroing a block's attention output changes its key exactly where the block is sequential."""
    model, _ = tiny_model(family)
    row = anatomy_of(model)

    def key() -> torch.Tensor:
        with torch.no_grad(), capture({"k": row.mlp_out(model, 1)}, inputs=True) as found:
            model(input_ids=IDS)
        return found["k"]

    before = key()
    outputs: list[object] = []
    row.block(model, 1).register_forward_hook(lambda module, args, output: outputs.append(output))
    [attention] = [child for child in row.block(model, 1).children() if "attention" in type(child).__name__.lower()]
    attention.register_forward_hook(lambda module, args, out: (torch.zeros_like(out[0]), *out[1:]))
    assert torch.equal(key(), before) == row.parallel
    assert isinstance(outputs[0], tuple) == row.block_tuple
    names = {name for name, _ in row.block(model, 0).named_parameters()}
    assert any("gate" in name for name in names) == row.gated


@pytest.mark.parametrize(("family", "usual"), [("gpt_neox", True), ("stablelm", False)])
def test_the_config_says_whether_a_block_is_parallel_where_the_family_has_both(family: str, usual: bool) -> None:
    assert FAMILIES[family].parallel == usual
    model, _ = tiny_model(family, use_parallel_residual=not usual)
    assert anatomy_of(model).parallel != usual


@pytest.mark.parametrize("layer", [-1, LAYERS])
def test_a_layer_outside_the_model_is_refused(layer: int) -> None:
    model, _ = tiny_model("llama")
    row = anatomy_of(model)
    for ask in (row.block, row.mlp_out, row.weight):
        with pytest.raises(NoSuchLayer, match=rf"layer {layer} does not exist.*0 to 2"):
            ask(model, layer)


def test_an_unknown_family_says_what_a_row_needs() -> None:
    config = BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=50, is_decoder=True)
    with pytest.raises(
        UnsupportedModel, match=r"'bert'.*known are gpt2, .*kgedit\.families.*anatomy\.py.*families\.py"
    ):
        anatomy_of(BertLMHeadModel(config))


JAPANESE = Anatomy(
    "gpt_neox_japanese",
    blocks_path="gpt_neox_japanese.layers",
    mlp_out_path="mlp.dense_4h_to_h",
    final_norm_path="gpt_neox_japanese.final_layer_norm",
    head_path="embed_out",
    block_tuple=True,
)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts a distribution that declares one family on the path, as an installer would."""
    monkeypatch.syspath_prepend(tmp_path)

    def _install(family: str, place: str) -> None:
        folder = tmp_path / "example-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: example\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[kgedit.families]\n{family} = {place}\n")

    return _install


def test_a_plugin_adds_a_family(install) -> None:
    sizes = {"hidden_size": D, "intermediate_multiple_size": 2, "num_hidden_layers": LAYERS, "vocab_size": 50}
    model = GPTNeoXJapaneseForCausalLM(GPTNeoXJapaneseConfig(**sizes, num_attention_heads=4))
    with pytest.raises(UnsupportedModel, match="'gpt_neox_japanese' is unknown"):
        anatomy_of(model)
    install("gpt_neox_japanese", f"{__name__}:JAPANESE")
    assert list(families()) == [*FAMILIES, "gpt_neox_japanese"]
    row = anatomy_of(model)
    assert to_math(row.weight(model, LAYERS - 1), row.conv1d).shape == (D, 2 * D)
    with pytest.raises(UnsupportedModel, match="known are gpt2, .*gpt_neox_japanese"):
        anatomy_of(BertLMHeadModel(BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2)))


def test_a_plugin_that_is_no_row_of_its_name_is_refused(install) -> None:
    install("other", f"{__name__}:JAPANESE")
    with pytest.raises(PluginError, match="no Anatomy of family 'other'"):
        families()


def test_a_mixture_of_experts_is_named_as_such() -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "vocab_size": 50}
    config = MixtralConfig(**sizes, num_local_experts=4)
    with pytest.raises(UnsupportedModel, match=r"'mixtral' is a mixture of experts \(4 in a block\)"):
        anatomy_of(MixtralForCausalLM(config))
    nested = nn.Module()
    nested.config = DbrxConfig(ffn_config={"moe_num_experts": 16})
    with pytest.raises(UnsupportedModel, match=r"'dbrx' is a mixture of experts \(16 in a block\)"):
        anatomy_of(nested)
    # Doge's config names a number of experts in a dense model, too.
    for is_moe, said in ((True, "'doge' is a mixture of experts"), (False, "the model family 'doge' is unknown")):
        nested.config = CONFIG_MAPPING["doge"](is_moe=is_moe)
        with pytest.raises(UnsupportedModel, match=said):
            anatomy_of(nested)


class _Quantised(nn.Linear):
    """What bitsandbytes and others put in place of a Linear."""


def test_layers_that_cannot_be_edited_are_refused_by_name() -> None:
    quantised, _ = tiny_model("llama")
    quantised.model.layers[2].mlp.down_proj = _Quantised(D_FF, D)
    with pytest.raises(UnsupportedModel, match=r"layer 2 .*_Quantised"):
        anatomy_of(quantised)

    experts, _ = tiny_model("llama")
    experts.model.layers[1].mlp = nn.ModuleDict({"experts": nn.ModuleList()})
    with pytest.raises(UnsupportedModel, match=r"layer 1 .*mixture of experts"):
        anatomy_of(experts)

    unloaded, _ = tiny_model("llama")
    unloaded.model.layers[0].to("meta")
    with pytest.raises(UnsupportedModel, match="meta"):
        anatomy_of(unloaded)

    swapped, _ = tiny_model("gpt2")
    swapped.transformer.h[1].mlp.c_proj = nn.Linear(D_FF, D)
    with pytest.raises(UnsupportedModel, match=r"layer 1 .*Linear, not a plain Conv1D"):
        anatomy_of(swapped)

    post_norm, _ = tiny_model("opt", do_layer_norm_before=False)
    with pytest.raises(UnsupportedModel, match="opt-350m"):
        anatomy_of(post_norm)


def test_wrapped_models_are_refused_with_the_way_out() -> None:
    model, _ = tiny_model("llama")
    with pytest.raises(UnsupportedModel, match="compiled"):
        anatomy_of(torch.compile(model))
    with pytest.raises(UnsupportedModel, match=r"pass its \.module"):
        anatomy_of(nn.DataParallel(model))
    with pytest.raises(UnsupportedModel, match="causal language model"):
        anatomy_of(model.model)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft still asks for it
def test_a_model_with_adapters_is_refused_with_the_way_out() -> None:
    model, _ = tiny_model("llama")
    adapted = get_peft_model(model, LoraConfig(r=1, target_modules=["down_proj"]))
    with pytest.raises(UnsupportedModel, match="merge_and_unload"):
        anatomy_of(adapted)
