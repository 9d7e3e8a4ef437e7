"""Context prefixes: short texts of the model's own making, put before a prompt to average over contexts.

Each is sampled with top-k 5 and temperature 1. ROME (Meng et al., 2022) publishes 20 beside the bare prompt, MEMIT 5,
GLAME 30; docs/methods.md, "Context prefixes".
"""

from __future__ import annotations

import re
from typing import NamedTuple, Self

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.lm.generation.sampling import choose_top_k, extend_rows
from kgedit.lm.tokens import encode_texts

SEEDS = ("The", "Therefore", "Because", "I", "You")
_TOP_K = 5


class PrefixPlan(NamedTuple):
    """Which prefixes are sampled.

    Attributes:
        lengths_and_counts: Pairs of length in tokens, and how many of that length. A seed word counts as part of the
            length, its BOS does not; the begin-of-text token, where it is the seed, does, as published.
        seeds: Words that they begin with in turn; none to begin with the begin-of-text token, as ROME does. A
            tokenizer without that token takes `SEEDS`.
    """

    lengths_and_counts: tuple[tuple[int, int], ...] = ((5, 10), (10, 10))
    seeds: tuple[str, ...] = SEEDS

    @classmethod
    def parse(cls, text: str, seeds: tuple[str, ...]) -> Self:
        """The plan that "5x10+10x10" stands for: ten of 5 tokens and ten of 10; "" for none."""
        groups = re.findall(r"(\d+)x(\d+)", text, flags=re.ASCII)
        return cls(tuple((int(length), int(count)) for length, count in groups), seeds)


def sample_prefixes(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    plan: PrefixPlan | None = None,
    *,
    seed: int = 0,
) -> tuple[str, ...]:
    """Sample texts that begin with the seed words in turn, or with the begin-of-text token.

    Args:
        model: The model to be edited, unedited; left as it was, and so is torch's global generator.
        tokenizer: Its tokenizer.
        plan: How many, how long, and what they begin with; the default plan if not given.
        seed: Of the sampling; the same seed gives the same prefixes.

    Returns:
        First "", the bare prompt; then the texts, each ending in ". ", on one line and without braces.
    """
    generator = torch.Generator().manual_seed(seed)

    def place(logits: Tensor) -> Tensor:
        return torch.multinomial(logits.softmax(-1), 1, generator=generator)  # (batch, 1)

    def choose(logits: Tensor) -> Tensor:
        # A special token would end the text, or turn it into another kind of text.
        return choose_top_k(logits, _TOP_K, len(tokenizer), place, forbidden=tokenizer.all_special_ids)

    begin = tokenizer.bos_token_id
    lengths_and_counts, seeds = plan or PrefixPlan()
    if not seeds and begin is None:
        seeds = SEEDS
    prefixes = [""]
    for length, count in lengths_and_counts:
        # Each row with the number of tokens at its beginning that are no text, and the length that it shall have.
        if seeds:
            starts = encode_texts(tokenizer, [seeds[i % len(seeds)] for i in range(count)])
            rows, leading = [list(start.ids) for start in starts], [start.leading for start in starts]
            wanted = [start.leading + length for start in starts]
        else:
            rows, leading, wanted = [[begin] for _ in range(count)], [1] * count, [max(length, 2)] * count
        if not rows:
            continue
        extend_rows(model, tokenizer, rows, wanted, choose)
        texts = (tokenizer.decode(row[none:]) for row, none in zip(rows, leading, strict=True))
        prefixes += [_sentence(str(text)) for text in texts]
    return tuple(prefixes)


def _sentence(text: str) -> str:
    # Braces would read as slots; half a character at the end decodes to the replacement mark.
    for mark in "{}\ufffd":
        text = text.replace(mark, " ")
    return " ".join(text.split()).rstrip(" .") + ". "
