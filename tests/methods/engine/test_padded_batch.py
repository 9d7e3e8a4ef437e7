"""A batch runs what an edit can change and no more, and its gradients do not depend on the order of threads."""

from __future__ import annotations

import torch

from families import tiny_model
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.hooks import frozen
from kgedit.methods.engine.objective import ObjectiveRow
from kgedit.methods.engine.padded_batch import PaddedBatch, per_row
from methods.atomic_sums import RepeatedIndices


def test_gradients_of_offsets_are_added_up_in_the_order_of_the_rows() -> None:
    edit_of = torch.tensor([0, 0, 1, 1, 1])
    above = torch.arange(30.0).view(5, 2, 3)
    offsets = torch.zeros(2, 2, 3, requires_grad=True)
    with RepeatedIndices() as seen:
        of_row = per_row(offsets, edit_of)
        (gradient,) = torch.autograd.grad(of_row, offsets, above)
    assert torch.equal(of_row, torch.zeros(5, 2, 3))
    assert torch.equal(gradient, torch.stack([above[:2].sum(dim=0), above[2:].sum(dim=0)]))
    assert seen.found == []


def test_no_token_runs_through_more_matrices_than_its_value_depends_on() -> None:
    """Two rows with a target and one whose distribution stays: tokens that each block's W sees, from below."""
    model, _ = tiny_model("gpt2")
    anatomy, seen = anatomy_of(model), {0: [], 1: [], 2: []}
    rows = [ObjectiveRow((4, 5, 6, 7, 8), 2, (3, 4), (8, 9), "target", 0.5) for _ in range(2)]
    rows.append(ObjectiveRow((4, 5, 6), 2, (2,), (), "essence", 1.0))
    handles = [
        anatomy.mlp_out(model, layer).register_forward_hook(
            lambda module, args, output, layer=layer: seen[layer].append(args[0].numel() // args[0].shape[-1])
        )
        for layer in seen
    ]
    with frozen(model):
        batch = PaddedBatch(model, anatomy, rows, [0, 0, 0], 1, (0,))
        # Keys and values that no step reads take no memory; the others do.
        sizes = [layer.keys.untyped_storage().nbytes() // layer.keys.element_size() for layer in batch.past.layers]
        assert sizes == [1, batch.past.layers[1].keys.numel(), batch.past.layers[2].keys.numel()]
        assert batch.past.get_seq_length() == 2
        # What is before the written token; from there on up to the edit layer; the row that stays, to the top.
        assert seen == {0: [6, 9], 1: [6, 3], 2: [6, 1]}
        for part in seen.values():
            part.clear()
        batch.losses(torch.zeros(1, 1, 32))
    # A step: nothing at the edit layer, and in the last block only what is scored.
    assert seen == {0: [], 1: [9], 2: [5]}
    for handle in handles:
        handle.remove()
