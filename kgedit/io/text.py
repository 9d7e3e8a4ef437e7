"""Short texts for messages: a long value cut, the first fault of a record in one line."""

from __future__ import annotations

from pydantic import ValidationError


def reason(error: ValidationError) -> str:
    """The first fault of a record as one short line: where, what, and what stands there."""
    first, *others = error.errors(include_url=False, include_context=False)
    where = ".".join(str(step) for step in first["loc"]) or "record"
    text = f"{where}: {first['msg'].removeprefix('Value error, ')} (it is {short(repr(first['input']))})"
    return f"{text}, and {len(others)} more" if others else text


def short(text: str, limit: int = 80) -> str:
    """The text, or its beginning."""
    return text if len(text) <= limit else text[: limit - 3] + "..."


def sentence(text: str) -> str:
    """The beginning of a library's message, which may have many lines, with a full stop."""
    return short(" ".join(text.split()), 300).rstrip(".:, ") + "."
