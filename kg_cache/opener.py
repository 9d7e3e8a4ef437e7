"""Opener of web requests: to the endpoint's own host only, over https, never to a private address."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import urllib.request
from collections.abc import Callable
from functools import partial
from typing import IO, Any, cast
from urllib.parse import urljoin, urlsplit

from kg_cache.deadline import Deadline
from kg_cache.errors import AnswerTooLarge, EndpointDown, UnsafeEndpoint
from kg_cache.settings import is_loopback
from kg_cache.text import show


def safe_opener(endpoint: str) -> urllib.request.OpenerDirector:
    """An opener that can reach the endpoint and nothing else.

    It knows no file:, ftp: or data: addresses. Redirects stay on scheme, host and port of the endpoint.
    Unless the endpoint is on this machine, connections that lead to a private or local address are closed
    before a byte is sent (a proxy from the environment is trusted to be where the user put it).
    """
    here = is_loopback(urlsplit(endpoint).hostname or "")
    opener = urllib.request.OpenerDirector()
    web = (_HTTPHandler(), _HTTPSHandler()) if here else (_PublicHTTPSHandler(),)
    for handler in (
        *web,
        urllib.request.ProxyHandler({} if here else None),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _SameHostRedirects(endpoint),
    ):
        opener.add_handler(handler)
    return opener


def open_within(
    opener: urllib.request.OpenerDirector, request: urllib.request.Request, deadline: Deadline
) -> http.client.HTTPResponse:
    """Send a request whose connections end with the deadline.

    Args:
        opener: From `safe_opener`.
        request: What to ask.
        deadline: Entered, and left only when the answer is read.
    """
    request.deadline = deadline  # type: ignore[attr-defined]  # the handlers below find it there
    return cast(http.client.HTTPResponse, opener.open(request, timeout=deadline.seconds))


def read_bounded(response: http.client.HTTPResponse, most: int, deadline: float, clock: Callable[[], float]) -> bytes:
    """Read a whole answer, but no more than `most` bytes and not past `deadline`.

    Raises:
        AnswerTooLarge: It is larger.
        EndpointDown: It trickles in more slowly than the deadline allows.
    """
    body = bytearray()
    while block := response.read1(65536):  # whatever has arrived, so that a trickle meets the deadline
        body += block
        if len(body) > most:
            raise AnswerTooLarge(
                f"the answer is larger than {most} bytes; ask about fewer items, or raise KGEDIT_MAX_RESPONSE_BYTES"
            )
        if clock() > deadline:
            raise EndpointDown(f"only {len(body)} bytes of the answer arrived in time; try again later")
    return bytes(body)


class _SameHostRedirects(urllib.request.HTTPRedirectHandler):
    def __init__(self, endpoint: str) -> None:
        self._origin = _origin(endpoint)

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        self._check(newurl)
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        if request is not None:
            request.deadline = _deadline_of(req)  # type: ignore[attr-defined]
        return request

    def http_error_302(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
    ) -> Any:
        # urllib refuses a redirect to file: by itself, but as if the server had failed
        if target := headers.get("location") or headers.get("uri"):
            self._check(target, req.full_url)
        fp.close()  # its body may be endless
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def _check(self, target: str, base: str = "") -> None:
        try:
            origin = _origin(urljoin(base, target))
        except ValueError:  # no address at all, e.g. http://[::1
            origin = ("", "", None)
        if origin != self._origin:
            raise UnsafeEndpoint(
                f"{self._origin[1]} redirects to {show(target)}, which is another place; "
                "if that move is genuine, set KGEDIT_ENDPOINT to the new address"
            )


def _deadline_of(request: urllib.request.Request) -> Deadline:
    return getattr(request, "deadline", None) or Deadline(request.timeout or 60.0)


class _HTTPHandler(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_timed(http.client.HTTPConnection, _deadline_of(req)), req)


class _HTTPSHandler(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_timed(http.client.HTTPSConnection, _deadline_of(req)), req)


class _PublicHTTPSHandler(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_timed(_PublicHTTPSConnection, _deadline_of(req)), req)


def _timed(kind: Callable[..., Any], deadline: Deadline) -> Any:
    """A maker of connections that end with the deadline."""

    def make(*args: Any, **kwargs: Any) -> Any:
        connection = kind(*args, **kwargs)
        connection._create_connection = partial(_connect, connection, deadline)
        return connection

    return make


def _connect(
    connection: Any, deadline: Deadline, address: tuple[str, int], timeout: object = None, source: Any = None
) -> socket.socket:
    made = deadline.connect(address, source)
    if isinstance(connection, _PublicHTTPSConnection):
        connection.check(made)
    return made


class _PublicHTTPSConnection(http.client.HTTPSConnection):
    """Looks at the address that was really connected to, so that no name server can lead inside."""

    _tunnel_host: str | None

    def check(self, connection: socket.socket) -> None:
        """Close a connection that leads to a private address; a proxy is trusted to be where the user put it."""
        address = str(connection.getpeername()[0]).split("%")[0]
        if self._tunnel_host is None and not ipaddress.ip_address(address).is_global:
            connection.close()
            raise UnsafeEndpoint(f"{self.host} leads to {address}, which is no public address; check its name")


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    return parts.scheme, parts.hostname or "", port or {"https": 443, "http": 80}.get(parts.scheme)
