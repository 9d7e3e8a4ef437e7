"""Log-probabilities of given targets after given prompts, in few forward passes.

The input of a row is p + t_0 .. t_{L-2}, and position T-1+j predicts t_j (prompt p of T tokens, target t of L). Common
beginnings of rows are computed once (see `token_trees`), and the head is applied at the predicting positions only.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kgedit.delta.prompt_ends import PromptPlace, prompt_watch, prompts_at
from kgedit.errors import TargetError
from kgedit.lm.context import check_room
from kgedit.lm.hooks import frozen, head_at
from kgedit.lm.token_trees import BATCH_TOKENS, TREE_TOKENS, Ids, TokenTree, pack_rows, run_together
from kgedit.lm.tree_inputs import takes_trees, tree_inputs

Row = tuple[Sequence[int], Sequence[int]]
"""Token ids of a prompt and of its target."""

_Packed = tuple[TokenTree, list[tuple[Ids, Ids]]]  # a tree, and the prompts and targets that it scores


class TargetScore(NamedTuple):
    """What the model says about one target after one prompt, under teacher forcing.

    Attributes:
        ids: Token ids of the target, (L,).
        logprobs: Log-probability of each, natural logarithm, (L,).
        top: The most probable token at each place, (L,); -1 where the model gives NaN.
    """

    ids: Ids
    logprobs: tuple[float, ...]
    top: Ids

    @property
    def mean_logprob(self) -> float:
        """Mean log-probability of a token, minus the paper's l(y|q); minus infinity where the model gives NaN."""
        mean = fmean(self.logprobs)
        return -math.inf if math.isnan(mean) else mean

    @property
    def probability(self) -> float:
        """P(y|q), length-normalised: the geometric mean of the tokens' probabilities."""
        return math.exp(self.mean_logprob)

    @property
    def joint_probability(self) -> float:
        """Probability of the whole target: the product of its tokens' probabilities; 0 where the model gives NaN."""
        logprob = math.fsum(self.logprobs)
        return 0.0 if math.isnan(logprob) else math.exp(logprob)

    @property
    def token_accuracy(self) -> float:
        """Share of target tokens that are the most probable ones, given the right tokens before them."""
        return fmean(float(best == token) for best, token in zip(self.top, self.ids, strict=True))

    @property
    def exact(self) -> bool:
        """Whether every target token is the most probable one: greedy decoding would give the target."""
        return self.top == self.ids


def score_rows(model: PreTrainedModel, rows: Sequence[Row], *, batch_tokens: int = BATCH_TOKENS) -> list[TargetScore]:
    """Score targets after prompts; equal to a forward pass over each row alone up to rounding.

    Rows that are equal get the very same numbers, so a comparison of a target with itself is a tie.

    Args:
        model: A causal language model; left as it was.
        rows: Pairs of prompt ids and target ids.
        batch_tokens: The most tokens per forward pass; a longer row has a pass of its own.

    Returns:
        One score per row, in the order of the rows.

    Raises:
        PromptError: A prompt is empty, or longer than the context together with its target.
        TargetError: A target is empty.
    """
    targets: dict[Ids, list[tuple[Ids, Ids]]] = defaultdict(list)  # model input -> prompts and targets it scores
    for prompt, target in dict.fromkeys((tuple(prompt), tuple(target)) for prompt, target in rows):
        if not target:
            raise TargetError("a target has no token; give an object that the tokenizer can write")
        check_room(model, prompt, len(target) - 1)
        targets[*prompt, *target[:-1]].append((prompt, target))
    scores: dict[tuple[Ids, Ids], TargetScore] = {}
    for batch in run_together(_packed(model, targets), lambda packed: packed[0], batch_tokens):
        # Prompt and target -> where in the batch, as (tree, token), each token of the target is predicted.
        places = {
            (prompt, target): [(number, node) for node in tree.path(prompt, target)[len(prompt) - 1 :]]
            for number, (tree, scored) in enumerate(batch)
            for prompt, target in scored
        }
        prompts = [
            PromptPlace(number, path)
            for number, (tree, scored) in enumerate(batch)
            for path in dict.fromkeys(tree.path(prompt, target)[: len(prompt)] for prompt, target in scored)
        ]
        # Each place is computed once, also where several targets are predicted from it.
        index_of = {
            place: index for index, place in enumerate(dict.fromkeys(p for nodes in places.values() for p in nodes))
        }
        with prompts_at(model, prompts):
            logits = _forward(model, [tree for tree, _ in batch], list(index_of))  # (places, vocabulary)
        at = [index_of[place] for nodes in places.values() for place in nodes]
        labels = torch.tensor([token for _, target in places for token in target], device=logits.device)  # (tokens,)
        logps = (logits[at, labels] - logits.logsumexp(-1)[at]).tolist()  # (tokens,)
        top = logits.argmax(-1).masked_fill(logits.isnan().any(-1), -1)[at].tolist()  # (tokens,)
        start = 0
        for prompt, target in places:
            span = slice(start, start + len(target))
            scores[prompt, target] = TargetScore(target, tuple(logps[span]), tuple(top[span]))
            start = span.stop
    return [scores[tuple(prompt), tuple(target)] for prompt, target in rows]


def _tree_tokens(model: PreTrainedModel, rows: Mapping[Ids, object]) -> int:
    """How large a tree may be for this model and these rows; 0 gives every row a tree of its own."""
    # Long rows need larger trees to share their beginning with others.
    return max(TREE_TOKENS, 2 * max(map(len, rows), default=0)) if takes_trees(model) else 0


def _packed(model: PreTrainedModel, targets: Mapping[Ids, Sequence[tuple[Ids, Ids]]]) -> Iterator[_Packed]:
    """Trees of model inputs, each with the prompts and targets that it scores."""
    for tree in pack_rows(targets, _tree_tokens(model, targets)):
        scored = [pair for row in tree.paths for pair in targets[row]]
        watch = prompt_watch(model)
        if watch is None or not (watch.whole or _mixed(tree, scored)):
            yield tree, scored
            continue
        # A change at a prompt's end must not be seen by a row whose prompt goes on there.
        apart: dict[tuple[Ids, Ids], list[tuple[Ids, Ids]]] = defaultdict(list)
        for prompt, target in scored:
            apart[(*prompt, *target[:-1]), prompt].append((prompt, target))
        for (row, _), pairs in apart.items():
            alone = TokenTree()
            alone.add(row, ())
            yield alone, pairs


def _mixed(tree: TokenTree, scored: Sequence[tuple[Ids, Ids]]) -> bool:
    """Whether a token ends one prompt and stands elsewhere in the row of another."""
    paths = [(tree.path(prompt, target), len(prompt) - 1) for prompt, target in scored]
    ends = {path[end] for path, end in paths}
    return any(node in ends for path, end in paths for node in (*path[:end], *path[end + 1 :]))


def _forward(model: PreTrainedModel, batch: Sequence[TokenTree], places: Sequence[tuple[int, int]]) -> Tensor:
    """Float32 logits of the given (tree, token), (places, vocabulary)."""
    at = torch.tensor(places)
    with frozen(model), torch.no_grad(), head_at(model, at[:, 0], at[:, 1]):
        output = model(**tree_inputs(model, batch), use_cache=False)
    logits: Tensor = output.logits[0].float()  # (places, vocabulary)
    return logits
