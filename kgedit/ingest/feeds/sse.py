"""A parser of server-sent events, by the rules of the HTML standard (section 9.2.6), bounded in size."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_EVENT = 1 << 20  # characters; the largest real events have some 100,000
_LINE_END = re.compile(r"\r\n|\n|\r(?!\Z)")


@dataclass(frozen=True)
class Event:
    """One event.

    Attributes:
        data: Its data lines, joined by line breaks.
        id: The last event id seen so far; a stream resumes after it.
        kind: Name of the event.
        problem: Why there is no data, if it was too large.
    """

    data: str
    id: str
    kind: str = "message"
    problem: str = ""


class Parser:
    """Takes blocks of bytes as they come and gives the events that are whole.

    Attributes:
        last_id: Id of the last whole event; what follows it is still to come.
        retry: Seconds that the server asks to wait before connecting again, if it does.
    """

    def __init__(self, last_id: str = "") -> None:
        """Start at the beginning of a connection; `last_id` is that of the one before."""
        self.last_id = self._id = last_id
        self.retry: float | None = None
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest, self._first = "", True
        self._data: list[str] = []
        self._size, self._kind = 0, ""
        self._too_large = False

    def feed(self, block: bytes) -> Iterator[Event]:
        """The events that this block completes; what a connection leaves unfinished is never one."""
        text = self._rest + self._decode(block)
        if self._first and text:
            text, self._first = text.removeprefix("\ufeff"), False
        *lines, self._rest = _LINE_END.split(text)
        for line in lines:
            yield from self._line(line)
        if len(self._rest) > MAX_EVENT:
            # Of a line that is far too long only the beginning is kept: enough to know what it is.
            self._rest, self._too_large = self._rest[:100], True

    def _line(self, line: str) -> Iterator[Event]:
        if not line:
            yield from self._dispatch()
            return
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._size += len(value) + 1
            if self._size > MAX_EVENT:
                self._too_large, value = True, ""
            self._data.append(value)
            if self._too_large:
                self._data = [""]
        elif name == "event":
            self._kind = value
        elif name == "id" and "\0" not in value:
            self._id = value  # counts once the event is whole, else it would be lost with a broken connection
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry = min(int(value[:9]), 3_600_000) / 1000

    def _dispatch(self) -> Iterator[Event]:
        self.last_id = self._id
        if self._too_large:
            yield Event("", self.last_id, self._kind or "message", f"larger than {MAX_EVENT:,} characters")
        elif self._data:
            yield Event("\n".join(self._data), self.last_id, self._kind or "message")
        self._data, self._size, self._kind, self._too_large = [], 0, "", False
