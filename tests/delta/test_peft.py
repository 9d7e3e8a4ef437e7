"""An exported adapter, loaded by peft itself, is the edit."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from safetensors import safe_open
from torch import nn

from families import FAMILIES, tiny_model
from kgedit.delta import DeltaStack, LowRankDelta, WeightUpdate, compose, hash_weights
from kgedit.errors import SaveFailed, UnsupportedExport, UnsupportedModel, WrongBase
from kgedit.lm.anatomy import anatomy_of

peft = pytest.importorskip("peft")
# peft itself asks a model for this attribute, which transformers renamed; nothing here does.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")


def delta_of(model, ranks: dict[int, int], seed=0) -> LowRankDelta:
    """A random delta: layer -> rank."""
    generator = torch.Generator().manual_seed(seed)
    anatomy = anatomy_of(model)
    updates = tuple(
        WeightUpdate(
            anatomy.weight_name(layer),
            torch.randn(88, rank, generator=generator),
            0.05 * torch.randn(32, rank, generator=generator),
            anatomy.conv1d,
        )
        for layer, rank in ranks.items()
    )
    return LowRankDelta(updates, hash_weights(model, [update.name for update in updates]))


@torch.no_grad()
def logits(model) -> torch.Tensor:
    ids = torch.arange(5, 45).view(4, 10)
    return model(input_ids=ids).logits


def close(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5 * float(other.abs().max()))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_adapter_has_the_logits_of_the_edited_model(family, tmp_path) -> None:
    model, _ = tiny_model(family)
    unedited = logits(model)
    delta = delta_of(model, {0: 1, 1: 3, 2: 3})  # padded to one rank
    delta.export(model, tmp_path)
    with delta.apply(model):
        edited = logits(model)
    assert not torch.allclose(edited, unedited, atol=1e-2)

    loaded = peft.PeftModel.from_pretrained(model, tmp_path)
    close(logits(loaded), edited)
    with loaded.disable_adapter():
        assert torch.equal(logits(loaded), unedited)
    merged = loaded.merge_and_unload()
    close(logits(merged), edited)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_merging_gives_the_edited_weights_and_touches_nothing_else(family, tmp_path) -> None:
    model, _ = tiny_model(family)
    delta = delta_of(model, {1: 2})
    delta.export(model, tmp_path)
    expected = copy.deepcopy(model)
    delta.apply(expected)
    merged = peft.PeftModel.from_pretrained(model, tmp_path).merge_and_unload()
    wanted = expected.state_dict()
    assert merged.state_dict().keys() == wanted.keys()
    for name, value in merged.state_dict().items():
        if name in delta.names:
            torch.testing.assert_close(value, wanted[name], rtol=1e-6, atol=1e-6)
        else:  # biases of the edited layers among them
            assert torch.equal(value, wanted[name])


def test_layer_1_is_not_taken_for_layer_11(tmp_path) -> None:
    model, _ = tiny_model("gpt2", n_layer=12)
    delta = delta_of(model, {1: 1, 11: 2, 2: 2})
    delta.export(model, tmp_path)
    with delta.apply(model):
        edited = logits(model)
    loaded = peft.PeftModel.from_pretrained(model, tmp_path)
    close(logits(loaded), edited)
    touched = {name.split(".h.")[1].split(".")[0] for name, _ in loaded.named_parameters() if "lora_A" in name}
    assert touched == {"1", "2", "11"}


def test_several_edits_in_force_are_exported_as_one(tmp_path) -> None:
    model, _ = tiny_model("gpt2")
    unedited = copy.deepcopy(model)
    stack = DeltaStack(model)
    for seed in range(4):
        stack.apply(delta_of(model, {seed % 2: 1}, seed=seed))
    stack.revert(stack.ids[1])
    stack.composed().export(model, tmp_path)
    edited = logits(model)
    close(logits(peft.PeftModel.from_pretrained(unedited, tmp_path)), edited)


def test_the_files_are_what_peft_expects_and_say_where_they_come_from(tmp_path) -> None:
    model, _ = tiny_model("gpt2")
    delta = delta_of(model, {0: 2, 1: 2, 2: 1})
    assert delta.export(model, tmp_path / "new") == tmp_path / "new"
    config = json.loads((tmp_path / "new" / "adapter_config.json").read_text())
    assert config["target_modules"] == [f"transformer.h.{layer}.mlp.c_proj" for layer in range(3)]
    assert (config["r"], config["lora_alpha"], config["fan_in_fan_out"]) == (2, 2, True)
    assert not config.get("rank_pattern")
    assert not config.get("alpha_pattern")
    with safe_open(tmp_path / "new" / "adapter_model.safetensors", framework="pt") as file:
        assert file.metadata()["kgedit_base_hash"] == delta.base_hash
        assert file.metadata()["kgedit_delta"] == delta.id
        assert torch.equal(
            file.get_tensor("base_model.model.transformer.h.0.mlp.c_proj.lora_A.weight"),
            delta.updates[0].left.T,
        )
        padded = file.get_tensor("base_model.model.transformer.h.2.mlp.c_proj.lora_B.weight")
        assert torch.equal(padded, torch.cat([delta.updates[2].right, torch.zeros(32, 1)], dim=1))
    # Every key is one that this peft knows: an unknown one would be dropped with a warning only.
    assert set(config) <= set(peft.LoraConfig().to_dict())


def test_the_model_is_not_changed_by_exporting(tmp_path) -> None:
    model, _ = tiny_model("llama")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    delta_of(model, {0: 1}).export(model, tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_model_in_half_precision_takes_the_adapter(tmp_path) -> None:
    model = tiny_model("llama")[0].to(torch.bfloat16)
    delta = delta_of(model, {1: 2})
    delta.export(model, tmp_path)
    with delta.apply(model):
        edited = logits(model).float()
    loaded = logits(peft.PeftModel.from_pretrained(model, tmp_path)).float()
    assert float((loaded - edited).norm() / edited.norm()) < 0.03


def test_what_lora_cannot_hold_is_refused_and_nothing_is_written(tmp_path) -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Bilinear(2, 3, 4)
            self.other = nn.ParameterDict({"matrix": nn.Parameter(torch.ones(2, 3))})

    update = WeightUpdate("other.matrix", torch.ones(3, 1), torch.ones(2, 1))
    with pytest.raises(UnsupportedExport, match=r"other\.matrix.*ParameterDict"):
        LowRankDelta((update,), "").export(Odd(), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_both_orientations_in_one_adapter_are_refused(tmp_path) -> None:
    both = nn.Module()
    both.one, both.two = tiny_model("gpt2")[0], tiny_model("llama")[0]
    first, second = delta_of(both.one, {0: 1}).updates[0], delta_of(both.two, {0: 1}).updates[0]
    updates = (
        WeightUpdate(f"one.{first.name}", first.left, first.right, True),
        WeightUpdate(f"two.{second.name}", second.left, second.right, False),
    )
    with pytest.raises(UnsupportedExport, match="separate adapters"):
        LowRankDelta(updates, "").export(both, tmp_path)


def test_a_model_that_the_delta_does_not_fit_is_refused(tmp_path) -> None:
    gpt2, llama = tiny_model("gpt2")[0], tiny_model("llama")[0]
    with pytest.raises(UnsupportedModel, match="no parameter"):
        delta_of(gpt2, {0: 1}).export(llama, tmp_path)
    with pytest.raises(WrongBase, match="shape"):
        delta_of(gpt2, {0: 1}).export(tiny_model("gpt2", n_inner=96)[0], tmp_path)


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path) -> None:
    model, _ = tiny_model("gpt2")
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(SaveFailed, match="taken"):
        compose(delta_of(model, {0: 1})).export(model, tmp_path / "taken")


def test_a_linear_combination_of_two_adapters_loads_again_and_is_the_sum(tmp_path) -> None:
    model, _ = tiny_model("gpt2")
    pristine, edited = copy.deepcopy(model), copy.deepcopy(model)
    for number, ranks in enumerate(({0: 1, 1: 1, 2: 7}, {0: 7, 1: 1, 2: 7})):
        delta = delta_of(model, ranks, seed=number)
        delta.export(model, tmp_path / str(number))
        delta.apply(edited, check=False)
    both = peft.PeftModel.from_pretrained(model, tmp_path / "0", adapter_name="first")
    both.load_adapter(tmp_path / "1", adapter_name="second")
    both.add_weighted_adapter(["first", "second"], [1.0, 1.0], "sum", combination_type="cat")
    both.save_pretrained(tmp_path / "saved", selected_adapters=["sum"])
    close(logits(peft.PeftModel.from_pretrained(pristine, tmp_path / "saved" / "sum")), logits(edited))


def test_every_reader_with_one_rank_and_alpha_scales_by_one(tmp_path) -> None:
    model, _ = tiny_model("gpt2", n_layer=5)
    delta_of(model, {0: 1, 1: 1, 2: 1, 3: 7, 4: 7}).export(model, tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    with safe_open(tmp_path / "adapter_model.safetensors", framework="pt") as file:
        ranks = {file.get_slice(key).get_shape()[0] for key in file.keys() if "lora_A" in key}  # noqa: SIM118
    assert ranks == {7} == {config["r"], config["lora_alpha"]}


def test_a_folder_of_this_machine_is_not_published(tmp_path) -> None:
    model, _ = tiny_model("gpt2")
    home = tmp_path / "somebody" / "my-model"
    model.save_pretrained(home)
    loaded = type(model).from_pretrained(home)
    delta_of(loaded, {0: 1}).export(loaded, tmp_path / "adapter")
    written = (tmp_path / "adapter" / "adapter_config.json").read_text()
    assert json.loads(written)["base_model_name_or_path"] == "my-model"
    assert str(tmp_path) not in written
