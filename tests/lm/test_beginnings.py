"""Keys and values of beginnings are those of each row run alone, and each common token is run once."""

from __future__ import annotations

import pytest
import torch
from transformers import DynamicCache

from families import FAMILIES, tiny_model
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.beginnings import Beginnings, can_share
from kgedit.lm.hooks import add_at, frozen

ROWS = [(), (5, 6, 7), (5, 6, 8, 9), (5, 6), (11,)]


@pytest.mark.parametrize("family", FAMILIES)
def test_keys_and_values_are_those_of_each_row_alone(family: str) -> None:
    model, _ = tiny_model(family)
    if not can_share(model):
        assert any(getattr(layer, "is_sliding", False) for layer in DynamicCache(config=model.config).layers)
        return
    with frozen(model):
        cache = Beginnings(model, anatomy_of(model), ROWS).cache([2, 0, 4, 1])
        for place, number in enumerate((2, 0, 4, 1)):
            row = ROWS[number]
            if not row:
                continue
            alone = DynamicCache(config=model.config)
            with torch.no_grad():
                model(input_ids=torch.tensor([row]), past_key_values=alone, use_cache=True)
            for found, expected in zip(cache.layers, alone.layers, strict=True):
                for name in ("keys", "values"):
                    whole = getattr(found, name)[place]  # (heads, 4, size), padded on the left
                    torch.testing.assert_close(
                        whole[:, 4 - len(row) :], getattr(expected, name)[0], rtol=1e-5, atol=1e-5
                    )
    assert cache.get_seq_length() == 4


def test_common_tokens_run_once_and_the_last_mlp_not_at_all() -> None:
    model, _ = tiny_model("gpt2")
    anatomy, seen = anatomy_of(model), []

    class Counting(torch.nn.Module):
        def __init__(self, inner: torch.nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, state: torch.Tensor) -> torch.Tensor:
            seen.append(state.shape[:-1].numel())
            return self.inner(state)

    for block in model.transformer.h:
        block.mlp = Counting(block.mlp)
    with frozen(model):
        Beginnings(model, anatomy, ROWS)
    assert seen == [6, 6]  # 5 6 7 8 9 and 11, in two blocks of three


def test_rows_with_nothing_before_them_have_an_empty_cache_and_hooks_are_respected() -> None:
    model, _ = tiny_model("gpt2")
    assert Beginnings(model, anatomy_of(model), [(), ()]).cache([0, 1]).get_seq_length() == 0
    with add_at(model.transformer.h[0], lambda state: state):
        assert not can_share(model)
