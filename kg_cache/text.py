"""Text from strangers: quoted for messages, folded for comparison, cleaned for storage."""

from __future__ import annotations

import re
import unicodedata


def show(text: str, limit: int = 120) -> str:
    """Foreign text made safe for a message: quoted, control and direction characters escaped, shortened."""
    return repr(text if len(text) <= limit else text[:limit] + "…")


# Control characters but tab and line break, what turns the direction of writing, line separators, lone surrogates.
_UNPRINTABLE = re.compile(
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069\\ufff9-\\ufffb\\ud800-\\udfff]"
)


def printable(text: str) -> str:
    r"""Foreign text made safe for a terminal: what would steer it is written as an escape such as \u001b."""
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def fold(text: str) -> str:
    """The form in which names are compared when case is ignored."""
    return unicodedata.normalize("NFC", text).casefold()


def sought(text: str) -> str:
    """`fold` of a text that is looked up: a lone surrogate, which SQLite refuses, becomes U+FFFD, in no name."""
    return fold(text.encode("utf-8", "surrogatepass").decode("utf-8", "replace"))


def storable(text: str) -> str:
    """The text with each lone surrogate replaced by a question mark, since SQLite cannot store it."""
    return text.encode("utf-8", "replace").decode("utf-8")
