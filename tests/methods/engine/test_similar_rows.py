"""Rows of similar length share a batch, and all rows are in one."""

from __future__ import annotations

from kgedit.methods.engine.similar_rows import similar_rows


def test_longer_rows_join_where_padding_is_cheaper_than_a_batch() -> None:
    # Two rows of 5 beside three of 6 pad by 2; beside the one of 12 all five would be padded by 6 each.
    lengths = [6, 5, 12, 6, 5, 6]
    assert similar_rows(lengths, most_rows=9, most_tokens=0, overhead=2) == [[1, 4, 0, 3, 5], [2]]
    assert similar_rows(lengths, most_rows=9, most_tokens=0, overhead=1) == [[1, 4], [0, 3, 5], [2]]
    assert similar_rows(lengths, most_rows=9, most_tokens=0, overhead=30) == [[1, 4, 0, 3, 5, 2]]


def test_a_batch_that_is_too_large_is_cut_into_equal_ones() -> None:
    assert similar_rows([3] * 5, most_rows=2, most_tokens=0, overhead=9) == [[0], [1, 2], [3, 4]]
    # Up to twelve tokens it may have more rows.
    assert similar_rows([3] * 5, most_rows=2, most_tokens=12, overhead=9) == [[0, 1], [2, 3, 4]]
    assert similar_rows([40, 40], most_rows=1, most_tokens=12, overhead=0) == [[0], [1]]
