"""Which parameters may be edited, and hashes that tell weights apart."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from families import FAMILIES, tiny_model
from kgedit.delta.weights import digest, editable_weight, hash_weights, write_weights
from kgedit.errors import UnsupportedModel
from kgedit.lm.anatomy import anatomy_of

GPT2_WEIGHT = "transformer.h.0.mlp.c_proj.weight"


@pytest.mark.parametrize("family", FAMILIES)
def test_the_mlp_output_matrix_of_every_family_can_be_edited(family) -> None:
    model, _ = tiny_model(family)
    name = anatomy_of(model).weight_name(0)
    assert editable_weight(model, name) is model.get_parameter(name)


def test_all_layers_are_checked_with_one_list_of_the_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = tiny_model("llama")
    lists: list[object] = []
    named = model.named_parameters
    monkeypatch.setattr(model, "named_parameters", lambda *given, **more: lists.append(given) or named(*given, **more))
    anatomy = anatomy_of(model)
    names = [anatomy.weight_name(layer) for layer in range(3)]
    assert len(lists) == 1
    hash_weights(model, names)
    assert len(lists) == 2


def test_a_compiled_model_shows_the_same_parameter() -> None:
    model, _ = tiny_model("gpt2")
    assert editable_weight(torch.compile(model), GPT2_WEIGHT) is editable_weight(model, GPT2_WEIGHT)


def test_a_missing_parameter_names_itself() -> None:
    model, _ = tiny_model("gpt2")
    with pytest.raises(UnsupportedModel, match=r"no parameter 'transformer\.h\.9\.mlp\.c_proj\.weight'"):
        editable_weight(model, "transformer.h.9.mlp.c_proj.weight")


def test_a_wrapped_model_is_not_edited_by_guess() -> None:
    model, _ = tiny_model("gpt2")
    with pytest.raises(UnsupportedModel, match="unwrapped"):
        editable_weight(nn.Sequential(model), GPT2_WEIGHT)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("name", ["transformer.wte.weight", "lm_head.weight"])
def test_embedding_and_head_are_refused_tied_or_not(name, tied) -> None:
    model, _ = tiny_model("gpt2", tie_word_embeddings=tied)
    with pytest.raises(UnsupportedModel, match="token embedding or the LM head"):
        editable_weight(model, name)


def test_two_blocks_that_share_a_weight_are_refused() -> None:
    model, _ = tiny_model("gpt2")
    model.transformer.h[2].mlp.c_proj.weight = model.transformer.h[0].mlp.c_proj.weight
    with pytest.raises(UnsupportedModel, match=r"tied weights.*") as caught:
        editable_weight(model, GPT2_WEIGHT)
    assert "transformer.h.2.mlp.c_proj.weight" in str(caught.value)


def test_a_block_used_twice_is_refused() -> None:
    model, _ = tiny_model("gpt2")
    model.transformer.h[2].mlp = model.transformer.h[0].mlp
    with pytest.raises(UnsupportedModel, match="tied weights"):
        editable_weight(model, GPT2_WEIGHT)


def test_a_weight_on_the_meta_device_is_refused() -> None:
    model = tiny_model("gpt2")[0].to("meta")
    with pytest.raises(UnsupportedModel, match="meta device"):
        editable_weight(model, GPT2_WEIGHT)


def test_an_integer_weight_is_refused() -> None:
    model, _ = tiny_model("gpt2")
    module = model.transformer.h[0].mlp.c_proj
    module.weight = nn.Parameter(module.weight.detach().to(torch.int8), requires_grad=False)
    with pytest.raises(UnsupportedModel, match="int8.*quantised"):
        editable_weight(model, GPT2_WEIGHT)


def test_a_parameter_of_a_quantising_library_is_refused() -> None:
    class Params4bit(nn.Parameter):
        pass

    model, _ = tiny_model("gpt2")
    module = model.transformer.h[0].mlp.c_proj
    module.weight = Params4bit(module.weight.detach())
    with pytest.raises(UnsupportedModel, match="Params4bit"):
        editable_weight(model, GPT2_WEIGHT)


def test_an_expert_bank_is_refused() -> None:
    module = nn.Module()
    module.experts = nn.ParameterDict({"down": nn.Parameter(torch.ones(4, 3, 2))})
    with pytest.raises(UnsupportedModel, match=r"\(4, 3, 2\).*mixture of experts"):
        editable_weight(module, "experts.down")


def test_the_hash_sees_one_flipped_bit_and_the_sign_of_zero() -> None:
    model, _ = tiny_model("gpt2")
    names = [GPT2_WEIGHT]
    weight = model.get_parameter(GPT2_WEIGHT)
    before = hash_weights(model, names)
    with torch.no_grad():
        bits = weight.view(torch.int32)
        bits[3, 5] ^= 1
        assert hash_weights(model, names) != before
        bits[3, 5] ^= 1
        assert hash_weights(model, names) == before
    assert digest("a", torch.zeros(1)) != digest("a", -torch.zeros(1))


def test_the_hash_covers_name_shape_and_dtype_but_not_the_order_or_the_layout() -> None:
    zeros = torch.zeros(2, 6)
    assert digest("a", zeros) != digest("b", zeros)
    assert digest("a", zeros) != digest("a", zeros.view(3, 4))
    assert digest("a", zeros.half()) != digest("a", zeros.bfloat16())
    ramp = torch.arange(12.0).view(3, 4)
    assert digest("a", ramp.T) == digest("a", ramp.T.contiguous())
    model, _ = tiny_model("gpt2")
    names = [GPT2_WEIGHT, "transformer.h.1.mlp.c_proj.weight"]
    assert hash_weights(model, names) == hash_weights(model, names[::-1])


def test_an_interrupted_write_leaves_all_weights_as_they_were() -> None:
    model, _ = tiny_model("gpt2")
    names = [GPT2_WEIGHT, "transformer.h.1.mlp.c_proj.weight"]
    before = hash_weights(model, names)
    weights = {name: editable_weight(model, name) for name in names}
    values = {names[0]: torch.zeros(88, 32), names[1]: torch.zeros(7, 7)}  # the second cannot be copied
    with pytest.raises(RuntimeError):
        write_weights(weights, values)
    assert hash_weights(model, names) == before
