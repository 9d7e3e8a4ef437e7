"""States below a layer: the same logits as without them, for texts met before and new ones in one batch."""

from __future__ import annotations

import pytest
import torch

from families import tiny_model
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.hooks import frozen
from kgedit.methods.engine.edit_gradient import ScoredTexts
from kgedit.methods.engine.states_below import StatesBelow

ROWS = [((5, 6, 7, 8), (9, 10)), ((11, 12), (13,)), ((14, 15, 16), (17,)), ((5, 6, 7, 8), (9, 10))]


@pytest.mark.parametrize(
    ("family", "layer", "most_bytes"), [("gpt2", 2, 500), ("gptj", 2, 2**20), ("opt", 1, 0), ("mistral", 0, 0)]
)
def test_logits_are_those_of_a_whole_pass(family, layer, most_bytes) -> None:
    model, _ = tiny_model(family)
    below = StatesBelow(model, anatomy_of(model), layer, 0, most_bytes=most_bytes)
    with frozen(model), torch.no_grad():
        for rows in (ROWS[:2], ROWS, ROWS[1:3]):
            texts = ScoredTexts(rows, 0, model.device)
            whole = texts.logits(model, texts.text_of, texts.column)
            skipping = texts.logits(model, texts.text_of, texts.column, below)
            assert torch.allclose(whole, skipping, atol=1e-4)
