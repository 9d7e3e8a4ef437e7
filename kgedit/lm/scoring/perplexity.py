"""Perplexity of texts under a model."""

from __future__ import annotations

import math
from collections.abc import Sequence

from transformers import PreTrainedModel

from kgedit.lm.scoring.teacher_forced import score_rows

_MOST = 700.0  # exp of more is no float


def perplexity(model: PreTrainedModel, texts: Sequence[Sequence[int]]) -> float:
    """Exp of the mean negative log-likelihood of a token, over every token but the first of each text.

    Args:
        model: The model.
        texts: Token ids, each of at least two tokens and within the context.

    Returns:
        Infinite where the model gives no number any more.
    """
    scores = score_rows(model, [(ids[:1], ids[1:]) for ids in texts])
    mean = math.fsum(logp for score in scores for logp in score.logprobs) / sum(len(score.ids) for score in scores)
    return math.exp(min(-mean, _MOST)) if math.isfinite(mean) else math.inf
