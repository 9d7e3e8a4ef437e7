"""A stream of server-sent events that resumes after every interruption where it was."""

from __future__ import annotations

import json
import random
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator

from kg_cache.deadline import Deadline
from kg_cache.errors import EndpointBusy, EndpointDown, EndpointError, EndpointRefused, EndpointTruncated
from kg_cache.http_errors import plain_errors
from kg_cache.opener import open_within, safe_opener
from kg_cache.sparql import user_agent
from kg_cache.text import show
from kgedit.errors import FeedError
from kgedit.ingest.feeds.settings import FeedSettings
from kgedit.ingest.feeds.sse import Event, Parser

_LONGEST_PAUSE = 60.0  # seconds between two attempts, unless the server asks for more
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:.]{5,15}(Z|[+-][0-9:]{2,6})?)?|[0-9]{10,13}")


class EventSource:
    """The events of `settings.stream`, for as long as somebody takes them.

    When the connection ends, breaks or stays silent, it is made again after a pause that grows with each failure,
    from the last event received. Every event that arrives starts the counting anew.

    Args:
        settings: Address, contact, time limit, attempts.
        since: Where to start: an ISO time, milliseconds since 1970, or an event id; now if not given.
        sleep: Pauses for some seconds.
        on_wait: Told the seconds and the reason before each pause.

    Raises:
        FeedError: `since` is none of these.
    """

    def __init__(
        self,
        settings: FeedSettings,
        *,
        since: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
        on_wait: Callable[[float, str], None] | None = None,
    ) -> None:
        self._settings, self._sleep, self._on_wait = settings, sleep, on_wait
        self._host = urllib.parse.urlsplit(settings.stream).hostname or ""
        self._opener = safe_opener(settings.stream)
        self._since, self._last_id = _start(since)
        self._retry = 0.5

    def __iter__(self) -> Iterator[Event]:
        """The events as they come.

        Raises:
            EndpointError: The stream cannot be had: refused, or no event after all attempts.
        """
        failures = 0
        while True:
            reason: EndpointError = EndpointDown(f"{self._host} ended the connection")
            try:
                for event in self._connection():
                    failures = 0
                    yield event
            except (EndpointDown, EndpointBusy, EndpointTruncated) as error:
                reason = error
            except EndpointRefused as error:
                raise EndpointRefused(str(error).replace("KGEDIT_ENDPOINT", "KGEDIT_STREAM")) from error
            failures += 1
            if failures >= self._settings.attempts:
                raise reason
            self._pause(failures, reason)

    def _pause(self, failures: int, reason: EndpointError) -> None:
        seconds = min(self._retry * 3 ** (failures - 1) * random.uniform(1.0, 2.0), _LONGEST_PAUSE)
        if isinstance(reason, EndpointBusy) and reason.retry_after:
            seconds = max(seconds, reason.retry_after)
        if seconds > max(self._settings.retry_budget, _LONGEST_PAUSE):
            raise reason
        if self._on_wait:
            self._on_wait(seconds, str(reason))
        self._sleep(seconds)

    def _connection(self) -> Iterator[Event]:
        """The events of one connection, until it ends."""
        url, headers = self._settings.stream, {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        headers["User-Agent"] = user_agent(self._settings, self._host)
        if self._last_id:
            # The standard sends it as UTF-8; http.client writes Latin letters only, each as one byte.
            headers["Last-Event-ID"] = self._last_id.encode().decode("latin-1")
        elif self._since:
            url += "?since=" + urllib.parse.quote(self._since, safe="")
        request = urllib.request.Request(url, headers=headers)  # noqa: S310
        parser = Parser(self._last_id)
        # The deadline is that of the headers; the stream itself has no end.
        with Deadline(self._settings.timeout) as limit, plain_errors(self._host, limit):
            response = open_within(self._opener, request, limit)
        with response:
            if response.headers.get_content_type() != "text/event-stream":
                raise EndpointRefused(
                    f"{self._host} answered with {show(response.headers.get_content_type())} instead of a stream of "
                    "events; check KGEDIT_STREAM"
                )
            while True:
                with plain_errors(self._host):  # not around the yield: what its taker raises is not the host's
                    block = response.read1(65536)
                if not block:
                    return
                for event in parser.feed(block):
                    self._last_id = event.id
                    yield event
                self._last_id = parser.last_id
                if parser.retry is not None:
                    self._retry = parser.retry


def _start(since: str | None) -> tuple[str | None, str]:
    """The time or the event id to start from."""
    if since is None:
        return None, ""
    if _TIME.fullmatch(since):
        return since, ""
    try:
        offsets = json.loads(since)
    except (ValueError, RecursionError):
        offsets = None
    if not isinstance(offsets, list) or not all(isinstance(offset, dict) and "topic" in offset for offset in offsets):
        raise FeedError(
            f"a stream cannot start at {show(since)}; give a time such as 2026-11-23T10:00:00Z, or the event id that "
            "an earlier change names as its position"
        )
    return None, json.dumps(offsets, ensure_ascii=True, separators=(",", ":"))
