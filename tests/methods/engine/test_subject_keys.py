"""Keys and states at the last token of texts are those of whole forward passes, and nothing above is run."""

from __future__ import annotations

import pytest
import torch

from families import D_FF, D, tiny_model
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.hooks import capture
from kgedit.methods.engine import subject_keys as module
from kgedit.methods.engine.subject_keys import last_keys, last_states

ROWS = [(5, 9, 7, 11), (5,), (8, 8, 3), (5, 9, 7, 11), (6, 2)]


@pytest.mark.parametrize("family", ["gpt2", "opt", "gptj", "mistral"])
@pytest.mark.parametrize("tokens", [4, 4096])
def test_each_row_is_as_if_it_were_alone(family, tokens, monkeypatch) -> None:
    monkeypatch.setattr(module, "_TOKENS", tokens)
    model, _ = tiny_model(family)
    anatomy = anatomy_of(model)
    ran: list[int] = []
    handle = anatomy.mlp_out(model, 2).register_forward_hook(lambda *_: ran.append(2))
    keys, states = last_keys(model, ROWS, (0, 1)), last_states(model, ROWS, 1)
    handle.remove()
    assert ran == []
    for number, row in enumerate(ROWS):
        with (
            torch.no_grad(),
            capture({"0": anatomy.mlp_out(model, 0), "1": anatomy.mlp_out(model, 1)}, inputs=True, rows=1) as read,
            capture({"state": anatomy.block(model, 1)}, rows=1) as given,
        ):
            model(input_ids=torch.tensor([row]))
        for layer in (0, 1):
            torch.testing.assert_close(keys[layer][number], read[str(layer)][0, -1], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(states[number], given["state"][0, -1], rtol=1e-5, atol=1e-5)
    assert torch.equal(keys[0][0], keys[0][3])
    assert states.shape == (len(ROWS), D)


def test_no_rows_have_no_keys() -> None:
    model, _ = tiny_model("gpt2")
    assert last_keys(model, [], (1,))[1].shape == (0, D_FF)
