"""Scores of targets after prompts that are given as texts, in shared batches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.lm.anatomy import context_length
from kgedit.lm.context import fit
from kgedit.lm.scoring.teacher_forced import BATCH_TOKENS, TargetScore, score_rows
from kgedit.lm.tokens import encode_target, encode_texts

Pair = tuple[str, str]
"""Prompt and target as texts; the target brings its own space."""

Scores = Mapping[Pair, TargetScore]


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
    different = list(dict.fromkeys(pairs))
    texts = list(dict.fromkeys(prompt.rstrip(" ") for prompt, _ in different))
    prompts = dict(zip(texts, encode_texts(tokenizer, texts), strict=True))
    targets = {target: encode_target(tokenizer, target) for target in dict.fromkeys(target for _, target in different)}
    # The targets of one prompt are compared with each other, so all of them see the same part of it.
    longest: dict[str, int] = {}
    for prompt, target in different:
        longest[prompt] = max(longest.get(prompt, 0), len(targets[target]))
    room = context_length(model) + 1  # the last target token is predicted, not read
    rows = [
        (fit(prompts[prompt.rstrip(" ")], room - longest[prompt]), targets[target]) for prompt, target in different
    ]
    return dict(zip(different, score_rows(model, rows, batch_tokens=batch_tokens), strict=True))
