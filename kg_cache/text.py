"""Text from strangers: quoted for messages, folded for comparison, cleaned for storage."""

from __future__ import annotations

import unicodedata


def show(text: str, limit: int = 120) -> str:
    """Foreign text made safe for a message: quoted, control and direction characters escaped, shortened."""
    return repr(text if len(text) <= limit else text[:limit] + "…")


def fold(text: str) -> str:
    """The form in which names are compared when case is ignored."""
    return unicodedata.normalize("NFC", text).casefold()


def storable(text: str) -> str:
    """The text with each lone surrogate replaced by a question mark, since SQLite cannot store it."""
    return text.encode("utf-8", "replace").decode("utf-8")
