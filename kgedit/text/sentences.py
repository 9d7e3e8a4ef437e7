"""Splits text into sentences and words by rules.

Close to NLTK's `word_tokenize`, which the published fluency uses: Penn Treebank rules for words; sentences end at
".", "!" or "?" before white space, except after initials and a short list of abbreviations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_END = re.compile(r"(?P<mark>[.!?]+)[\"'”’)\]]*(?=\s)|\n")
_ABBREVIATIONS = frozenset(
    ("dr", "mr", "mrs", "ms", "prof", "rev", "gen", "col", "lt", "sgt", "capt", "gov", "sen", "rep", "pres", "hon")
    + ("st", "mt", "ft", "jr", "sr", "inc", "ltd", "corp", "co", "bros", "no", "vol", "vs", "etc", "ca", "cf", "fl")
)
_TOKEN = re.compile(
    r"""\.\.\. | -- | [;@#$%&?!()\[\]{}<>"“”„«»–—’] | [,:](?!\d)
    | (?: (?!\.\.\.|--|[,:](?!\d)) [^\s;@#$%&?!()\[\]{}<>"“”„«»–—’] )+""",
    re.VERBOSE,
)
_CONTRACTION = re.compile(r"(.+?)(n't|'(?:s|m|d|ll|re|ve)|')", re.IGNORECASE)
_CLOSING = frozenset(")]}>\"'”’»")


def first_sentence(text: str) -> str:
    """The text up to the end of its first sentence or line, with the mark that ends it; spaces around are dropped."""
    text = text.strip(" ")
    return text[: next(sentence_ends(text), len(text))].rstrip()


def has_ended(text: str) -> bool:
    """Whether the first sentence or line is over: a full stop alone may still turn out to be an abbreviation's."""
    return next(sentence_ends(text.lstrip(" ")), None) is not None


def words(text: str) -> list[str]:
    """Word tokens: punctuation apart, contractions split ("do", "n't"), numbers such as 1,000 whole."""
    tokens: list[str] = []
    start = 0
    for end in (*sentence_ends(text), len(text)):
        tokens += _words_of_sentence(text[start:end])
        start = end
    return tokens


def sentence_ends(text: str) -> Iterator[int]:
    """Where each sentence or line ends, its mark included; a full stop at the very end of a text is none yet."""
    for match in _END.finditer(text):
        if match["mark"] is None:
            yield match.start()
        elif match["mark"] != "." or not is_abbreviated(text[: match.start()]):
            yield match.end()


def is_abbreviated(before: str) -> bool:
    """Whether a full stop after this text belongs to its last word."""
    word = re.split(r"[\s(\[\"'“‘]", before)[-1]
    return (len(word) == 1 and word.isalpha()) or "." in word.strip(".") or word.lower() in _ABBREVIATIONS


def _words_of_sentence(sentence: str) -> list[str]:
    tokens: list[str] = _TOKEN.findall(sentence)
    last = len(tokens) - 1
    while last > 0 and tokens[last] in _CLOSING:
        last -= 1
    # A sentence's own full stop is a token, also behind an abbreviation.
    if tokens and len(tokens[last]) > 1 and tokens[last].endswith(".") and tokens[last] != "...":
        tokens[last : last + 1] = [tokens[last][:-1], "."]
    parts = (_CONTRACTION.fullmatch(token) for token in tokens)
    return [
        word for token, split in zip(tokens, parts, strict=True) for word in (split.groups() if split else (token,))
    ]
