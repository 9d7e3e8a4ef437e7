"""Greedy decoding of many prompts in shared batches, each answer up to its own end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.lm.anatomy import context_length
from kgedit.lm.context import LEAST_ROOM, check_room, fit
from kgedit.lm.generation.batches import batches
from kgedit.lm.generation.decode import Decoder
from kgedit.lm.generation.endings import Until, answer_text, cut, end_tokens, is_over
from kgedit.lm.hooks import frozen
from kgedit.lm.padding import pad_id
from kgedit.lm.tokens import encode_texts
from kgedit.text.boundary import stem


class Ask(NamedTuple):
    """A prompt to be continued greedily.

    Attributes:
        prompt: A text; spaces at its end are no part of it (see `boundary.stem`).
        limit: The most new tokens.
        until: Where the answer ends. An end-of-text token ends every answer.
        total: `limit` counts the prompt's tokens too.
    """

    prompt: str
    limit: int = 20
    until: Until = "line"
    total: bool = False


Answers = Mapping[Ask, str]


class Continuation(NamedTuple):
    """New tokens of a row, the one that ends it included, and natural logarithms of their probabilities, if asked."""

    tokens: list[int]
    logprobs: list[float]


def answer_all(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, asks: Iterable[Ask], *, batch_size: int | None = None
) -> dict[Ask, str]:
    """Continue every different prompt once.

    Args:
        model: A causal language model; left as it was.
        tokenizer: Its tokenizer.
        asks: Prompts and where their answers end. A prompt that leaves no room for an answer of 16 tokens (or of
            its limit, if that is less) loses its beginning; answers also end where the context ends.
        batch_size: Most prompts per forward pass; by default as many as suit the model's device.

    Returns:
        Ask -> continuation, without the prompt and without white space around it.

    Raises:
        PromptError: A prompt is empty.
    """
    different = list(dict.fromkeys(asks))
    texts = encode_texts(tokenizer, [stem(ask.prompt) for ask in different])
    ends = end_tokens(model, tokenizer)
    context = context_length(model)
    rows, limits = [], []
    for ask, text in zip(different, texts, strict=True):
        limit = max(0, ask.limit - len(text.ids)) if ask.total else ask.limit
        rows.append(fit(text, context - min(limit, LEAST_ROOM)))
        limits.append(min(limit, context - len(rows[-1])))
    answers: dict[Ask, str] = {}
    for batch in batches([len(row) for row in rows], limits, context, batch_size, on_gpu=model.device.type == "cuda"):
        asked = [different[i] for i in batch]
        continuations = continue_greedily(
            model, tokenizer, [rows[i] for i in batch], [limits[i] for i in batch], [ask.until for ask in asked]
        )
        for ask, (tokens, _) in zip(asked, continuations, strict=True):
            answers[ask] = cut(answer_text(tokenizer, tokens, ends), ask.until)
    return {ask: answers[ask] for ask in different}


def complete(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    *,
    max_new_tokens: int = 16,
    stop: Sequence[str] = (".", "\n"),
) -> list[str]:
    """The most probable continuation of each prompt, token by token, up to the first stop string.

    Args:
        model: A causal language model; left as it was.
        tokenizer: Its tokenizer.
        prompts: Texts; spaces at the end are dropped.
        max_new_tokens: The most tokens per answer; fewer where the context ends.
        stop: An answer ends before the first of these strings, or at an end-of-text token.

    Returns:
        Answers without the prompt, without white space around them.

    Raises:
        PromptError: A prompt is empty, or fills the context.
    """
    asks = []
    for prompt, text in zip(prompts, encode_texts(tokenizer, [stem(prompt) for prompt in prompts]), strict=True):
        check_room(model, text.ids, 1)
        room = context_length(model) - len(text.ids)  # so the prompt is not cut
        asks.append(Ask(prompt, min(max_new_tokens, room), tuple(stop)))
    answers = answer_all(model, tokenizer, asks)
    return [answers[ask] for ask in asks]


def continue_greedily(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Sequence[int]],
    limits: Sequence[int],
    untils: Sequence[Until],
    *,
    begun: int = 0,
    logprobs: bool = False,
) -> list[Continuation]:
    """The most probable token after each row, again and again: the one greedy loop.

    Args:
        model: A causal language model; left as it was.
        tokenizer: Its tokenizer.
        rows: Token ids of one batch.
        limits: The most new tokens of each row; with the longest row they fit into the context.
        untils: Where each answer ends.
        begun: How many tokens at the end of each row belong to its answer already.
        logprobs: Whether log-probabilities are wanted: a pass over the whole vocabulary for each token.
    """
    ends = end_tokens(model, tokenizer)
    answers = [list(row[len(row) - begun :]) for row in rows]
    told: list[list[float]] = [[] for _ in rows]

    def goes_on(number: int) -> bool:
        answer = answers[number]
        return (
            len(answer) - begun < limits[number]
            and not (answer and answer[-1] in ends)
            and not is_over(answer_text(tokenizer, answer, ends), untils[number])
        )

    going = [goes_on(number) for number in range(len(rows))]
    batch = list(range(len(rows)))  # numbers of the rows that the decoder still has
    decoder = Decoder(model, rows, pad_id(tokenizer), begun=begun)
    with frozen(model):
        while any(going):
            logits = decoder.logits()  # (batch, vocabulary)
            best = logits.argmax(-1)  # (batch,)
            if logprobs:
                logps = logits.log_softmax(-1).gather(-1, best.unsqueeze(-1)).squeeze(-1)  # (batch,)
                for number, logp in zip(batch, logps.tolist(), strict=True):
                    if going[number]:
                        told[number].append(logp)
            for number, token in zip(batch, best.tolist(), strict=True):
                if going[number]:
                    answers[number].append(token)
                    going[number] = goes_on(number)
            decoder.append(best)
            # Rows whose answers are over are computed no further, once they are half of the batch.
            left = [place for place, number in enumerate(batch) if going[number]]
            if 0 < len(left) <= len(batch) // 2:
                decoder.keep(left)
                batch = [batch[place] for place in left]
    return [Continuation(answer[begun:], of_row) for answer, of_row in zip(answers, told, strict=True)]
