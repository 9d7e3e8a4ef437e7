"""Context prefixes: short texts of the model's own making, put before a prompt to average over contexts.

ROME (Meng et al., 2022) averages over 20 of them; each is sampled with top-k 5 and temperature 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.lm.generation.sampling import choose_top_k, extend_rows
from kgedit.lm.tokens import encode_texts

SEEDS = ("The", "Therefore", "Because", "I", "You")
_TOP_K = 5


def sample_prefixes(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    lengths_and_counts: Sequence[tuple[int, int]] = ((5, 10), (10, 10)),
    seed: int = 0,
    seeds: Sequence[str] = SEEDS,
) -> tuple[str, ...]:
    """Sample texts that begin with the seed words in turn.

    Args:
        model: The model to be edited, unedited; left as it was, and so is torch's global generator.
        tokenizer: Its tokenizer.
        lengths_and_counts: Pairs of length in tokens, seed word included but not BOS, and how many of that
            length.
        seed: Of the sampling; the same seed gives the same prefixes.
        seeds: Words to begin with.

    Returns:
        First "", the bare prompt; then the texts, each ending in ". ", on one line and without braces.
    """
    generator = torch.Generator().manual_seed(seed)

    def place(logits: Tensor) -> Tensor:
        return torch.multinomial(logits.softmax(-1), 1, generator=generator)  # (batch, 1)

    def choose(logits: Tensor) -> Tensor:
        # A special token would end the text, or turn it into another kind of text.
        return choose_top_k(logits, _TOP_K, len(tokenizer), place, forbidden=tokenizer.all_special_ids)

    prefixes = [""]
    for length, count in lengths_and_counts:
        starts = encode_texts(tokenizer, [seeds[i % len(seeds)] for i in range(count)])
        if not starts:
            continue
        rows = [list(start.ids) for start in starts]
        extend_rows(model, tokenizer, rows, [start.leading + length for start in starts], choose)
        texts = (tokenizer.decode(row[start.leading :]) for row, start in zip(rows, starts, strict=True))
        prefixes += [_sentence(str(text)) for text in texts]
    return tuple(prefixes)


def _sentence(text: str) -> str:
    # Braces would read as slots; half a character at the end decodes to the replacement mark.
    for mark in "{}\ufffd":
        text = text.replace(mark, " ")
    return " ".join(text.split()).rstrip(" .") + ". "
