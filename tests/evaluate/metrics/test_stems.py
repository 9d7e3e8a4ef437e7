"""The plan that shares beginnings computes the fewest tokens, and loses no row."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import product

from kgedit.evaluate.metrics.stems import carriers, plan_stems


def some_rows(rng: random.Random) -> list[tuple[int, ...]]:
    """Up to five rows over few tokens, so that they share a lot."""
    return [tuple(rng.randrange(3) for _ in range(rng.randint(1, 4))) for _ in range(rng.randint(1, 5))]


def test_an_input_that_begins_another_needs_no_row() -> None:
    rows, carried = carriers([(1,), (1, 2), (1, 2, 3), (1, 3), (2,), (1, 2)])
    assert rows == [(1, 2, 3), (1, 3), (2,)]
    assert carried == {(1,): 0, (1, 2): 0, (1, 2, 3): 0, (1, 3): 1, (2,): 2}


def test_every_input_is_carried_by_a_row_that_begins_with_it_and_no_row_is_needless() -> None:
    rng = random.Random(0)
    for _ in range(200):
        inputs = some_rows(rng)
        rows, carried = carriers(inputs)
        assert rows == sorted(rows)
        assert all(rows[carried[ids]][: len(ids)] == ids for ids in inputs)
        assert not any(a != b and b[: len(a)] == a for a in rows for b in rows)
        assert set(rows) <= set(inputs)


def test_two_targets_of_each_prompt_share_the_prompt() -> None:
    rows = [(1, 2, 3, 7), (1, 2, 3, 8), (1, 5, 6, 7), (1, 5, 6, 8)]
    assert plan_stems(rows, [2] * 4) == ([2] * 4, 4)  # all four together would save 3


def test_demonstrations_before_every_question_are_one_stem() -> None:
    shown = tuple(range(100, 130))
    rows = sorted((*shown, *question, answer) for question in ((1, 2), (3, 4), (5, 6)) for answer in (8, 9))
    assert plan_stems(rows, [31] * 6) == ([30] * 6, 150)  # by question 93


def test_rows_between_deeper_groups_share_what_is_left() -> None:
    rows = [(1, 2, 2, 2, 2, 2, 0), (1, 2, 2, 2, 2, 2, 1), (1, 3, 0), (1, 4, 0), (1, 5, 0)]
    assert plan_stems(rows, [6, 6, 2, 2, 2]) == ([6, 6, 1, 1, 1], 8)


def test_a_row_alone_keeps_its_limit_and_limits_bind() -> None:
    assert plan_stems([(1, 2, 3)], [2]) == ([2], 0)
    assert plan_stems([(1, 2, 3), (1, 2, 4)], [1, 2]) == ([1, 1], 1)
    assert plan_stems([], []) == ([], 0)


def _cost(rows: list, lengths: Iterable[int]) -> int:
    """Tokens computed: every different stem once, and what is behind it for each row."""
    stems = {row[:n] for row, n in zip(rows, lengths, strict=True)}
    return sum(map(len, stems)) + sum(len(row) - n for row, n in zip(rows, lengths, strict=True))


def test_no_other_plan_saves_more() -> None:
    rng = random.Random(1)
    for _ in range(100):
        rows, _ = carriers(some_rows(rng))
        limits = [rng.randrange(len(row)) for row in rows]
        lengths, saved = plan_stems(rows, limits)
        assert all(length <= limit for length, limit in zip(lengths, limits, strict=True))
        assert _cost(rows, lengths) == sum(map(len, rows)) - saved
        every = product(*(range(limit + 1) for limit in limits))
        assert _cost(rows, lengths) == min(_cost(rows, choice) for choice in every)
