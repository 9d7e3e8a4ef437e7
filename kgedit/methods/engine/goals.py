"""What a write of many facts should reach: the value of each fact, bounded by an anchor, and what it does further up.

docs/methods.md, "Many edits".
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kgedit.lm.anatomy import Anatomy
from kgedit.lm.hooks import add_at, capture
from kgedit.lm.padding import pad
from kgedit.methods.engine.objective import Objective


def anchored(values: Tensor, offsets: Tensor, anchor: float) -> tuple[Tensor, list[int]]:
    """Offsets that give every value the anchor's length (norm anchor, NAS, 2026).

    Values that are optimised are longer than natural ones, and each write makes the next ones longer still. So
    v* = v + delta is brought to the length a; where it is longer than 2 a, the edit is left out, v* = v.

    Args:
        values: (edits, d) v, what the MLP adds to the residual stream before the edit.
        offsets: (edits, d) delta.
        anchor: a.

    Returns:
        The offsets, and the numbers of the edits that were left out.
    """
    wanted = values + offsets  # (edits, d)
    lengths = wanted.norm(dim=-1, keepdim=True)  # (edits, 1)
    too_long = lengths > 2 * anchor
    bounded = torch.where(too_long, values, anchor * wanted / lengths.clamp_min(1e-12))
    return bounded - values, too_long[:, 0].nonzero()[:, 0].tolist()


def pilot_anchor(lengths: Sequence[float], dropped: float = 0.05) -> float:
    """The anchor a of a model: the mean length of the values of pilot facts, without the longest twentieth.

    Args:
        lengths: ||v*|| of many edits (published: 1,000), each computed alone on the unedited model.
        dropped: Share of the longest that do not count.

    Raises:
        ValueError: There is none.
    """
    kept = sorted(lengths)[: len(lengths) - int(dropped * len(lengths))]
    if not kept:
        raise ValueError("an anchor needs the value of one pilot fact at least")
    return sum(kept) / len(kept)


def replayed(
    model: PreTrainedModel, anatomy: Anatomy, objectives: Sequence[Objective], layers: Sequence[int], offsets: Tensor
) -> dict[int, Tensor]:
    """What a value at the first layer does further up (forward replay, FE, 2026): the blocks' outputs at i_s.

    Args:
        model: The model.
        anatomy: Its anatomy.
        objectives: One per edit; their bare prompts are run.
        layers: A band, ascending.
        offsets: (edits, d) added to the output of the first layer's block at i_s.

    Returns:
        Layer -> (edits, d).
    """
    rows = [objective.rows[0] for objective in objectives]
    ids, mask = pad([row.ids for row in rows], 0, "right")  # (edits, seq)
    edits, place = torch.arange(len(rows)), torch.tensor([row.place for row in rows])
    device = anatomy.weight(model, layers[0]).device

    def shift(state: Tensor) -> Tensor:
        moved = state.clone()
        moved[edits, place] += offsets.to(state)
        return moved

    blocks = {str(layer): anatomy.block(model, layer) for layer in layers}
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(add_at(blocks[str(layers[0])], shift, rows=len(rows)))
        states = stack.enter_context(capture(blocks, rows=len(rows)))
        model(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False)
    return {layer: states[str(layer)][edits, place].float().to(offsets.device) for layer in layers}


def merged(objectives: Sequence[Objective]) -> Objective:
    """One objective for several facts of one subject, whose keys coincide (MEMIT-Merge, 2025): one value for all."""
    first, *others = objectives
    if not others:
        return first
    facts = [row for objective in objectives for row in objective.rows if row.kind == "target"]
    shared = [row for row in first.rows if row.kind != "target"]
    count = 1 + len(others)
    return Objective((*(replace(row, weight=row.weight / count) for row in facts), *shared))
