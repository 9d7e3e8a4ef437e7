"""The solve is exact or refused."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from kgedit.errors import IllConditioned
from kgedit.lm.second_moment import matrix
from kgedit.lm.second_moment.matrix import SecondMoment

KEY = "weights=0a corpus=1b length=64 skip_first=0"


def _sample(count: int, width: int = 12) -> Tensor:
    keys = torch.randn(count, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return keys.T @ keys / count


def _moment(matrix: Tensor, count: int = 1000) -> SecondMoment:
    return SecondMoment(3, matrix.float(), count, KEY)


def test_solve_is_the_inverse_up_to_the_ridge() -> None:
    moment = _moment(_sample(1000))
    keys = torch.randn(4, 12, generator=torch.Generator().manual_seed(1))
    got = moment.solve(keys)
    assert got.dtype == torch.float64
    assert got.shape == (4, 12)
    wide = moment.matrix.double()
    ridge = 1e-6 * wide.diagonal().mean() * torch.eye(12, dtype=torch.float64)
    torch.testing.assert_close(got @ (wide + ridge), keys.double(), rtol=1e-10, atol=1e-10)
    assert torch.equal(moment.solve(keys), got)
    assert moment.solve(keys[:0]).shape == (0, 12)


def test_a_ridge_of_zero_solves_with_the_matrix_itself() -> None:
    matrix = torch.diag(torch.tensor([1e-9, 1.0, 2.0]))
    keys = torch.eye(3)
    found = SecondMoment(0, matrix, 1000, "k", ridge=0.0).solve(keys)
    assert torch.allclose(found.diagonal(), torch.tensor([1e9, 1.0, 0.5], dtype=torch.float64))
    # With the ridge of 1e-6 the smallest direction counts a thousand times less.
    assert float(SecondMoment(0, matrix, 1000, "k").solve(keys)[0, 0]) == pytest.approx(1 / (1e-9 + 1e-6), rel=1e-3)


def test_too_few_tokens_are_solved_with_and_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        got = _moment(_sample(5), count=5).solve(torch.ones(1, 12))
    assert torch.isfinite(got).all()
    assert "layer 3 is weak: 5 tokens where 120 or more" in caplog.text
    assert "condition number at least" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        _moment(_sample(1000)).solve(torch.ones(1, 12))
    assert caplog.text == ""


def test_the_ridge_grows_until_the_matrix_is_positive_definite(caplog: pytest.LogCaptureFixture) -> None:
    """Rounding to float32 can push small eigenvalues below zero, beyond what 1e-6 repairs."""
    matrix = torch.diag(torch.tensor([2.0, 1.0, 1.0, -1e-4]))
    with caplog.at_level(logging.WARNING):
        got = _moment(matrix).solve(torch.eye(4)[:1])
    assert got[0, 0] == pytest.approx(0.5, rel=1e-3)
    assert "ridge 0.001" in caplog.text


@pytest.mark.parametrize(
    ("matrix", "says"),
    [
        (torch.zeros(4, 4), "zero or not finite"),
        (torch.full((4, 4), torch.nan), "zero or not finite"),
        (torch.diag(torch.tensor([1.0, 1.0, torch.inf])), "zero or not finite"),
        (torch.diag(torch.tensor([1.0, 1.0, -1.0, 1.0])), "eigenvalues from -0.99"),
    ],
)
def test_what_cannot_be_solved_names_the_layer(matrix: Tensor, says: str) -> None:
    with pytest.raises(IllConditioned, match=rf"layer 3.*{says}"):
        _moment(matrix).solve(torch.ones(1, len(matrix)))


def test_a_key_that_is_not_finite_is_refused() -> None:
    with pytest.raises(IllConditioned, match="key of layer 3 is not finite"):
        _moment(_sample(100)).solve(torch.tensor([[torch.inf] * 12]))


@pytest.mark.parametrize("band", [5, 12, 100])
def test_the_factor_is_that_of_the_symmetric_part(band: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix, "_BAND", band)
    c = _sample(1000).float()
    c[0, -1] += 1e-3
    kept = c.clone()
    factor, ridge, _ = matrix.ridged_factor(c, 0.0)
    assert torch.equal(c, kept)
    assert ridge == 0
    torch.testing.assert_close(factor @ factor.T, (c.double() + c.double().T) / 2, rtol=1e-12, atol=1e-14)


def test_beside_c_one_matrix_in_float64_exists_while_the_factor_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix, "_BAND", 16)
    places: set[int] = set()

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            found = func(*args, **(kwargs or {}))
            for one in found if isinstance(found, tuple) else (found,):
                if isinstance(one, Tensor) and one.dtype == torch.float64 and one.numel() >= 64 * 64:
                    places.add(one.data_ptr())
            return found

    c = _sample(1000, 64).float()
    with Watch():
        assert matrix.ridged_factor(c) is not None
    assert len(places) == 1
