"""Failures of an exchange over the network as `EndpointError` by their cause: too busy, too heavy, refused, down.

The engines behind Wikidata's data differ in how they say that a query took too long: Blazegraph answers 500 with the
query and a Java TimeoutException behind it, Virtuoso 500 with an error code, 206 or a header with part of the rows,
QLever 429 (otherwise "too many requests") with JSON that says so, gateways 504.
"""

from __future__ import annotations

import http.client
import re
import ssl
import time
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime

from kg_cache.deadline import Deadline
from kg_cache.errors import (
    EndpointBusy,
    EndpointDown,
    EndpointError,
    EndpointRefused,
    EndpointTruncated,
    UnsafeEndpoint,
)
from kg_cache.text import show

_DEFAULT_WAIT = 60.0  # seconds; what Wikimedia asks for when a 429 names no time
_ERROR_BYTES = 65_536  # read of an error's text; Blazegraph repeats the query before the cause

_HEAVY = re.compile(
    r"time[- ]?out|timed[ -]out|time limit|deadline exceeded"
    r"|(?:query|operation|execution) (?:was |has been |is )?(?:cancel|abort|interrupt|kill|terminat)"
    r"|execution time .{0,40}exceeds|out ?of ?memory|memory ?limit|allocate|(?:temp|transitive).{0,20} memory"
    r"|S1TAT|SR171|SR353|SP031|incomplete results",
    re.IGNORECASE | re.DOTALL,
)
_RATE = re.compile(r"too many requests|rate[- ]?limit|throttl|quota|requests? per|banned", re.IGNORECASE)
_TOO_LARGE = (413, 414, 431, 504, 524)  # request or query too large for server or gateway
_OVERLOADED = (509, 529)  # bandwidth used up, site overloaded


@contextmanager
def plain_errors(host: str, deadline: Deadline | None = None) -> Iterator[None]:
    """Whatever goes wrong between here and a host, as an `EndpointError` by its cause.

    Args:
        host: Named in the message.
        deadline: The time limit of the exchange; when it is over, that is the cause.
    """
    try:
        try:
            yield
        except urllib.error.HTTPError as error:
            raise _from_status(error, host) from error
        except http.client.IncompleteRead as error:
            raise EndpointTruncated(f"{host} broke off its answer; ask about fewer items") from error
        except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
            cause = getattr(error, "reason", error)
            if isinstance(cause, ssl.SSLCertVerificationError):
                raise UnsafeEndpoint(f"the certificate of {host} is not valid ({cause}); check the address") from error
            raise EndpointDown(f"{host} cannot be reached ({cause!r}); check the network and the address") from error
        except UnicodeError as error:  # Python encodes the host before it looks it up
            raise EndpointRefused(f"{host} is no name of a host; check the address of the endpoint") from error
    except EndpointError as error:
        if deadline and deadline.expired and not isinstance(error, UnsafeEndpoint):
            raise _too_late(host, deadline) from error
        raise
    if deadline and deadline.expired:  # the end of an answer without a length looks like its whole
        raise _too_late(host, deadline)


def is_heavy(text: str) -> bool:
    """Whether an engine's message says that a query took too long or too much."""
    return _HEAVY.search(text) is not None


def check_whole(status: int, headers: http.client.HTTPMessage, host: str) -> None:
    """Refuse an answer that says itself that it is only part of one, as Virtuoso's do.

    Raises:
        EndpointTruncated: It does.
    """
    said = f"{headers.get('X-SQL-State', '')} {headers.get('X-SQL-Message', '')}"
    if status == 206 or is_heavy(said):
        raise EndpointTruncated(
            f"{host} gave part of the answer ({status} {said.strip()[:80]!r}); ask about fewer items"
        )


def retry_after(value: str | None, now: float) -> float:
    """Seconds to wait by a Retry-After header: a number, or a date; 60 if it is missing, past or nonsense.

    Args:
        value: The header.
        now: The present as seconds since 1970.
    """
    try:
        seconds = float(value or "")
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value or "").timestamp() - now
        except (ValueError, OverflowError):
            return _DEFAULT_WAIT
    return seconds if 0 < seconds < float("inf") else _DEFAULT_WAIT


def _from_status(error: urllib.error.HTTPError, host: str) -> EndpointError:
    said = f"{host} answered {error.code}"
    with error:
        try:
            text = error.read(_ERROR_BYTES).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException):
            text = ""
    asked = error.headers.get("Retry-After")
    overloaded = error.code in _OVERLOADED or (error.code == 503 and asked)
    heavy = is_heavy(text) and not _RATE.search(text)
    if error.code in _TOO_LARGE or (heavy and not overloaded and (error.code >= 500 or error.code in (400, 408, 429))):
        return EndpointTruncated(f"{said}: the query took too long or too much; ask about fewer items")
    if error.code == 429 or overloaded:
        seconds = retry_after(asked, time.time())
        return EndpointBusy(f"{said} (busy) and asks to wait {seconds:g} s; try again later", seconds)
    if error.code >= 500 or error.code == 408:
        return EndpointDown(f"{said} {show(text)}; try again later")
    return EndpointRefused(f"{said} {show(text)}; check KGEDIT_ENDPOINT and KGEDIT_CONTACT")


def _too_late(host: str, deadline: Deadline) -> EndpointDown:
    return EndpointDown(
        f"{host} gave no whole answer within {deadline.seconds:g} s; try again later, ask about fewer items, or raise "
        "KGEDIT_TIMEOUT"
    )
