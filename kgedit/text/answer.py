"""The part of a generated text that is shown as the answer. A full stop alone never ends one: names have some, too."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from kgedit.text.names import begins, ends_after, first_line, is_ordinary, starts_with
from kgedit.text.sentences import is_abbreviated, sentence_ends

_ORDINAL = re.compile(r"\d{1,3}\.(?=\s)")  # 2. Bundesliga
_ARTICLE = re.compile(r"(?:the|an?)\s+(?=\S)", re.IGNORECASE)
_WORD_END = re.compile(r"(?<=\S)(?=[\s,;:.!?()\"”»]|$)|(?<=[.)])(?=$|\s)")
_PHRASE_END = re.compile(r"[,;:.!?](?=\s|$)|\s[(–—-]|[\"”»。，、！？；：]")
_WORDS = 12  # of the longest name that is looked for


def shown(text: str, names: Iterable[str] = ()) -> str:
    """The first sentence of an answer without its full stop, but never cut inside a name that it begins with."""
    line = first_line(text)
    name = max((name for name in names if starts_with(line, name) and begins(line, [name])), key=len, default="")
    if name and (len(line) == len(name) or ends_after(line, name)):
        return line[: len(name)]
    ordinal = _ORDINAL.match(line)
    least = len(name) + (name[-1:] not in "!?") if name or not ordinal else ordinal.end() + 1
    sentence = line[: next((end for end in sentence_ends(line) if end >= least), len(line))].rstrip()
    return _without_stop(sentence)


def leading_name(text: str, is_name: Callable[[str], bool]) -> str:
    """The name that an answer begins with: the longest known one, or its first phrase where none is known.

    Args:
        text: A generated text.
        is_name: Whether something is called so, letter by letter.
    """
    line = first_line(text)
    article = _ARTICLE.match(line)
    for start in (0, article.end() if article else 0):
        ends = [match.start() for match in _WORD_END.finditer(line, start + 1)][: 2 * _WORDS]
        for end in reversed(ends):
            if not is_ordinary(line[start:end]) and is_name(line[start:end]):
                return line[start:end]
    sentence = shown(line)
    # "St. Louis" and "2. Bundesliga" are phrases; a mark inside the first two words of a sentence is theirs.
    marks = (match.start() for match in _PHRASE_END.finditer(sentence) if not _belongs(sentence, match.start()))
    return sentence[: next(marks, len(sentence))].strip()


def _without_stop(sentence: str) -> str:
    """The sentence without the full stop that ends it, where that is not also an abbreviation's."""
    if sentence.endswith("..") and not sentence.endswith("..."):  # behind a name with a stop of its own
        return sentence[:-1]
    return sentence[:-1] if sentence.endswith(".") and not is_abbreviated(sentence[:-1]) else sentence


def _belongs(sentence: str, place: int) -> bool:
    """Whether the full stop at a place belongs to the word before it."""
    before = sentence[:place]
    return sentence[place] == "." and (is_abbreviated(before) or before.isdigit())
