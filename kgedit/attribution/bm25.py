"""BM25: ranks texts by the words that they share with a question (Robertson and Zaragoza, 2009, equation 3.15).

It knows nothing of the model, and is the baseline that attribution by gradients has to beat: Akyürek et al. (2022,
"Towards Tracing Knowledge in Language Models Back to the Training Data") found that it often does not.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from kgedit.text.scripts import is_unspaced

_K1, _B = 1.5, 0.75  # how soon a word's repetitions count no more, and how much long texts are held back
_WORD = re.compile(r"\w+")


def bm25(texts: Sequence[str], query: str) -> list[float]:
    """The score of each text for a query, at least 0.

    Args:
        texts: The texts.
        query: Words; one that occurs twice counts twice.
    """
    counts = [Counter(_words(text)) for text in texts]
    lengths = [sum(count.values()) for count in counts]
    mean_length = sum(lengths) / max(len(lengths), 1) or 1.0
    scores = [0.0] * len(texts)
    for word, times in Counter(_words(query)).items():
        holding = sum(word in count for count in counts)
        # The logarithm is taken of 1 + the odds, so that a word of most texts counts little instead of negatively.
        rarity = math.log(1 + (len(texts) - holding + 0.5) / (holding + 0.5))
        for number, count in enumerate(counts):
            if found := count[word]:
                long = _K1 * (1 - _B + _B * lengths[number] / mean_length)
                scores[number] += times * rarity * found * (_K1 + 1) / (found + long)
    return scores


def _words(text: str) -> list[str]:
    """Words in lower case; of a script without spaces between words, each character."""
    words: list[str] = []
    for word in _WORD.findall(text.casefold()):
        words += word if any(map(is_unspaced, word)) else [word]
    return words
