"""Sums of products of keys: a triangle is computed, a whole symmetric matrix is given out."""

from __future__ import annotations

import pytest
import torch

from kgedit.lm.second_moment import checkpoint
from kgedit.lm.second_moment.checkpoint import Sums


@pytest.mark.parametrize("band", [5, 13, 512])
def test_the_sum_is_whole_exactly_symmetric_and_float64(band, monkeypatch) -> None:
    monkeypatch.setattr(checkpoint, "_BAND", band)
    generator = torch.Generator().manual_seed(0)
    first, second, third = (torch.randn(7, 13, generator=generator) for _ in range(3))
    sums = Sums(0, 0, b"", {})
    for keys, half in ((first, 0), (second, 0), (third, 1)):
        sums.add("3", half, keys)
    products = [keys.double().T @ keys.double() for keys in (first, second, third)]
    torch.testing.assert_close(sums.half(3, 0), products[0] + products[1], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(sums.half(3, 1), products[2], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(sums.total(3), sum(products), rtol=1e-5, atol=1e-5)
    assert torch.equal(sums.total(3), sums.total(3).T)
    assert sums.total(3).dtype == torch.float64
