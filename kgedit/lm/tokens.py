"""Tokenises prompts and targets, and finds the subject's tokens by character offsets.

One tokenisation of the whole prompt decides; token ids are concatenated, text is never tokenised again. So
prompt tokens p_0 .. p_{T-1} and target tokens t_0 .. t_{L-1} meet exactly as they do in running text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from kgedit.errors import PromptError, SlowTokenizer, SubjectAmbiguous, SubjectNotFound, TargetError
from kgedit.io.text import short
from kgedit.text.boundary import boundary, stem
from kgedit.text.template import LITERAL, SLOT, split_slot

# Words to put before a target to see how it is tokenised inside a text; some never merge with what follows.
_ANCHORS = ("is", "of", ":", "a", "1", "Q:")
# The same for a target without a space before it, and how much of the prompt's own end is tried first.
_CLOSE_ANCHORS = ("\n", "(", '"', "-", ":", "：", "、", "1", "/")
_TAIL = 40

_TOLD = 200  # letters of a text in a message


@dataclass(frozen=True, slots=True)
class PromptTokens:
    """A prompt in tokens.

    Attributes:
        text: The prompt as text, prefix included.
        ids: Its token ids, with whatever the tokenizer puts before a text (BOS), nothing behind it.
        subject_first: Index of the first token of the subject.
        subject_last: Index of the last token of the subject.
    """

    text: str
    ids: tuple[int, ...]
    subject_first: int
    subject_last: int


@dataclass(frozen=True, slots=True)
class TextTokens:
    """A text in tokens: ids, the characters [start, stop) each covers, how many are put before it (BOS)."""

    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    leading: int


def encode_prompt(
    tokenizer: PreTrainedTokenizerBase,
    template: str,
    subject: str,
    *,
    prefix: str = "",
    max_length: int | None = None,
) -> PromptTokens:
    """Fill the slot of a template and find the subject's tokens by character offsets.

    Args:
        tokenizer: A fast tokenizer.
        template: Cloze with one slot "{}"; what belongs to the boundary at its end is dropped (see `boundary.stem`).
        subject: What goes into the slot.
        prefix: Text put before, e.g. "Some sentence. "; it may contain the subject, only the slot counts.
        max_length: The most tokens allowed, usually the model's context less the target.

    Raises:
        PromptError: The template has no slot or several, or the prompt is too long.
        SubjectNotFound: The subject is empty, or the tokenizer drops all of its characters.
        SlowTokenizer: The tokenizer gives no offsets.
    """
    before, after = split_slot(template)
    subject = subject.strip()
    if not subject:
        raise SubjectNotFound("the subject is empty; give the name that the prompt is about")
    start = len(prefix) + len(before)
    text = stem(prefix + before + subject + after)
    tokens = encode_texts(tokenizer, [text])[0]
    if max_length is not None and len(tokens.ids) > max_length:
        raise PromptError(
            f"the prompt has {len(tokens.ids)} tokens where the model has room for {max_length}: "
            f"{short(text, _TOLD)!r}. Shorten the prompt, the prefix or the target."
        )
    inside = [i for i, (a, b) in enumerate(tokens.spans) if a < start + len(subject) and b > start and a < b]
    if not inside:
        raise SubjectNotFound(
            f"the tokenizer drops every character of the subject {subject!r}; use another name for it"
        )
    return PromptTokens(text, tokens.ids, inside[0], inside[-1])


def encode_target(tokenizer: PreTrainedTokenizerBase, target: str, prompt: str = "") -> tuple[int, ...]:
    """Token ids of a target as they stand in running text behind a prompt.

    Whether a space is between them says `boundary`; behind no prompt, one is. Byte-level tokenizers begin a token with
    the space, SentencePiece tokenizers with their space mark, and others make it a token: the rule is read off the
    tokenizer by encoding the target behind a word, or behind the end of the prompt, without special tokens.

    Args:
        tokenizer: A fast tokenizer.
        target: Text that follows the prompt; white space around it is dropped.
        prompt: The prompt, its subject filled in, without context prefix.

    Raises:
        TargetError: The target is empty, turns into nothing, or holds characters unknown to the tokenizer.
        SlowTokenizer: The tokenizer gives no offsets.
    """
    target = target.strip()
    if not target:
        raise TargetError("the target is empty; name the object that the fact should have")
    _require_fast(tokenizer)
    if prompt and not boundary(prompt, target):
        anchors: tuple[str, ...] = (stem(prompt)[-_TAIL:], *_CLOSE_ANCHORS)
    else:
        anchors = tuple(f"{anchor} " for anchor in _ANCHORS)
    ids = next((ids for anchor in anchors if (ids := _ids_behind(tokenizer, anchor, target)) is not None), None)
    if ids is None:
        raise TargetError(f"the tokenizer merges {target!r} with any word before it; choose another wording")
    special = set(tokenizer.all_special_ids)
    if any(i in special for i in ids):
        raise TargetError(
            f"{target!r} holds characters that the tokenizer does not know, or one of its special tokens: "
            f"{tokenizer.convert_ids_to_tokens(list(ids))}; choose another wording"
        )
    if not str(tokenizer.decode(list(ids))).strip():
        raise TargetError(f"{target!r} turns into no visible token; choose another wording")
    return tuple(ids)


def encode_pair(
    tokenizer: PreTrainedTokenizerBase, prompt: str, target: str
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Token ids of a prompt, whose subject is filled in, and of the target behind it.

    Raises:
        TargetError, SlowTokenizer: See `encode_target`.
        PromptError: See `encode_texts`.
    """
    return encode_text(tokenizer, stem(prompt)), encode_target(tokenizer, target, prompt)


def encode_text(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[int, ...]:
    """Token ids of a text as the model reads it: with BOS where the tokenizer adds one, never with EOS."""
    return encode_texts(tokenizer, [text])[0].ids


def encode_texts(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[TextTokens]:
    """Tokenise several texts, each on its own; a BOS that a text spells out itself is not doubled.

    Raises:
        SlowTokenizer: The tokenizer gives no offsets.
        PromptError: A text is not valid Unicode.
    """
    _require_fast(tokenizer)
    for text in texts:
        if any("\ud800" <= ch <= "\udfff" for ch in text):
            raise PromptError(f"{short(text, _TOLD)!r} is not valid Unicode (half of a surrogate pair); correct it")
    if not texts:
        return []
    encoded = tokenizer(
        list(texts),
        add_special_tokens=True,
        padding=False,
        truncation=False,
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
        verbose=False,
    )
    rows = zip(encoded["input_ids"], encoded["offset_mapping"], encoded["special_tokens_mask"], strict=True)
    bos = tokenizer.bos_token_id
    return [_undoubled(_without_trailing(ids, spans, special), bos) for ids, spans, special in rows]


def as_spelled(prompt: str, name: str) -> str:
    """A name in the Unicode form (composed or decomposed) in which the prompt has it; else as it is."""
    forms = (name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name))
    return next((form for form in forms if form in prompt), name)


def find_subject(prompt: str, subject: str, *, template: bool = False) -> str:
    """Turn a prompt that spells out its subject into a template with "{}" in its place.

    The subject must stand there as a whole word or words, once. A prompt that has one "{}" already is
    returned as is.

    Args:
        prompt: A text with the subject, or with "{}" for it.
        subject: Name of the subject.
        template: "{}" is known to mean the subject, also where the subject is spelled out beside it.

    Raises:
        SubjectNotFound: The subject does not occur.
        SubjectAmbiguous: It occurs more than once, or beside a "{}", which may then mean itself (as in JSON).
        PromptError: The prompt has several slots.
    """
    subject = as_spelled(prompt, subject.strip())
    starts = [i for i in range(len(prompt)) if subject and prompt.startswith(subject, i)]
    whole = [i for i in starts if _is_whole(prompt, i, i + len(subject))]
    spelled = prompt[: whole[0]] + SLOT + prompt[whole[0] + len(subject) :] if len(whole) == 1 else ""
    if SLOT in prompt:
        if not whole or template:
            split_slot(prompt)
            return prompt
        # Beside a subject that is spelled out, braces must be written as literal ones.
        with suppress(PromptError):
            split_slot(spelled)
            return spelled
        raise SubjectAmbiguous(
            f'the prompt {short(prompt, _TOLD)!r} holds both "{SLOT}" and {subject!r}, so the place of the subject '
            f'is not clear; keep one of them, and write "{LITERAL}" for braces that mean themselves'
        )
    if not whole:
        hint = ""
        if subject and subject.casefold() in prompt.casefold():
            hint = " (it does in another spelling, or inside a longer word)"
        raise SubjectNotFound(
            f"the prompt {short(prompt, _TOLD)!r} does not contain {subject!r}{hint}; "
            'use the wording of the subject there, or "{}" in its place'
        )
    if len(whole) > 1:
        raise SubjectAmbiguous(
            f"the prompt {short(prompt, _TOLD)!r} contains {subject!r} {len(whole)} times; "
            'write "{}" in the place that is meant'
        )
    return spelled


def _is_whole(text: str, start: int, stop: int) -> bool:
    """Whether text[start:stop] is not the inside of a longer word; scripts without case join words."""

    def joined(left: str, right: str) -> bool:
        return all(ch.isdigit() or ch.lower() != ch.upper() for ch in (left, right))

    return not (start > 0 and joined(text[start - 1], text[start])) and not (
        stop < len(text) and joined(text[stop - 1], text[stop])
    )


def _without_trailing(ids: list[int], spans: list[tuple[int, int]], special: list[int]) -> TextTokens:
    """Drop what the tokenizer puts behind a text (EOS), count what it puts before."""
    leading = next((i for i, flag in enumerate(special) if not flag), len(ids))
    stop = len(ids)
    while stop > leading and special[stop - 1]:
        stop -= 1
    return TextTokens(tuple(ids[:stop]), tuple((int(a), int(b)) for a, b in spans[:stop]), leading)


def _undoubled(tokens: TextTokens, bos: int | None) -> TextTokens:
    """Keep one BOS where the tokenizer puts one before a text that begins with it, as chat templates do."""
    if bos is None or tokens.ids[:2] != (bos, bos):
        return tokens
    return TextTokens((bos, *tokens.ids[2:]), (tokens.spans[0], *tokens.spans[2:]), max(1, tokens.leading - 1))


def _ids_behind(tokenizer: PreTrainedTokenizerBase, anchor: str, target: str) -> list[int] | None:
    """The tokens of a target behind an anchor, whose spaces are the target's; None if it merges with the anchor."""
    alone, whole = _plain_ids(tokenizer, anchor.rstrip(" ")), _plain_ids(tokenizer, anchor + target)
    return whole[len(alone) :] if whole[: len(alone)] == alone else None


def _plain_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    try:
        return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
    except TypeError as error:
        raise TargetError(f"{short(text, _TOLD)!r} is not valid Unicode; correct it") from error


def _require_fast(tokenizer: PreTrainedTokenizerBase) -> None:
    if not getattr(tokenizer, "is_fast", False):
        raise SlowTokenizer(
            f"{type(tokenizer).__name__} gives no character offsets, so the subject cannot be found in "
            "the tokens; load the model's fast tokenizer (AutoTokenizer.from_pretrained(..., use_fast=True))"
        )
