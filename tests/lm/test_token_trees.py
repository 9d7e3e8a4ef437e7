"""Trees hold every row, each common beginning once, and each token sees exactly its own row."""

from __future__ import annotations

import random

import numpy as np

from kgedit.lm.token_trees import pack_rows


def test_a_tree_by_hand() -> None:
    [tree] = pack_rows([(1, 2, 4), (1, 2), (3,), (1, 2, 3), (3,)], 100)
    assert tree.tokens == [1, 2, 3, 4, 3]
    assert tree.parents == [-1, 0, 1, 1, -1]
    assert tree.depths == [0, 1, 2, 2, 0]
    assert tree.paths == {(1, 2): (0, 1), (1, 2, 3): (0, 1, 2), (1, 2, 4): (0, 1, 3), (3,): (4,)}
    expected = [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 0, 1, 0], [0, 0, 0, 0, 1]]
    np.testing.assert_array_equal(tree.visible(), np.array(expected, dtype=bool))


def test_trees_do_not_grow_over_the_limit_unless_one_row_does() -> None:
    rows = [(1, 2, 3), (1, 2, 4), (1, 5), (6, 7, 8, 9, 10)]
    assert [tree.tokens for tree in pack_rows(rows, 4)] == [[1, 2, 3, 4], [1, 5], [6, 7, 8, 9, 10]]
    assert [list(tree.paths) for tree in pack_rows(rows, 0)] == [[row] for row in rows]
    assert list(pack_rows([], 4)) == []


def test_every_row_is_found_with_each_beginning_once() -> None:
    rng = random.Random(0)
    for limit in (0, 3, 7, 1000):
        for _ in range(50):
            rows = [tuple(rng.randrange(3) for _ in range(rng.randint(1, 5))) for _ in range(rng.randint(1, 8))]
            trees = list(pack_rows(rows, limit))
            assert sorted(row for tree in trees for row in tree.paths) == sorted(set(rows))
            for tree in trees:
                visible = tree.visible()
                for row, path in tree.paths.items():
                    assert tuple(tree.tokens[i] for i in path) == row
                    assert [tree.depths[i] for i in path] == list(range(len(row)))
                    for depth, node in enumerate(path):
                        assert set(np.flatnonzero(visible[node])) == set(path[: depth + 1])
                beginnings = {row[:n] for row in tree.paths for n in range(1, len(row) + 1)}
                assert len(tree.tokens) == len(beginnings)
                assert len(tree.tokens) <= max(limit, 5)
