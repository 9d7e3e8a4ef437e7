"""Scores of many targets in few forward passes: equal rows once, shared beginnings once, the head where needed.

Notation as in lm/score.py: the input of a row is p + t_0 .. t_{L-2}, and position T-1+j predicts t_j.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kgedit.errors import PromptError, TargetError
from kgedit.evaluate.metrics.stems import Ids, carriers, plan_stems
from kgedit.lm.anatomy import context_length
from kgedit.lm.cache import fork, prefill
from kgedit.lm.hooks import frozen, head_at
from kgedit.lm.layout import position_ids
from kgedit.lm.score import Row
from kgedit.lm.tokens import pad

# Two passes (stems, then the rest) pay where they save this share of the tokens; beside a GPU's time to start a
# pass, small savings count for nothing.
_WORTH = 0.2
_WORTH_TOKENS = 4096
# Rows of a batch times their length, so that repeated stems do not fill the memory.
_BATCH_TOKENS = 8192


class RowScore(NamedTuple):
    """What the model says about one target under teacher forcing.

    Attributes:
        ids: Token ids of the target, (L,).
        logprobs: Log-probability of each, natural logarithm, (L,).
        top: The most probable token at each place, (L,); -1 where the model gives NaN.
    """

    ids: Ids
    logprobs: tuple[float, ...]
    top: Ids


class _Work(NamedTuple):
    """A row to run: its ids, how many of them are a stem, and the targets to read off it by first position."""

    ids: Ids
    stem: int
    targets: tuple[tuple[int, Ids], ...]


def score_rows(model: PreTrainedModel, rows: Sequence[Row], *, batch_size: int = 64) -> list[RowScore]:
    """Score targets after prompts; equal to `kgedit.lm.score.target_logprobs` of each row alone up to rounding.

    Rows that are equal get the very same numbers, so a comparison of a target with itself is a tie.

    Args:
        model: A causal language model; left as it was.
        rows: Pairs of prompt ids and target ids.
        batch_size: The most rows per forward pass.

    Raises:
        PromptError: A prompt is empty, or longer than the context together with its target.
        TargetError: A target is empty.
    """
    wanted = dict.fromkeys((tuple(prompt), tuple(target)) for prompt, target in rows)
    for prompt, target in wanted:
        _check(prompt, target, context_length(model))
    work = _lay_out(list(wanted), batch_size, model.device.type == "cpu")
    found: dict[tuple[Ids, Ids], RowScore] = {}
    for batch in _batches(work, batch_size):
        for row, logits in zip(batch, _forward(model, batch), strict=True):
            logps = logits.log_softmax(-1)  # (positions, vocabulary)
            top = logits.argmax(-1).masked_fill(logits.isnan().any(-1), -1)  # (positions,)
            place = {position: i for i, position in enumerate(_positions(row))}
            for first, target in row.targets:
                at = torch.tensor([place[first + j] for j in range(len(target))], device=logits.device)
                picked = logps[at, torch.tensor(target, device=logits.device)]  # (L,)
                found[row.ids[: first + 1], target] = RowScore(target, tuple(picked.tolist()), tuple(top[at].tolist()))
    return [found[tuple(prompt), tuple(target)] for prompt, target in rows]


def _lay_out(wanted: Sequence[tuple[Ids, Ids]], batch_size: int, cheap_start: bool) -> list[_Work]:
    """The rows to run, each with its stem."""
    inputs = {(prompt, target): (*prompt, *target[:-1]) for prompt, target in wanted}
    ids, carried = carriers(inputs.values())
    targets: dict[int, list[tuple[int, Ids]]] = defaultdict(list)
    for (prompt, target), whole in inputs.items():
        targets[carried[whole]].append((len(prompt) - 1, target))
    limits = [min(first for first, _ in targets[i]) for i in range(len(ids))]  # all scores lie behind the stem
    stems, saved = plan_stems(ids, limits)
    per_batch = saved * min(1.0, batch_size / max(1, len(ids)))
    shared = saved >= _WORTH * sum(map(len, ids)) and (cheap_start or per_batch >= _WORTH_TOKENS)
    return [_Work(row, stems[i] if shared else 0, tuple(targets[i])) for i, row in enumerate(ids)]


def _batches(work: Sequence[_Work], batch_size: int) -> Iterator[list[_Work]]:
    """Rows of like lengths together, those of one stem next to each other."""
    batch: list[_Work] = []
    widest = 0
    for row in sorted(work, key=lambda row: (row.stem, row.ids[: row.stem], len(row.ids))):
        widest = max(widest, len(row.ids))
        if batch and (len(batch) == batch_size or (len(batch) + 1) * widest > max(_BATCH_TOKENS, batch_size)):
            yield batch
            batch, widest = [], len(row.ids)
        batch.append(row)
    if batch:
        yield batch


def _positions(row: _Work) -> list[int]:
    """Positions of a row that are scored."""
    return sorted({first + j for first, target in row.targets for j in range(len(target))})


def _forward(model: PreTrainedModel, batch: Sequence[_Work]) -> list[Tensor]:
    """Float32 logits of every scored position, one (positions, vocabulary) per row."""
    stems = list(dict.fromkeys(row.ids[: row.stem] for row in batch))
    number = {stem: i for i, stem in enumerate(stems)}
    owner = torch.tensor([number[row.ids[: row.stem]] for row in batch], device=model.device)
    stem_ids, stem_mask = (t.to(model.device) for t in pad(stems, 0, "left"))  # (stems, c)
    ids, mask = (t.to(model.device) for t in pad([row.ids[row.stem :] for row in batch], 0, "right"))  # (batch, seq)
    mask = torch.cat([stem_mask[owner], mask], dim=1)  # (batch, c + seq)
    counts = [_positions(row) for row in batch]
    where = torch.tensor([(b, p - row.stem) for b, row in enumerate(batch) for p in counts[b]])  # (positions, 2)
    with frozen(model), torch.no_grad():
        cache = fork(prefill(model, stem_ids, stem_mask, position_ids(stem_mask)), owner)
        with head_at(model, where[:, 0], where[:, 1]):
            logits = model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=position_ids(mask)[:, stem_ids.shape[1] :],
                past_key_values=cache,
                use_cache=True,
            ).logits[0]  # (positions, vocabulary)
    return list(logits.float().split([len(positions) for positions in counts]))


def _check(prompt: Ids, target: Ids, room: int) -> None:
    if not prompt:
        raise PromptError("a prompt has no token; give some text")
    if not target:
        raise TargetError("a target has no token; give an object that the tokenizer can write")
    if len(prompt) + len(target) - 1 > room:
        raise PromptError(
            f"a prompt of {len(prompt)} tokens and a target of {len(target)} do not fit into the context of "
            f"{room} tokens; shorten them"
        )
