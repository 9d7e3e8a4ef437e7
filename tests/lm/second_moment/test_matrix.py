"""The solve is exact or refused; the file is whole, the right one, or refused."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from torch import Tensor

from kgedit.errors import FileCorrupt, IllConditioned, MomentError, MomentMismatch, SaveFailed
from kgedit.lm.second_moment.matrix import SecondMoment, load, save

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


def test_a_file_gives_back_what_was_saved(tmp_path: Path) -> None:
    moment = _moment(_sample(1000))
    path = tmp_path / "new folder" / "layer.safetensors"
    save(moment, path)
    got = load(path, key=KEY, weights="0a")
    assert torch.equal(got.matrix, moment.matrix)
    assert (got.layer, got.count, got.key) == (moment.layer, moment.count, moment.key)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_statistics_of_something_else_are_refused_with_both_keys(tmp_path: Path) -> None:
    path = tmp_path / "layer.safetensors"
    save(_moment(_sample(1000)), path)
    other = KEY.replace("length=64", "length=65")
    with pytest.raises(MomentMismatch) as refused:
        load(path, key=other)
    assert KEY in str(refused.value)
    assert other in str(refused.value)
    for weights in ("0", "0b", "0a1"):
        with pytest.raises(MomentMismatch, match=rf"weights=0a corpus.*\[weights={weights}\]"):
            load(path, weights=weights)


def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "layer.safetensors"
    save(_moment(_sample(50, width=3)), path)
    good = path.read_bytes()
    for place in range(len(good)):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        try:
            got = load(path)
        except FileCorrupt:
            continue
        # A changed blank of the header's padding is the only thing that may pass, as it changes nothing.
        assert torch.equal(got.matrix, _moment(_sample(50, width=3)).matrix)
        assert (got.layer, got.count, got.key) == (3, 1000, KEY)


@pytest.mark.parametrize("length", [0, 4, 100, -1])
def test_a_cut_file_is_noticed(tmp_path: Path, length: int) -> None:
    path = tmp_path / "layer.safetensors"
    save(_moment(_sample(1000)), path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(FileCorrupt, match="layer.safetensors"):
        load(path)


def test_missing_and_unwritable_places_are_errors_of_our_own(tmp_path: Path) -> None:
    with pytest.raises(MomentError, match="does not exist"):
        load(tmp_path / "none.safetensors")
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveFailed):
        save(_moment(_sample(1000)), tmp_path / "file" / "layer.safetensors")
