"""Sampled continuations, as the published fluency and fuzzy portability use them, but repeatable."""

from __future__ import annotations

import random
import unicodedata
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.lm.anatomy import context_length
from kgedit.lm.generation.batches import batches
from kgedit.lm.generation.decode import Decoder
from kgedit.lm.padding import pad_id
from kgedit.lm.scoring.fit import LEAST_ROOM, fit
from kgedit.lm.tokens import encode_texts


def sample_texts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    *,
    max_tokens: int = 100,
    top_k: int = 5,
    seed: int = 0,
    batch_size: int = 64,
) -> list[str]:
    """One text per prompt by top-k sampling at temperature 1, as in Meng et al. (2022).

    The draws of a prompt depend on the seed, on the prompt and on how often it was asked before in this call, not
    on the batch it is in. As published, sampling goes on past an end-of-text token.

    Args:
        model: A causal language model; left as it was, and so is torch's global generator.
        tokenizer: Its tokenizer.
        prompts: Texts; a prompt that leaves the context no room for 16 tokens loses its beginning.
        max_tokens: Tokens of a text, its prompt included; fewer where the context is shorter.
        top_k: How many of the most probable tokens are drawn from.
        seed: Same seed, same texts.
        batch_size: Prompts per forward pass.

    Returns:
        Whole texts with their prompts, in Unicode form NFKD and without blank lines, as published.

    Raises:
        PromptError: A prompt is empty.
    """
    context = context_length(model)
    room = min(max_tokens, context)
    encoded = encode_texts(tokenizer, [prompt.rstrip(" ") for prompt in prompts])
    rows = [list(fit(text, context - LEAST_ROOM)) for text in encoded]
    times: Counter[str] = Counter()
    draws: list[random.Random] = []
    for prompt in prompts:
        draws.append(random.Random(f"{seed}/{times[prompt]}/{prompt}"))
        times[prompt] += 1
    needs = [max(0, room - len(row)) for row in rows]
    for batch in batches([len(row) for row in rows], needs, context, batch_size):
        _extend(model, tokenizer, [rows[i] for i in batch], [draws[i] for i in batch], room, top_k)
    return [_published(tokenizer, row) for row in rows]


def _extend(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[list[int]],
    draws: Sequence[random.Random],
    room: int,
    top_k: int,
) -> None:
    """Append tokens to every row until it has `room` of them."""
    decoder = Decoder(model, rows, pad_id(tokenizer))
    for _ in range(room - min(map(len, rows))):
        tokens = _draw(decoder.logits(), len(tokenizer), top_k, [draw.random() for draw in draws])
        for row, token in zip(rows, tokens.tolist(), strict=True):
            if len(row) < room:
                row.append(token)
        decoder.append(tokens)


def _draw(logits: Tensor, vocabulary: int, top_k: int, uniform: Sequence[float]) -> Tensor:
    """One of the k most probable tokens per row, (batch,), by inverting the distribution at a number in [0, 1)."""
    best = logits[:, :vocabulary].cpu().topk(min(top_k, vocabulary))  # some models pad their vocabulary
    reached = best.values.double().softmax(-1).cumsum(-1)  # (batch, k)
    place = (reached <= torch.tensor(uniform, dtype=torch.float64).unsqueeze(-1)).sum(-1, keepdim=True)  # (batch, 1)
    return best.indices.gather(-1, place.clamp(max=best.indices.shape[-1] - 1)).squeeze(-1)  # (batch,)


def _published(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    text = str(tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))
    return unicodedata.normalize("NFKD", text).replace("\n\n", " ")
