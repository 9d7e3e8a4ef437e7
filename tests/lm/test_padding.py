"""Rows stand where they were told to, count positions from their own beginning, and their padding is masked."""

from __future__ import annotations

import pytest
import torch

from families import tiny_tokenizer
from kgedit.lm.padding import align, pad, pad_id, position_ids


@pytest.mark.parametrize(("side", "ids", "mask"), [
    ("left", [[9, 1, 2], [4, 5, 6], [9, 9, 9]], [[0, 1, 1], [1, 1, 1], [0, 0, 0]]),
    ("right", [[1, 2, 9], [4, 5, 6], [9, 9, 9]], [[1, 1, 0], [1, 1, 1], [0, 0, 0]]),
])  # fmt: skip
def test_pad(side: str, ids: list[list[int]], mask: list[list[int]]) -> None:
    got = pad([(1, 2), (4, 5, 6), ()], 9, side)
    assert torch.equal(got[0], torch.tensor(ids))
    assert torch.equal(got[1], torch.tensor(mask))


def test_pad_id_falls_back() -> None:
    tok = tiny_tokenizer()
    assert pad_id(tok) == tok.pad_token_id
    tok.pad_token = None
    assert pad_id(tok) == tok.eos_token_id
    tok.eos_token = None
    assert pad_id(tok) == 0


def test_align_puts_the_chosen_tokens_into_one_column() -> None:
    ids, mask, column = align([(1, 2, 3, 4), (5, 6), (7,)], [2, 0, 0], 9)
    assert column == 2
    assert ids.tolist() == [[1, 2, 3, 4], [9, 9, 5, 6], [9, 9, 7, 9]]
    assert mask.tolist() == [[1, 1, 1, 1], [0, 0, 1, 1], [0, 0, 1, 0]]
    assert position_ids(mask).tolist() == [[0, 1, 2, 3], [0, 0, 0, 1], [0, 0, 0, 0]]


def test_an_empty_batch_has_no_columns() -> None:
    ids, mask, column = align([], [], 9)
    assert ids.shape == mask.shape == (0, 0)
    assert column == 0
