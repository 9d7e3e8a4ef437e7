"""No method takes a sum whose order the threads decide."""

from __future__ import annotations

import pytest
import torch

from families import tiny_model
from kgedit.methods.registry import METHODS
from methods.atomic_sums import RepeatedIndices
from methods.benches import CASE, LAYERS, bench, small


def test_the_gradient_of_a_repeated_index_is_seen() -> None:
    values = torch.ones(4, 2, requires_grad=True)
    for index, wanted in (([0, 3, 1], []), ([0, 3, 0], [(4, 2)])):
        with RepeatedIndices() as seen:
            values[torch.tensor(index)].sum().backward()
        assert seen.found == wanted


@pytest.mark.parametrize("name", METHODS)
def test_no_method_adds_up_in_the_order_of_threads(name: str) -> None:
    model, tok = tiny_model("gpt2")
    with RepeatedIndices() as seen:
        small(name).together(bench(model, tok, LAYERS), [CASE])
    assert seen.found == []
