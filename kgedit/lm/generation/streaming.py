"""Greedy decoding of one prompt token by token, for a text that is read while it grows."""

from __future__ import annotations

from collections.abc import Iterator

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.lm.anatomy import context_length
from kgedit.lm.context import check_room
from kgedit.lm.generation.decode import Decoder
from kgedit.lm.generation.endings import answer_text, end_tokens
from kgedit.lm.hooks import frozen
from kgedit.lm.padding import pad_id
from kgedit.lm.tokens import encode_texts
from kgedit.text.boundary import stem

_HALF_LETTER = "\ufffd"  # what a letter of several tokens is decoded to before the last of them is there


def stream(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: str, *, max_new_tokens: int = 60
) -> Iterator[str]:
    """The most probable continuation, as far as it is written, after each of its tokens.

    The model must stay as it is until the last text was taken.

    Args:
        model: A causal language model; left as it was.
        tokenizer: Its tokenizer.
        prompt: A text; spaces at the end are dropped.
        max_new_tokens: The most tokens; fewer at an end-of-text token, and where the context ends.

    Raises:
        PromptError: The prompt is empty, or fills the context.
    """
    (text,) = encode_texts(tokenizer, [stem(prompt)])
    check_room(model, text.ids, 1)
    ends, limit = end_tokens(model, tokenizer), min(max_new_tokens, context_length(model) - len(text.ids))
    decoder, tokens = Decoder(model, [text.ids], pad_id(tokenizer)), list[int]()
    while len(tokens) < limit:
        with frozen(model):  # not while the text is read
            best = decoder.logits().argmax(-1)  # (1,)
        if int(best) in ends:
            return
        tokens.append(int(best))
        decoder.append(best)
        yield answer_text(tokenizer, tokens, ends).rstrip(_HALF_LETTER)
