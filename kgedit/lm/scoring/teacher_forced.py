"""Scores of many targets in few forward passes: shared beginnings once, no padding, the head where it is needed.

Notation as in lm/score.py: the input of a row is p + t_0 .. t_{L-2}, and position T-1+j predicts t_j.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from kgedit.errors import PromptError, TargetError
from kgedit.lm.anatomy import context_length
from kgedit.lm.hooks import frozen, head_at
from kgedit.lm.scoring.packing import Ids, Pack, pack
from kgedit.lm.scoring.score import Row

BATCH_TOKENS = 2048
# A tree of tokens pays attention to all of itself, so small trees cost less; long rows need larger ones to share.
_TREE_TOKENS = 256

# Families whose layers differ in what they see take one mask per kind of layer. A family that is in neither row, or
# an attention that takes no masks of ours, gets plain padded batches.
_MASKS: Mapping[str, bool] = MappingProxyType(
    dict.fromkeys(("gpt2", "gptj", "gpt_neox", "opt", "llama", "mistral", "gemma", "phi3"), False)
    | dict.fromkeys(("qwen2", "qwen3", "gemma2"), True)
)
_ATTENTION = ("eager", "sdpa")


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


def score_rows(model: PreTrainedModel, rows: Sequence[Row], *, batch_tokens: int = BATCH_TOKENS) -> list[RowScore]:
    """Score targets after prompts; equal to `score.target_logprobs` of each row alone up to rounding.

    Rows that are equal get the very same numbers, so a comparison of a target with itself is a tie.

    Args:
        model: A causal language model; left as it was.
        rows: Pairs of prompt ids and target ids.
        batch_tokens: The most tokens per forward pass; a longer row has a pass of its own.

    Raises:
        PromptError: A prompt is empty, or longer than the context together with its target.
        TargetError: A target is empty.
    """
    targets: dict[Ids, list[tuple[Ids, Ids]]] = defaultdict(list)
    for prompt, target in dict.fromkeys((tuple(prompt), tuple(target)) for prompt, target in rows):
        _check(prompt, target, context_length(model))
        targets[*prompt, *target[:-1]].append((prompt, target))
    found: dict[tuple[Ids, Ids], RowScore] = {}
    for batch in _batches(pack(targets, _tree_tokens(model, targets)), batch_tokens):
        # (target, where its tokens are predicted) of every prompt and target in this batch
        places = {
            (prompt, target): [(number, node) for node in path[len(prompt) - 1 :][: len(target)]]
            for number, tree in enumerate(batch)
            for row, path in tree.paths.items()
            for prompt, target in targets[row]
        }
        where = {place: i for i, place in enumerate(dict.fromkeys(p for every in places.values() for p in every))}
        logits = _forward(model, batch, list(where))  # (places, vocabulary)
        at = [where[place] for every in places.values() for place in every]
        labels = torch.tensor([token for _, target in places for token in target], device=logits.device)
        logps = (logits[at, labels] - logits.logsumexp(-1)[at]).tolist()  # (tokens,)
        top = logits.argmax(-1).masked_fill(logits.isnan().any(-1), -1)[at].tolist()  # (tokens,)
        start = 0
        for prompt, target in places:
            span = slice(start, start + len(target))
            found[prompt, target] = RowScore(target, tuple(logps[span]), tuple(top[span]))
            start = span.stop
    return [found[tuple(prompt), tuple(target)] for prompt, target in rows]


def _tree_tokens(model: PreTrainedModel, rows: Mapping[Ids, object]) -> int:
    """How large a tree may be for this model and these rows."""
    return max(_TREE_TOKENS, 2 * max(map(len, rows), default=0)) if _takes_masks(model) else 0


def _takes_masks(model: PreTrainedModel) -> bool:
    return model.config.model_type in _MASKS and model.config._attn_implementation in _ATTENTION


def _batches(trees: Iterator[Pack], batch_tokens: int) -> Iterator[list[Pack]]:
    """Trees that run together."""
    batch: list[Pack] = []
    widest = 0
    for tree in sorted(trees, key=lambda tree: len(tree.tokens)):
        widest = len(tree.tokens)
        if batch and (len(batch) + 1) * widest > batch_tokens:
            yield batch
            batch = []
        batch.append(tree)
    if batch:
        yield batch


def _forward(model: PreTrainedModel, batch: Sequence[Pack], places: Sequence[tuple[int, int]]) -> Tensor:
    """Float32 logits of the given (tree, token), (places, vocabulary)."""
    width = max(len(tree.tokens) for tree in batch)
    ids = torch.zeros(len(batch), width, dtype=torch.long)
    positions, real = torch.zeros_like(ids), torch.zeros_like(ids)
    seen = np.tile(np.eye(width, dtype=np.bool_), (len(batch), 1, 1))  # padding sees itself
    for i, tree in enumerate(batch):
        size = len(tree.tokens)
        ids[i, :size], positions[i, :size] = torch.tensor(tree.tokens), torch.tensor(tree.depths)
        real[i, :size] = 1
        seen[i, :size, :size] = tree.visible()
    at = torch.tensor(places)
    with frozen(model), torch.no_grad(), head_at(model, at[:, 0], at[:, 1]):
        logits = model(
            input_ids=ids.to(model.device),
            attention_mask=(
                _mask(model, torch.from_numpy(seen), positions) if _takes_masks(model) else real.to(model.device)
            ),
            position_ids=positions.to(model.device),
            use_cache=False,
        ).logits[0]  # (places, vocabulary)
    found: Tensor = logits.float()
    return found


def _mask(model: PreTrainedModel, seen: Tensor, positions: Tensor) -> Tensor | dict[str, Tensor]:
    """What the model takes as attention mask for trees: 0 or the least number, (batch, 1, seq, seq)."""
    window = getattr(model.config, "sliding_window", None)
    near = seen
    if window is not None:
        near = seen & (positions.unsqueeze(-1) - positions.unsqueeze(-2) < window)  # (batch, seq, seq)
    if not _MASKS[model.config.model_type]:
        return _additive(near, model)
    return {"full_attention": _additive(seen, model), "sliding_attention": _additive(near, model)}


def _additive(seen: Tensor, model: PreTrainedModel) -> Tensor:
    least = torch.finfo(model.dtype).min
    return torch.zeros(seen.shape, dtype=model.dtype).masked_fill(~seen, least).unsqueeze(1).to(model.device)


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
