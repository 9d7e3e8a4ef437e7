"""The boundary between a prompt and its target: one space, or none. Training, scoring and reading all ask here.

In this order:

1. A mark at the prompt's end says it: a space, or U+2060 (word joiner) for none. `marked` sets it, and it belongs to
   the boundary, not to the prompt that the model reads (`stem`).
2. No space follows a line break or tab, an opening bracket or quotation mark, a sign that is written close to what
   follows it (hyphen inside a word, slash, currency), an elided article ("l'"), or the end of a tag ("<answer>").
3. Scripts without spaces between words (Chinese, Japanese, Thai, ...) have none before a target either.
4. Everything else is followed by a space.
"""

from __future__ import annotations

import re
import unicodedata
from types import MappingProxyType
from typing import Literal

from kgedit.text.scripts import is_unspaced

Boundary = Literal["", " "]
"""What stands between a prompt and its target."""

JOINER = "\u2060"

# A closing mark that also opens in other languages -> the marks that it closes there; the same mark closes the first
# kind and opens the second: “a” in English, „a“ in German; «a» in French, »a« in Danish.
_PARTNERS = MappingProxyType({"“": "„", "‘": "‚", "«": "»", "‹": "›", "”": "“„", "’": "‘‚", "»": "«", "›": "‹"})
_STRAIGHT = "\"'`*"  # quotation marks and emphasis that look the same on both sides
_TAG = re.compile(r"<[^<>\s][^<>]*>$")
_ELIDED = re.compile(
    r"(?:^|[^\w'’])(?:[cdjlmnst]|qu|jusqu|lorsqu|puisqu|un|all|dall|dell|nell|sull|quell|bell)['’]$", re.I
)
# Signs written close to what follows: always; only where they begin a word; only where they stand inside one.
_CLOSE = "\\¿¡"
_CLOSE_AT_START = "#@+±~"
_CLOSE_INSIDE = "/_@=&"


def marked(prompt: str, boundary: Boundary | None) -> str:
    """A prompt that says itself how a target is joined to it; None leaves that to the rules."""
    if boundary is None:
        return prompt
    return stem(prompt) + (boundary or JOINER)


def stem(prompt: str) -> str:
    """The prompt as a model reads it: without spaces at its end, which belong to the boundary, and without a mark."""
    return prompt.rstrip(" " + JOINER)


def boundary(prompt: str, target: str) -> Boundary:
    """What stands between a prompt, whose subject is filled in, and a target."""
    text, target = stem(prompt), target.strip()
    mark = prompt[len(text) :]
    if mark:
        return "" if JOINER in mark else " "
    if not text or text[-1].isspace() or _is_close(text):
        return ""
    return "" if _runs_on(text, target) else " "


def tidied(prompt: str) -> str:
    """The prompt without spaces at its end where the rules put one anyway, whatever the target."""
    bare = stem(prompt)
    if prompt == bare or JOINER in prompt[len(bare) :]:
        return prompt
    return bare if boundary(bare, "a") == boundary(bare, "東") == " " else bare + " "


def joined(prompt: str, target: str) -> str:
    """Prompt and target as running text."""
    return stem(prompt) + boundary(prompt, target) + target.strip()


def _is_close(text: str) -> bool:
    """Whether the last character of a text is written close to whatever follows."""
    last, before = text[-1], text[-2:-1]
    category = unicodedata.category(last)
    attached = bool(before) and not before.isspace()
    if category == "Ps" or last in _CLOSE or (category == "Sc" and not text[:-1].rstrip()[-1:].isdigit()):
        return True
    if _TAG.search(text) or _ELIDED.search(text):
        return True
    if category == "Pd":  # a dash inside a word or range, not one between spaces or at the head of a list item
        return not text.rstrip(last)[-1:].isspace() and text.strip(last) != ""
    if category in ("Pi", "Pf") or last in _STRAIGHT:
        return _opens(text)
    return (last in _CLOSE_INSIDE and attached) or (last in _CLOSE_AT_START and not attached)


def _opens(text: str) -> bool:
    """Whether the quotation mark at the end of a text is an opening one."""
    line = text.rpartition("\n")[2]
    if len(set(line[-3:])) == 1 and line[-1] in "*_`":  # *** and ``` are one mark
        line = line.rstrip(line[-1]) + line[-1]
    elif line[-2:] in ("**", "__", "``"):
        line = line[:-1]
    last, before = line[-1], line[-2:-1]
    begins = not before or before.isspace() or unicodedata.category(before) in ("Ps", "Pi", "Pd")
    if last in _STRAIGHT:
        # An apostrophe or sign inside or behind a word is no quotation mark.
        unpaired = len(re.findall(rf"(?<![^\W_]){re.escape(last)}|{re.escape(last)}(?![^\W_])", line)) % 2 == 1
        return begins or (unpaired and not before.isalnum())
    partners = _PARTNERS.get(last, "")
    is_closing = any(line.count(mark) > line[:-1].count(last) for mark in partners)
    if unicodedata.category(last) == "Pi":
        return not is_closing
    return begins and not is_closing


def _runs_on(text: str, target: str) -> bool:
    """Whether prompt and target meet in a script without spaces between words."""
    last, first = text.rstrip("”’")[-1:] or text[-1], target[:1]
    if is_unspaced(last) and unicodedata.category(last)[0] == "P":
        return True
    word = text.split()[-1]
    if first and is_unspaced(first):
        return any(map(is_unspaced, word))
    # A target in Latin letters: what most of the prompt's letters are decides.
    letters = [ch for ch in text if ch.isalpha()]
    return is_unspaced(last) and 2 * sum(map(is_unspaced, letters)) > len(letters)
