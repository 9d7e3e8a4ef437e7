"""Apply, take back, refuse another base, combine."""

from __future__ import annotations

import pytest
import torch

from families import FAMILIES, tiny_model
from kgedit.delta import LowRankDelta, WeightUpdate, compose, hash_weights
from kgedit.delta.low_rank import columns, side_by_side
from kgedit.errors import EditDiverged, UnsupportedModel, WeightsChanged, WrongBase
from kgedit.lm.anatomy import anatomy_of

HALVES = [torch.float32, torch.bfloat16, torch.float16]


def snapshot(model) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def same(model, before) -> bool:
    return all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_apply_changes_only_its_weights_and_revert_is_bit_exact(family, dtype, make_delta) -> None:
    model = tiny_model(family)[0].to(dtype)
    before = snapshot(model)
    delta = make_delta(model, layers=(0, 2), rank=2)
    applied = delta.apply(model)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == set(delta.names)
    applied.revert()
    assert same(model, before)
    applied.revert()
    assert same(model, before)


@pytest.mark.parametrize("dtype", HALVES, ids=str)
def test_the_written_weight_is_the_float32_sum_cast_once(dtype, gpt2, make_delta) -> None:
    model = gpt2.to(dtype)
    delta = make_delta(model)
    name, dense = delta.names[0], delta.updates[0].dense()
    wide = model.get_parameter(name).detach().float() + dense.T  # Conv1D
    delta.apply(model)
    written = model.get_parameter(name).detach()
    assert written.dtype == dtype
    torch.testing.assert_close(written.float(), wide, rtol=torch.finfo(dtype).eps, atol=1e-6)


def test_the_context_manager_takes_back_whatever_happens_inside(gpt2, make_delta) -> None:
    before, delta = snapshot(gpt2), make_delta(gpt2)

    def interrupted() -> None:
        with delta.apply(gpt2):
            assert not same(gpt2, before)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert same(gpt2, before)


def test_flags_gradients_mode_and_identity_stay(gpt2, make_delta) -> None:
    gpt2.train()
    weight = gpt2.get_parameter("transformer.h.0.mlp.c_proj.weight")
    weight.grad = torch.ones_like(weight)
    gpt2.get_parameter("transformer.h.1.mlp.c_proj.weight").requires_grad_(False)
    with make_delta(gpt2, layers=(0, 1)).apply(gpt2):
        assert gpt2.get_parameter("transformer.h.0.mlp.c_proj.weight") is weight
    assert gpt2.training
    assert weight.requires_grad
    assert torch.equal(weight.grad, torch.ones_like(weight))
    assert not gpt2.get_parameter("transformer.h.1.mlp.c_proj.weight").requires_grad


def test_reverting_beneath_another_edit_is_refused_and_changes_nothing(gpt2, make_delta) -> None:
    before = snapshot(gpt2)
    first = make_delta(gpt2, seed=1).apply(gpt2)
    second = make_delta(gpt2, seed=2).apply(gpt2)
    both = snapshot(gpt2)
    with pytest.raises(WeightsChanged, match="another edit"):
        first.revert()
    assert same(gpt2, both)
    second.revert()
    first.revert()
    assert same(gpt2, before)


def test_another_base_is_refused_with_both_hashes(gpt2, make_delta) -> None:
    other = tiny_model("gpt2", seed=1)[0]
    delta, before = make_delta(gpt2), snapshot(other)
    with pytest.raises(WrongBase) as caught:
        delta.apply(other)
    assert delta.base_hash in str(caught.value)
    assert hash_weights(other, delta.names) in str(caught.value)
    assert same(other, before)
    with delta.apply(other, check=False):
        assert not same(other, before)


def test_only_the_edited_weights_make_the_base(gpt2, make_delta) -> None:
    """A fine-tune that left the edited matrix alone is still the same base for this edit."""
    delta = make_delta(gpt2)
    with torch.no_grad():
        gpt2.transformer.h[2].attn.c_attn.weight.zero_()
    delta.check_base(gpt2)


def test_a_model_of_another_family_is_refused(gpt2, llama, make_delta) -> None:
    with pytest.raises(UnsupportedModel, match="LlamaForCausalLM"):
        make_delta(gpt2).apply(llama)


def test_overflow_leaves_every_layer_as_it_was(gpt2, make_delta) -> None:
    """The first layer's change fits, the second one's does not: neither is written."""
    model = gpt2.half()
    small, large = make_delta(model, layers=(0,)), make_delta(model, layers=(1,), scale=1e6)
    delta = compose(small, large, base_hash=hash_weights(model, (*small.names, *large.names)))
    before = snapshot(model)
    with pytest.raises(EditDiverged, match="unchanged"):
        delta.apply(model)
    assert same(model, before)


def test_norms_are_relative_to_the_weight(gpt2, make_delta) -> None:
    delta = make_delta(gpt2, layers=(0, 1), rank=3)
    for update in delta.updates:
        weight = gpt2.get_parameter(update.name).detach()
        expected = float(update.dense().norm() / weight.norm())
        assert delta.norms(gpt2)[update.name] == pytest.approx(expected, rel=1e-5)


def test_the_id_is_the_content(gpt2, make_delta) -> None:
    delta = make_delta(gpt2, layers=(0, 1), manifest={"seed": 1})
    again = LowRankDelta(delta.updates[::-1], "0" * 64, {"seed": 2})
    assert again.id == delta.id
    assert len({delta.id, make_delta(gpt2, layers=(0, 1), seed=1).id, make_delta(gpt2).id}) == 3
    update = delta.updates[0]
    turned = WeightUpdate(update.name, update.left, update.right, not update.conv1d)
    assert LowRankDelta((turned,), "", {}).id != LowRankDelta((update,), "", {}).id


def test_composing_adds_ranks_and_is_the_sum(gpt2, make_delta) -> None:
    first, second = make_delta(gpt2, rank=2, seed=1), make_delta(gpt2, rank=3, seed=2)
    both = compose(first, second)
    assert both.rank == 5
    assert both.base_hash == first.base_hash
    update, (one,), (two,) = both.updates[0], first.updates, second.updates
    assert torch.equal(update.left, torch.cat([one.left, two.left], dim=1))
    torch.testing.assert_close(update.dense(), one.dense() + two.dense(), rtol=1e-5, atol=1e-5)
    assert [part["id"] for part in both.manifest["composed"]] == [first.id, second.id]


def test_composing_a_composition_lists_its_parts_flat(gpt2, make_delta) -> None:
    deltas = [make_delta(gpt2, seed=seed, manifest={"seed": seed}) for seed in range(3)]
    both = compose(compose(deltas[0], deltas[1]), deltas[2])
    assert [part["manifest"]["seed"] for part in both.manifest["composed"]] == [0, 1, 2]


def test_composing_over_different_layers_needs_the_base(gpt2, make_delta) -> None:
    first, second = make_delta(gpt2, layers=(0,)), make_delta(gpt2, layers=(1,))
    with pytest.raises(ValueError, match="base_hash"):
        compose(first, second)
    both = compose(first, second, base_hash=hash_weights(gpt2, (*first.names, *second.names)))
    with both.apply(gpt2):
        assert both.names == first.names + second.names


def test_composing_across_models_is_refused(gpt2, make_delta) -> None:
    wide = tiny_model("gpt2", n_inner=96)[0]
    with pytest.raises(ValueError, match="different models"):
        compose(make_delta(gpt2), make_delta(wide))
    with pytest.raises(ValueError, match="at least one"):
        compose()


@pytest.mark.parametrize("manifest", [{"x": float("nan")}, {"x": object()}, {"x": "\ud800"}, {"x": {1, 2}}])
def test_a_manifest_that_cannot_be_kept_is_refused_at_once(gpt2, make_delta, manifest) -> None:
    with pytest.raises(ValueError, match="plain JSON"):
        make_delta(gpt2, manifest=manifest)


def test_a_delta_names_each_weight_once(gpt2, make_delta) -> None:
    update = make_delta(gpt2).updates[0]
    for updates in [(), (update, update)]:
        with pytest.raises(ValueError, match="each weight once"):
            LowRankDelta(updates, "")


def test_the_orientation_of_every_family_comes_out_right(make_delta) -> None:
    """Only GPT-2 stores its matrix transposed; the delta's flag must say so for it alone."""
    flags = {family: anatomy_of(tiny_model(family)[0]).conv1d for family in FAMILIES}
    assert [family for family, conv1d in flags.items() if conv1d] == ["gpt2"]


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_joint_write_is_the_sum_of_its_columns() -> None:
    joint = LowRankDelta((WeightUpdate("a.weight", draw(6, 3), draw(4, 3, seed=9)),), "base", {"method": "memit"})
    parts = columns(joint, {"a.weight": (0, 1, 2)})
    total = sum((part.updates[0].dense() for part in parts), torch.zeros(4, 6))
    assert torch.allclose(total, joint.updates[0].dense(), atol=1e-6)
    assert [part.manifest["column"] for part in parts] == [0, 1, 2]
    assert len({part.id for part in parts}) == 3
    with pytest.raises(ValueError, match="the rank 2"):
        columns(joint, {"a.weight": (0, 1)})


def test_an_edit_takes_the_column_of_its_inverse_along() -> None:
    joint = LowRankDelta((WeightUpdate("a.weight", draw(6, 3), draw(4, 3, seed=9)),), "base", {})
    first, second = columns(joint, {"a.weight": (0, 1, 0)})
    assert (first.rank, second.rank) == (2, 1)
    total = first.updates[0].dense() + second.updates[0].dense()
    assert torch.allclose(total, joint.updates[0].dense(), atol=1e-6)


def test_an_edit_without_a_column_on_a_weight_leaves_that_weight_alone() -> None:
    early = WeightUpdate("a.weight", draw(6, 2), draw(4, 2, seed=9))
    late = WeightUpdate("b.weight", draw(6, 3, seed=1), draw(4, 3, seed=2))
    first, second = columns(LowRankDelta((early, late), "base", {}), {"a.weight": (0, 1), "b.weight": (1, 1, 1)})
    assert (first.names, second.names) == (("a.weight",), ("a.weight", "b.weight"))
    assert torch.equal(second.updates[1].left, late.left)
    assert torch.equal(first.updates[0].right, early.right[:, :1])


def test_columns_go_back_side_by_side_in_the_order_of_their_edits() -> None:
    whole = WeightUpdate("a.weight", draw(6, 3), draw(4, 3, seed=9))
    two = WeightUpdate("a.weight", whole.left[:, [0, 2]], whole.right[:, [0, 2]])
    one = WeightUpdate("a.weight", whole.left[:, [1]], whole.right[:, [1]])
    (found,) = side_by_side([(two,), (one,)], [[0, 2], [1]])
    assert torch.equal(found.left, whole.left)
    assert torch.equal(found.right, whole.right)
