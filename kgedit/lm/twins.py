"""Several module trees over one model's weights, so that threads run parts of a batch beside each other.

The products of a small model are too small to keep several cores busy, and Python and the kernels between them use
one. Hooks and replaced forwards belong to a tree, so each thread runs one of its own; weights are never copied.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import nn
from transformers import PreTrainedModel

from kgedit.lm.activations import is_fused

T = TypeVar("T")

_MOST = 4  # Python's own part of the work takes turns: further threads would wait for it
_MOST_NUMBERS = 2**22  # of a matrix; a larger one keeps all cores busy by itself, and its states take the memory


class Twins:
    """A model and its twins: other modules, the same weights.

    Attributes:
        models: The trees, the given model first; one alone where nothing is won by more.
    """

    def __init__(self, model: PreTrainedModel, parts: int) -> None:
        """Make as many as so many parts can use.

        Args:
            model: Frozen (`hooks.frozen`) as long as twins are used.
            parts: How many parts of the work there are.
        """
        count = min(parts, torch.get_num_threads(), _MOST) if _worth_it(model) else 1
        shared = [*model.parameters(), *model.buffers(), model.config]
        kept = {id(each): each for each in shared}
        self.models = [model, *(copy.deepcopy(model, dict(kept)) for _ in range(count - 1))]

    def shared_out(self, costs: Sequence[float]) -> list[int]:
        """The number of the tree that is to do each part of some work.

        Args:
            costs: Of each part, in any unit.
        """
        # The dearest part first, each to the tree that has least to do.
        taken, trees = [0.0] * len(self.models), [0] * len(costs)
        for part in sorted(range(len(costs)), key=lambda part: -costs[part]):
            trees[part] = taken.index(min(taken))
            taken[trees[part]] += costs[part]
        return trees

    def each(self, trees: Sequence[int], works: Sequence[Callable[[], T]]) -> list[T]:
        """Do every part and give the results in their order; parts on one tree are done one after another.

        What several parts read none of them may write to. Gradients are on or off in them as they are in the caller.

        Args:
            trees: The number of the tree of each part; see `shared_out`.
            works: What is to be called for each part.
        """
        count, threads, grad = len(set(trees)), torch.get_num_threads(), torch.is_grad_enabled()
        if count < 2:
            return [work() for work in works]

        def run(tree: int) -> dict[int, T]:
            with torch.set_grad_enabled(grad):
                return {part: work() for part, work in enumerate(works) if trees[part] == tree}

        torch.set_num_threads(max(1, threads // count))
        try:
            with ThreadPoolExecutor(count) as pool:
                found = dict[int, T]()
                for of_tree in pool.map(run, sorted(set(trees))):
                    found |= of_tree
        finally:
            torch.set_num_threads(threads)
        return [found[part] for part in range(len(works))]


def is_plain(model: nn.Module) -> bool:
    """Whether nothing but the modules' own code runs in a forward pass: no hooks, and nobody else's forward."""
    return not any(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or ("forward" in module.__dict__ and not is_fused(module))
        for module in model.modules()
    )


def _worth_it(model: PreTrainedModel) -> bool:
    on_cpu = all(parameter.device.type == "cpu" for parameter in model.parameters())
    if not on_cpu or torch.is_autocast_enabled("cpu") or not is_plain(model):
        return False
    tables = {id(part.weight) for part in (model.get_input_embeddings(), model.get_output_embeddings())}  # type: ignore[no-untyped-call]
    return all(parameter.numel() <= _MOST_NUMBERS for parameter in model.parameters() if id(parameter) not in tables)
