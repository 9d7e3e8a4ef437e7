"""Packs rows of tokens into trees: every common beginning is stored, and computed, once.

The rows are the branches of a tree of tokens. Written down branch by branch, with each token seeing exactly the tokens
between the root and itself and counting its position from there, the tree is one input of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Ids = tuple[int, ...]
T = TypeVar("T")

TREE_TOKENS = 256  # a token is compared with all of its tree, so that small trees cost less
BATCH_TOKENS = 2048  # of the trees that are run together


@dataclass
class TokenTree:
    """A tree of tokens, parents before children.

    Attributes:
        tokens: Token ids.
        parents: Index of each token's parent; -1 for a first token.
        depths: Position of each token in its rows.
        paths: Row -> indices of its tokens.
    """

    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    paths: dict[Ids, tuple[int, ...]] = field(default_factory=dict)

    def add(self, row: Ids, path: Sequence[int]) -> list[int]:
        """Add a row whose first tokens are those of `path`; returns its own path."""
        whole = list(path)
        for token in row[len(path) :]:
            self.parents.append(whole[-1] if whole else -1)
            self.depths.append(len(whole))
            whole.append(len(self.tokens))
            self.tokens.append(token)
        self.paths[row] = tuple(whole)
        return whole

    def path(self, prompt: Ids, target: Ids) -> tuple[int, ...]:
        """Indices of the tokens of a prompt and of its target; the target's last token is not read."""
        return self.paths[*prompt, *target[:-1]]

    def visible(self) -> NDArray[np.bool_]:
        """Which tokens each token sees, (n, n): its ancestors and itself."""
        visible = np.eye(len(self.tokens), dtype=np.bool_)
        for index, parent in enumerate(self.parents):
            if parent >= 0:
                visible[index] |= visible[parent]
        return visible


def pack_rows(rows: Iterable[Ids], limit: int) -> Iterator[TokenTree]:
    """Pack rows into trees.

    Args:
        rows: Token ids, none empty; equal rows count once.
        limit: The most tokens of a tree; a longer row has a tree of its own. At 0 every row has its own.
    """
    current = TokenTree()
    before: Ids = ()
    path: list[int] = []
    for row in sorted(set(rows)):  # rows with a common beginning are neighbours
        shared = _common(before, row)
        # A full tree is handed out; the next row then shares nothing.
        if current.tokens and len(current.tokens) + len(row) - shared > limit:
            yield current
            current, path, shared = TokenTree(), [], 0
        path = current.add(row, path[:shared])
        before = row
    if current.tokens:
        yield current


def _common(a: Ids, b: Ids) -> int:
    """Length of the common beginning of two rows."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def run_together(items: Iterable[T], tree_of: Callable[[T], TokenTree], most_tokens: int) -> Iterator[list[T]]:
    """Cut items with a tree each into batches, smallest trees first.

    Args:
        items: What is cut.
        tree_of: The tree of an item.
        most_tokens: Of a batch, each tree padded to its largest; a tree that is larger has a batch of its own.
    """
    batch: list[T] = []
    for item in sorted(items, key=lambda item: len(tree_of(item).tokens)):
        if batch and (len(batch) + 1) * len(tree_of(item).tokens) > most_tokens:
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch
