"""Fluency of generated text (GE of Meng et al., 2022): weighted entropy of its word bigrams and trigrams."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from statistics import fmean

from kgedit.text.sentences import words


def ngram_entropy(tokens: Sequence[str], n: int) -> float:
    """Shannon entropy in bits of the n-grams of a token sequence; 0 where it has none."""
    counts = Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))
    total = sum(counts.values())
    return -sum(count / total * math.log2(count / total) for count in counts.values()) + 0.0


def entropy(text: str) -> float:
    """H = 1/2 (2/3 H_2 + 4/3 H_3) of one text in bits (Meng et al., 2022); a text too short for n-grams has none."""
    tokens = words(text)
    return (2 / 3 * ngram_entropy(tokens, 2) + 4 / 3 * ngram_entropy(tokens, 3)) / 2


def fluency(texts: Sequence[str]) -> float:
    """Mean entropy in bits of generated texts, prompts included; published figures are 100 times this.

    Raises:
        ValueError: There is no text.
    """
    if not texts:
        raise ValueError("fluency needs at least one generated text")
    return fmean(map(entropy, texts))
