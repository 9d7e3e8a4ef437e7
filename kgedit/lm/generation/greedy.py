"""Greedy answers to many questions in shared batches, each up to its own end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.lm.anatomy import context_length
from kgedit.lm.generation.batches import batches
from kgedit.lm.generation.decode import Decoder
from kgedit.lm.generation.sentences import first_sentence, has_ended
from kgedit.lm.padding import pad_id
from kgedit.lm.scoring.fit import LEAST_ROOM, fit
from kgedit.lm.tokens import encode_texts

Until = Literal["sentence", "line", "block", "limit"]


class Ask(NamedTuple):
    """A prompt to be continued greedily.

    Attributes:
        prompt: A text; spaces at its end are dropped.
        limit: The most new tokens.
        until: Where the answer ends: with its first sentence or line, its line, at a blank line, or at the limit.
            The end-of-text token ends every answer.
        total: `limit` counts the prompt's tokens too.
    """

    prompt: str
    limit: int = 20
    until: Until = "sentence"
    total: bool = False


Answers = Mapping[Ask, str]


class _Row(NamedTuple):
    ask: Ask
    ids: tuple[int, ...]
    limit: int


def answer_all(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, asks: Iterable[Ask], *, batch_size: int = 64
) -> dict[Ask, str]:
    """Continue every different prompt once.

    Args:
        model: A causal language model; left as it was.
        tokenizer: Its tokenizer.
        asks: Prompts and where their answers end. A prompt that leaves no room for an answer of 16 tokens (or of
            its limit, if that is less) loses its beginning; answers also end where the context ends.
        batch_size: Prompts per forward pass.

    Returns:
        Ask -> continuation, without the prompt and without white space around it.

    Raises:
        PromptError: A prompt is empty.
    """
    wanted = list(dict.fromkeys(asks))
    texts = encode_texts(tokenizer, [ask.prompt.rstrip(" ") for ask in wanted])
    room = context_length(model)
    rows = []
    for ask, text in zip(wanted, texts, strict=True):
        limit = max(0, ask.limit - len(text.ids)) if ask.total else ask.limit
        ids = fit(text, room - min(limit, LEAST_ROOM))
        rows.append(_Row(ask, ids, min(limit, room - len(ids))))
    found: dict[Ask, str] = {}
    for batch in batches([len(row.ids) for row in rows], [row.limit for row in rows], room, batch_size):
        found.update(_continue(model, tokenizer, [rows[i] for i in batch]))
    return {ask: found[ask] for ask in wanted}


def _continue(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: Sequence[_Row]
) -> Iterator[tuple[Ask, str]]:
    """Answers of one batch."""
    decoder = Decoder(model, [row.ids for row in rows], pad_id(tokenizer))
    new: list[list[int]] = [[] for _ in rows]
    texts = [""] * len(rows)
    going = [row.limit > 0 for row in rows]
    while any(going):
        best = decoder.logits().argmax(-1)  # (batch,)
        for i, token in enumerate(best.tolist()):
            if going[i]:
                new[i].append(token)
                texts[i] = _text(tokenizer, new[i])
                going[i] = not (
                    len(new[i]) == rows[i].limit
                    or token == tokenizer.eos_token_id
                    or _is_over(texts[i], rows[i].ask.until)
                )
        decoder.append(best)
    for row, text in zip(rows, texts, strict=True):
        yield row.ask, _cut(text, row.ask.until)


def _text(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int]) -> str:
    kept = list(tokens)
    if kept[-1] == tokenizer.eos_token_id:
        del kept[-1]
    return str(tokenizer.decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def _is_over(text: str, until: Until) -> bool:
    if until == "sentence":
        return has_ended(text)
    return (until == "line" and "\n" in text) or (until == "block" and "\n\n" in text.lstrip())


def _cut(text: str, until: Until) -> str:
    if until == "sentence":
        return first_sentence(text)
    if until == "line":
        return text.partition("\n")[0].strip()
    return text.lstrip().partition("\n\n")[0].strip() if until == "block" else text.strip()
