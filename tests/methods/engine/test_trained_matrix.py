"""The blocks below a trained matrix run once per text, and nothing else changes by that."""

from __future__ import annotations

import copy

import pytest
import torch

from families import tiny_model
from kgedit.lm.anatomy import anatomy_of, to_math
from kgedit.lm.hooks import frozen
from kgedit.methods.engine.trained_matrix import TrainedMatrix, full_update

TEXTS = [(5, 6, 7, 8, 9, 10), (11, 12), (13, 14, 15, 16)]
ROWS, COLUMNS = torch.tensor([0, 0, 1, 2]), torch.tensor([2, 5, 1, 3])


def logits_of(matrix: TrainedMatrix, change: torch.Tensor | None) -> torch.Tensor:
    """Logits at the chosen positions, as a loss gets them."""
    seen: list[torch.Tensor] = []

    def loss(logits: torch.Tensor, places: slice) -> torch.Tensor:
        seen.append(logits)
        return logits.sum(dim=-1)

    matrix.losses(TEXTS, ROWS, COLUMNS, change, loss)
    return torch.cat(seen)


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2", "opt"])
def test_logits_are_those_of_a_model_whose_weight_was_changed(family, layer) -> None:
    """Also for texts met before in other company, whose states come from memory."""
    model, _ = tiny_model(family)
    model.double()
    anatomy = anatomy_of(model)
    matrix = TrainedMatrix(model, anatomy, layer, 0)
    change = torch.randn(matrix.weight.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 0.1
    changed = copy.deepcopy(model)
    weight = anatomy.weight(changed, layer)
    with torch.no_grad():
        weight.add_(to_math(change, anatomy.conv1d))
        expected = [
            changed(input_ids=torch.tensor([TEXTS[row]])).logits[0, column]
            for row, column in zip(ROWS.tolist(), COLUMNS.tolist(), strict=True)
        ]
    with frozen(model), torch.no_grad():
        matrix.logits(TEXTS[1:], torch.tensor([0]), torch.tensor([0]))
        for _ in range(2):
            logits = logits_of(matrix, change)
            torch.testing.assert_close(logits, torch.stack(expected), rtol=1e-9, atol=1e-9)


def test_blocks_below_run_once_for_each_text() -> None:
    """A text met before is not run again below the layer, unless there is no room to keep what they gave out."""
    model, _ = tiny_model("gpt2")
    anatomy = anatomy_of(model)
    runs: list[int] = []
    handle = anatomy.mlp_out(model, 0).register_forward_hook(lambda *_: runs.append(1))
    try:
        with frozen(model), torch.no_grad():
            for most_bytes, expected in ((2**30, 1), (0, 3)):
                matrix = TrainedMatrix(model, anatomy, 2, 0, most_bytes=most_bytes)
                runs.clear()
                for _ in range(3):
                    matrix.logits(TEXTS, ROWS, COLUMNS)
                assert len(runs) == expected
    finally:
        handle.remove()


def test_gradients_reach_the_change_alone() -> None:
    model, _ = tiny_model("llama")
    matrix = TrainedMatrix(model, anatomy_of(model), 1, 0)
    change = matrix.no_change()
    with frozen(model), torch.enable_grad():
        (gradient,) = torch.autograd.grad(logits_of(matrix, change).logsumexp(-1).sum(), change)
    assert bool((gradient != 0).any())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (4, 4)])
def test_factors_give_the_change_to_the_last_bit(shape) -> None:
    change = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    update = full_update("block.mlp.weight", change, conv1d=False)
    assert torch.equal(update.dense(), change)
    assert update.rank == min(shape)
