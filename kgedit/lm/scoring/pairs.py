"""Scores of targets after prompts that are given as texts, in shared batches."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.lm.anatomy import context_length
from kgedit.lm.context import fit
from kgedit.lm.scoring.teacher_forced import TargetScore, score_rows
from kgedit.lm.token_trees import BATCH_TOKENS
from kgedit.lm.tokens import encode_target, encode_texts
from kgedit.text.boundary import boundary, stem

Pair = tuple[str, str]
"""Prompt and target as texts; what stands between them follows from both (see `boundary`)."""

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
    texts = list(dict.fromkeys(stem(prompt) for prompt, _ in different))
    prompts = dict(zip(texts, encode_texts(tokenizer, texts), strict=True))
    # Behind a space, which is the rule, a target has the same tokens whatever the prompt.
    spaced = functools.cache(lambda target: encode_target(tokenizer, target))
    targets = {
        (prompt, target): spaced(target) if boundary(prompt, target) else encode_target(tokenizer, target, prompt)
        for prompt, target in different
    }
    # The targets of one prompt are compared with each other, so all of them see the same part of it.
    longest: dict[str, int] = {}
    for prompt, target in different:
        longest[prompt] = max(longest.get(prompt, 0), len(targets[prompt, target]))
    room = context_length(model) + 1  # the last target token is predicted, not read
    rows = [
        (fit(prompts[stem(prompt)], room - longest[prompt]), targets[prompt, target]) for prompt, target in different
    ]
    return dict(zip(different, score_rows(model, rows, batch_tokens=batch_tokens), strict=True))
