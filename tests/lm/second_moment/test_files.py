"""The file of a second moment is whole and the right one, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from kgedit.errors import FileCorrupt, MomentError, MomentMismatch, SaveFailed
from kgedit.lm.second_moment.files import load_moment, save_moment
from kgedit.lm.second_moment.matrix import SecondMoment

KEY = "weights=0a corpus=1b length=64 skip_first=0"


def _sample(count: int, width: int = 12) -> Tensor:
    keys = torch.randn(count, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return keys.T @ keys / count


def _moment(matrix: Tensor, count: int = 1000) -> SecondMoment:
    return SecondMoment(3, matrix.float(), count, KEY)


def test_a_file_gives_back_what_was_saved(tmp_path: Path) -> None:
    moment = _moment(_sample(1000))
    path = tmp_path / "new folder" / "layer.safetensors"
    save_moment(moment, path)
    got = load_moment(path, key=KEY, weights="0a")
    assert torch.equal(got.matrix, moment.matrix)
    assert (got.layer, got.count, got.key) == (moment.layer, moment.count, moment.key)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_statistics_of_something_else_are_refused_with_both_keys(tmp_path: Path) -> None:
    path = tmp_path / "layer.safetensors"
    save_moment(_moment(_sample(1000)), path)
    other = KEY.replace("length=64", "length=65")
    with pytest.raises(MomentMismatch) as refused:
        load_moment(path, key=other)
    assert KEY in str(refused.value)
    assert other in str(refused.value)
    for weights in ("0", "0b", "0a1"):
        with pytest.raises(MomentMismatch, match=rf"weights=0a corpus.*\[weights={weights}\]"):
            load_moment(path, weights=weights)


def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "layer.safetensors"
    save_moment(_moment(_sample(50, width=3)), path)
    good = path.read_bytes()
    for place in range(len(good)):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        try:
            got = load_moment(path)
        except FileCorrupt:
            continue
        # A changed blank of the header's padding is the only thing that may pass, as it changes nothing.
        assert torch.equal(got.matrix, _moment(_sample(50, width=3)).matrix)
        assert (got.layer, got.count, got.key) == (3, 1000, KEY)


@pytest.mark.parametrize("length", [0, 4, 100, -1])
def test_a_cut_file_is_noticed(tmp_path: Path, length: int) -> None:
    path = tmp_path / "layer.safetensors"
    save_moment(_moment(_sample(1000)), path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(FileCorrupt, match="layer.safetensors"):
        load_moment(path)


def test_missing_and_unwritable_places_are_errors_of_our_own(tmp_path: Path) -> None:
    with pytest.raises(MomentError, match="does not exist"):
        load_moment(tmp_path / "none.safetensors")
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveFailed):
        save_moment(_moment(_sample(1000)), tmp_path / "file" / "layer.safetensors")
