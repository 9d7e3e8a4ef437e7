"""Sampling among the most probable tokens; the texts that fluency and fuzzy portability are measured on."""

from __future__ import annotations

import random
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.lm.anatomy import context_length
from kgedit.lm.context import LEAST_ROOM, fit
from kgedit.lm.generation.batches import batches
from kgedit.lm.generation.decode import Decoder
from kgedit.lm.hooks import frozen
from kgedit.lm.padding import pad_id
from kgedit.lm.tokens import encode_texts
from kgedit.text.boundary import stem


def extend_rows(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[list[int]],
    lengths: Sequence[int],
    choose: Callable[[Tensor], Tensor],
) -> None:
    """Append chosen tokens to every row until it has its length: the one sampling loop.

    Args:
        model: A causal language model; left as it was.
        tokenizer: Its tokenizer.
        rows: Token ids of one batch; changed in place.
        lengths: Wanted length of each row; a longer row stays as it is.
        choose: Logits of the next token (batch, vocabulary) -> token ids (batch,); called once a step for all rows.
    """
    decoder = Decoder(model, rows, pad_id(tokenizer))
    with frozen(model):
        while any(len(row) < length for row, length in zip(rows, lengths, strict=True)):
            tokens = choose(decoder.logits())
            for row, length, token in zip(rows, lengths, tokens.tolist(), strict=True):
                if len(row) < length:
                    row.append(token)
            decoder.append(tokens)


def choose_top_k(
    logits: Tensor, k: int, vocabulary: int, place: Callable[[Tensor], Tensor], *, forbidden: Sequence[int] = ()
) -> Tensor:
    """One of the k most probable tokens of each row, chosen on the CPU so that devices agree.

    Args:
        logits: (batch, vocabulary or more); some models pad their vocabulary.
        k: How many tokens are chosen among.
        vocabulary: Number of tokens of the tokenizer.
        place: Logits of the k tokens, most probable first, (batch, k) -> which of them to take, (batch, 1).
        forbidden: Tokens that are never chosen.

    Returns:
        Token ids, (batch,).
    """
    allowed = logits[:, :vocabulary].cpu()
    if forbidden:
        never = torch.tensor([token for token in forbidden if token < allowed.shape[1]], dtype=torch.long)
        allowed = allowed.index_fill(1, never, -torch.inf)
    best = allowed.topk(min(k, vocabulary))
    return best.indices.gather(-1, place(best.values)).squeeze(-1)  # (batch,)


def place_of(uniform: Sequence[float]) -> Callable[[Tensor], Tensor]:
    """Chooses the place at which the distribution of each row reaches a number in [0, 1)."""

    def place(logits: Tensor) -> Tensor:
        reached = logits.double().softmax(-1).cumsum(-1)  # (batch, k)
        numbers = torch.tensor(uniform, dtype=torch.float64).unsqueeze(-1)  # (batch, 1)
        return (reached <= numbers).sum(-1, keepdim=True).clamp(max=logits.shape[-1] - 1)  # (batch, 1)

    return place


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
    length = min(max_tokens, context)
    encoded = encode_texts(tokenizer, [stem(prompt) for prompt in prompts])
    rows = [list(fit(text, context - LEAST_ROOM)) for text in encoded]
    # One generator a prompt, seeded by the prompt and its repetition: batches do not matter.
    times: Counter[str] = Counter()
    generators: list[random.Random] = []
    for prompt in prompts:
        generators.append(random.Random(f"{seed}/{times[prompt]}/{prompt}"))
        times[prompt] += 1
    needs = [max(0, length - len(row)) for row in rows]
    for batch in batches([len(row) for row in rows], needs, context, batch_size):
        drawing = [generators[i] for i in batch]

        def choose(logits: Tensor, drawing: list[random.Random] = drawing) -> Tensor:
            uniform = [generator.random() for generator in drawing]
            return choose_top_k(logits, top_k, len(tokenizer), place_of(uniform))

        extend_rows(model, tokenizer, [rows[i] for i in batch], [length] * len(batch), choose)
    return [_published(tokenizer, row) for row in rows]


def _published(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    text = str(tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))
    return unicodedata.normalize("NFKD", text).replace("\n\n", " ")
