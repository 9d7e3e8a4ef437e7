"""Probabilities of targets after prompts, for any number of prompts and measures in shared batches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple, Protocol

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.lm.anatomy import context_length
from kgedit.lm.scoring.fit import fit
from kgedit.lm.scoring.teacher_forced import BATCH_TOKENS, score_rows
from kgedit.lm.tokens import encode_target, encode_texts

Pair = tuple[str, str]  # prompt and target, as texts; the target brings its own space


class TargetScore(NamedTuple):
    """What the model says about one target after one prompt, under teacher forcing.

    Attributes:
        ids: Token ids of the target, (L,).
        logprobs: Log-probability of each, (L,).
        top: The most probable token at each place, (L,).
    """

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    top: tuple[int, ...]

    @property
    def mean_logprob(self) -> float:
        """Mean log-probability of a token, minus the paper's l(y|q); minus infinity where the model gives NaN."""
        mean = fmean(self.logprobs)
        return -math.inf if math.isnan(mean) else mean

    @property
    def probability(self) -> float:
        """P(y|q), length-normalised: the geometric mean of the tokens' probabilities (methods.md 8.1)."""
        return math.exp(self.mean_logprob)

    @property
    def token_accuracy(self) -> float:
        """Share of target tokens that are the most probable ones, given the right tokens before them."""
        return fmean(float(best == token) for best, token in zip(self.top, self.ids, strict=True))

    @property
    def exact(self) -> bool:
        """Whether every target token is the most probable one: greedy decoding would give the target."""
        return self.top == self.ids


Scores = Mapping[Pair, TargetScore]


class Probe(Protocol):
    """What a measure wants to know about one case, and what it makes of it."""

    def pairs(self) -> list[Pair]:
        """Prompts and targets to be scored."""

    def measure(self, scores: Scores) -> dict[str, float]:
        """Measure -> value of this case; a measure without prompts is absent."""


def score_pairs(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Iterable[Pair],
    *,
    batch_tokens: int = BATCH_TOKENS,
) -> dict[Pair, TargetScore]:
    """Score every different pair once.

    Args:
        model: A causal language model; left as it was.
        tokenizer: Its tokenizer.
        pairs: Prompts and targets; spaces at the end of a prompt are dropped. A prompt that leaves no room
            for its target loses its beginning (`count_cut` says how many do).
        batch_tokens: The most tokens per forward pass.

    Raises:
        PromptError: A prompt is empty.
        TargetError: A target is empty, or the tokenizer cannot write it.
    """
    wanted = list(dict.fromkeys(pairs))
    texts = list(dict.fromkeys(prompt.rstrip(" ") for prompt, _ in wanted))
    prompts = dict(zip(texts, encode_texts(tokenizer, texts), strict=True))
    targets = {target: encode_target(tokenizer, target) for target in dict.fromkeys(target for _, target in wanted)}
    # The targets of one prompt are compared with each other, so all of them see the same part of it.
    longest: dict[str, int] = {}
    for prompt, target in wanted:
        longest[prompt] = max(longest.get(prompt, 0), len(targets[target]))
    room = context_length(model) + 1
    rows = [(fit(prompts[prompt.rstrip(" ")], room - longest[prompt]), targets[target]) for prompt, target in wanted]
    found = score_rows(model, rows, batch_tokens=batch_tokens)
    return {pair: TargetScore(*score) for pair, score in zip(wanted, found, strict=True)}


def measure_probes(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    probes: Sequence[Probe],
    *,
    batch_tokens: int = BATCH_TOKENS,
) -> list[dict[str, float]]:
    """The values of many cases, all their prompts in shared batches; errors as in `score_pairs`."""
    pairs = [pair for probe in probes for pair in probe.pairs()]
    scores = score_pairs(model, tokenizer, pairs, batch_tokens=batch_tokens)
    return [probe.measure(scores) for probe in probes]
