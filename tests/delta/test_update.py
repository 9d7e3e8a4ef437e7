"""One weight's change: orientation, arithmetic, norm, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from families import FAMILIES, tiny_model
from kgedit.delta import WeightUpdate
from kgedit.errors import EditDiverged, UnsupportedModel, WrongBase
from kgedit.lm.anatomy import anatomy_of

GPT2_WEIGHT = "transformer.h.0.mlp.c_proj.weight"


@pytest.mark.parametrize("family", FAMILIES)
def test_the_edited_matrix_maps_a_key_to_its_value_plus_the_change(family, make_delta) -> None:
    """m = W k + b through the model's own module, whichever way it stores W; the bias is not touched."""
    model, _ = tiny_model(family)
    delta = make_delta(model, layers=(1,), rank=3)
    module = anatomy_of(model).mlp_out(model, 1)
    key = torch.randn(88, generator=torch.Generator().manual_seed(1))
    before = module(key)
    delta.apply(model)
    update = delta.updates[0]
    expected = before + update.right @ (update.left.T @ key)
    torch.testing.assert_close(module(key), expected, rtol=1e-5, atol=1e-5)


def test_norm_is_that_of_the_dense_change() -> None:
    generator = torch.Generator().manual_seed(0)
    update = WeightUpdate("a.weight", torch.randn(9, 4, generator=generator), torch.randn(5, 4, generator=generator))
    assert update.norm() == pytest.approx(float(torch.linalg.matrix_norm(update.dense().double())), rel=1e-6)


def test_norm_of_columns_that_cancel_is_zero() -> None:
    left, right = torch.ones(3, 2), torch.tensor([[1.0, -1.0]] * 4)
    assert WeightUpdate("a.weight", left, right).norm() == 0.0


def test_factors_are_copies() -> None:
    left, right = torch.ones(3, 1), torch.ones(2, 1)
    update = WeightUpdate("a.weight", left, right)
    left.zero_()
    assert torch.equal(update.left, torch.ones(3, 1))


def test_factors_of_any_precision_become_float32() -> None:
    update = WeightUpdate("a.weight", torch.ones(3, 1).double(), torch.ones(2, 1).half())
    assert update.left.dtype == update.right.dtype == torch.float32


def test_arithmetic_is_float32_even_inside_autocast() -> None:
    generator = torch.Generator().manual_seed(0)
    update = WeightUpdate("a.weight", torch.randn(64, 8, generator=generator), torch.randn(16, 8, generator=generator))
    weight = torch.randn(16, 64, generator=generator)
    plain = update.added_to(weight)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(update.added_to(weight), plain)


def test_one_cast_on_write_and_its_loss_is_reported() -> None:
    """In bfloat16, 1 + 0.001 is 1 again: the whole change is lost, and that is said."""
    update = WeightUpdate("a.weight", torch.ones(4, 1), torch.full((2, 1), 1e-3))
    weight = torch.ones(2, 4, dtype=torch.bfloat16)
    assert torch.equal(update.edited(weight), weight)
    assert update.rounding(weight) == pytest.approx(1.0, rel=1e-3)
    assert update.rounding(weight.float()) == 0.0


def test_overflow_in_half_precision_is_refused() -> None:
    update = WeightUpdate("a.weight", torch.full((4, 1), 300.0), torch.full((2, 1), 300.0))
    with pytest.raises(EditDiverged, match=r"a\.weight.*float16.*9e\+04"):
        update.edited(torch.ones(2, 4, dtype=torch.float16))


@pytest.mark.parametrize(
    ("left", "right"),
    [((3, 1), (2, 2)), ((3,), (2, 1)), ((3, 0), (2, 0)), ((0, 1), (2, 1)), ((3, 1, 1), (2, 1))],
)
def test_factors_that_do_not_fit_together(left, right) -> None:
    with pytest.raises(ValueError, match="must be"):
        WeightUpdate("a.weight", torch.ones(left), torch.ones(right))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_factors_that_diverged(bad) -> None:
    with pytest.raises(EditDiverged, match=r"right factor of a\.weight"):
        WeightUpdate("a.weight", torch.ones(3, 1), torch.tensor([[1.0], [bad]]))


@pytest.mark.parametrize("name", ["", "weight", "../a.weight", "a/b.weight", "a..weight", "a.weight\n"])
def test_impossible_names(name) -> None:
    with pytest.raises(ValueError, match="is not the name of a parameter"):
        WeightUpdate(name, torch.ones(3, 1), torch.ones(2, 1))


def test_the_wrong_orientation_is_an_error_even_for_a_square_matrix() -> None:
    model, _ = tiny_model("gpt2", n_inner=32)
    update = WeightUpdate(GPT2_WEIGHT, torch.ones(32, 1), torch.ones(32, 1), conv1d=False)
    with pytest.raises(UnsupportedModel, match="Conv1D.*conv1d=True"):
        update.check_fits(model)


def test_another_shape_is_another_model(gpt2: nn.Module) -> None:
    update = WeightUpdate(GPT2_WEIGHT, torch.ones(89, 1), torch.ones(32, 1), conv1d=True)
    with pytest.raises(WrongBase, match=r"\(89, 32\).*\(88, 32\)"):
        update.check_fits(gpt2)
