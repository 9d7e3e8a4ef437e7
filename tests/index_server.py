"""A package index on loopback with one file, and the ways in which its answers end early or are others."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Index:
    """What the server holds.

    Attributes:
        name: File name of the one file.
        content: Its bytes.
        sent: What is sent instead of them.
        breaks: After how many bytes the answers to come are broken off, in turn; the later ones are not.
        ranges: Whether a part of the file can be asked for.
        html: Whether the page is one of HTML.
        url: Address of the simple API.
        asked: What the requests for the file had as Range.
    """

    name: str
    content: bytes
    sent: bytes | None = None
    breaks: list[int] = field(default_factory=list)
    ranges: bool = True
    html: bool = False
    url: str = ""
    asked: list[str | None] = field(default_factory=list)


@contextmanager
def package_index(index: Index) -> Iterator[Index]:
    """A running server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.index = index  # type: ignore[attr-defined]
    index.url = f"http://127.0.0.1:{server.server_port}/simple"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield index
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        index: Index = self.server.index  # type: ignore[attr-defined]
        place, sha256 = f"../../files/{index.name}", hashlib.sha256(index.content).hexdigest()
        if self.path == f"/files/{index.name}":
            self._file(index)
        elif self.path != "/simple/tiny-carrier/":
            self._answer(404, "text/plain", b"no such project")
        elif index.html:
            page = f"<a href='{place}x#sha256={'0' * 64}'>x</a> <a href='{place}#sha256={sha256}'>{index.name}</a>"
            self._answer(200, "text/html", page.encode())
        else:
            files = [{"filename": index.name, "url": place, "hashes": {"sha256": sha256}}]
            page = json.dumps({"meta": {"api-version": "1.0"}, "name": "tiny-carrier", "files": files})
            self._answer(200, "application/vnd.pypi.simple.v1+json", page.encode())

    def _file(self, index: Index) -> None:
        body, asked = index.content if index.sent is None else index.sent, self.headers.get("Range")
        index.asked.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and index.ranges else 0
        most = index.breaks.pop(0) if index.breaks else None
        if start:
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        self.wfile.write(body[start:][:most])
        self.close_connection = True

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
