"""A SPARQL endpoint: sends one query at a time on this machine, waits as asked, retries by cause, checks the answer.

Requests carry our name and the user's contact. What a client did wrong is not repeated; what was too much for the
endpoint is left to the caller to ask for in smaller pieces.
"""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import metadata
from typing import Any, TypeVar
from urllib.parse import urlsplit

import stamina
from SPARQLWrapper import JSON, SPARQLWrapper

from kg_cache.answers import Row, read_answer
from kg_cache.deadline import Deadline
from kg_cache.errors import (
    EndpointBusy,
    EndpointDown,
    EndpointError,
    EndpointRefused,
)
from kg_cache.http_errors import check_whole, plain_errors, retry_after
from kg_cache.lock import LockTimeout, exclusive
from kg_cache.opener import open_within, read_bounded, safe_opener
from kg_cache.settings import Settings, is_loopback
from kg_cache.text import show

T = TypeVar("T")

_JSON_TYPES = frozenset({"application/sparql-results+json", "application/json"})


class Endpoint:
    """A SPARQL endpoint.

    Args:
        settings: Address, contact, limits.
        clock: Monotonic seconds.
        sleep: Pauses for some seconds; tests pass one that does not.
        on_wait: Told the seconds and the reason before each wait, e.g. to show them.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        on_wait: Callable[[float, str], None] | None = None,
    ) -> None:
        if not logging.getLogger("stamina").handlers:  # else its log line goes to stderr; `on_wait` tells of waits
            logging.getLogger("stamina").addHandler(logging.NullHandler())
        self._settings = settings
        self._clock = clock
        self._sleep = sleep
        self._on_wait = on_wait
        self._opener = safe_opener(settings.endpoint)
        self._host = urlsplit(settings.endpoint).hostname or ""
        self._not_before = clock()  # set when the endpoint asks to be left alone for longer than the budget
        self.requests = 0

    def select(self, query: str) -> list[Row]:
        """The rows of a SELECT query.

        Raises:
            EndpointBusy: It asks for a longer wait than the budget allows, or another process holds it.
            EndpointRefused: It turned the request down, or the answer is not SPARQL JSON.
            EndpointTruncated: The answer is cut off, too large, or took the endpoint too long.
            EndpointDown: It cannot be reached, or failed on every attempt.
            UnsafeEndpoint: It led elsewhere.
        """
        return self.politely(lambda: self._ask(query))

    def politely(self, ask: Callable[[], T]) -> T:
        """What `ask` returns, asked one at a time on this machine, with waits and retries by cause.

        Args:
            ask: Sends one request to this host and reads its answer.

        Raises:
            EndpointError: One of its kinds, as `ask` raises it, when there is no point in asking again.
        """
        deadline = self._clock() + self._settings.retry_budget
        with self._alone():
            if (early := self._not_before - self._clock()) > 0:
                self._wait(early, EndpointBusy("the endpoint asked to wait", early), deadline)
            retry = _Retry(self._wait, deadline, self._settings.attempts)
            for attempt in stamina.retry_context(on=retry.decide, attempts=None, timeout=None):
                with attempt:
                    return ask()
        raise EndpointDown("no attempt was made")  # unreachable: the loop returns or raises

    def _wait(self, seconds: float, error: EndpointError, deadline: float) -> None:
        """Sleep, or give up with `error` if that would exceed the budget."""
        if self._clock() + seconds > deadline:
            if isinstance(error, EndpointBusy):
                self._not_before = max(self._not_before, self._clock() + seconds)
            raise error
        if self._on_wait:
            self._on_wait(seconds, str(error))
        self._sleep(seconds)

    def _ask(self, query: str) -> list[Row]:
        deadline = self._clock() + self._settings.timeout
        with Deadline(self._settings.timeout) as limit, plain_errors(self._host, limit):
            self.requests += 1
            response = self._request(query, limit).query().response
            with response:
                kind = response.headers.get_content_type() if "content-type" in response.headers else ""
                check_whole(response.status, response.headers, self._host)
                body = read_bounded(response, self._settings.max_response_bytes, deadline, self._clock)
        if kind not in _JSON_TYPES:
            raise EndpointRefused(
                f"{self._host} answered with {kind or 'no content type'} instead of SPARQL JSON: "
                f"{show(body[:300].decode('utf-8', 'replace'))}; check KGEDIT_CONTACT "
                "(sent as the User-Agent) and KGEDIT_ENDPOINT"
            )
        return read_answer(body, self._host, _selected(query))

    def _request(self, query: str, limit: Deadline) -> SPARQLWrapper:
        wrapper = _PolicedWrapper(self._settings.endpoint, agent=user_agent(self._settings, self._host))
        wrapper.opener, wrapper.limit = self._opener, limit
        if self._settings.default_graph:
            wrapper.addParameter("default-graph-uri", self._settings.default_graph)
        wrapper.setReturnFormat(JSON)
        wrapper.setQuery(query)
        return wrapper

    @contextmanager
    def _alone(self) -> Iterator[None]:
        folder, budget = self._settings.cache_dir, self._settings.retry_budget
        with ExitStack() as stack:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                lock = folder / f"{self._host.replace(':', '_')}.lock"
                stack.enter_context(exclusive(lock, timeout=budget))
            except LockTimeout as error:
                raise EndpointBusy(f"process {error.owner} is asking {self._host}; wait for it to finish") from error
            except OSError as error:
                raise EndpointError(f"cannot write to {folder} ({error}); set KGEDIT_CACHE_DIR") from error
            yield


class _PolicedWrapper(SPARQLWrapper):
    """SPARQLWrapper writes the request; our opener, not urllib's global one, sends it."""

    opener: Any
    limit: Deadline

    def _query(self) -> tuple[Any, str]:
        return open_within(self.opener, self._createRequest(), self.limit), self.returnFormat


class _Retry:
    """Decides by cause whether to ask again, and waits before saying yes."""

    def __init__(self, wait: Callable[[float, EndpointError, float], None], deadline: float, attempts: int) -> None:
        self._wait, self._deadline, self._left = wait, deadline, attempts - 1
        self._pause = 0.5

    def decide(self, error: Exception) -> bool | float:
        if isinstance(error, EndpointBusy):
            seconds = error.retry_after or retry_after(None, 0)
        elif isinstance(error, EndpointDown):
            seconds = self._pause * random.uniform(1.0, 2.0)
            self._pause *= 3
        else:
            return False
        if self._left <= 0:
            return False
        self._left -= 1
        self._wait(seconds, error, self._deadline)
        return 0.0


def _selected(query: str) -> list[str]:
    """The variables that a query selects."""
    return re.findall(r"\?(\w+)", re.sub(r"\([^?]*\bAS\b", "", query.partition("SELECT")[2].partition("WHERE")[0]))


def user_agent(settings: Settings, host: str) -> str:
    """How requests to a host name themselves.

    Raises:
        EndpointRefused: There is nobody to reach, and the host is not this machine.
    """
    if settings.contact is None and not is_loopback(host):
        raise EndpointRefused(f"{host} wants to know whom to reach; set KGEDIT_CONTACT to your mail address or page")
    return f"kgedit/{_version()} ({settings.contact or 'local'})"


def _version() -> str:
    try:
        return metadata.version("kgedit")
    except metadata.PackageNotFoundError:
        return "0"
