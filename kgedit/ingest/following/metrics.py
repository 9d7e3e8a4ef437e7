"""Counters of a follower as Prometheus text, served on this machine only."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from kgedit.errors import SettingError

_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The last numbers that were told, as text."""

    def __init__(self) -> None:
        self._text = b""

    def tell(self, numbers: Mapping[str, tuple[str, str, Mapping[str, float]]]) -> None:
        """Replace the numbers.

        Args:
            numbers: Name -> type, help, and label (empty for none) -> value; the label is `of="..."`.
        """
        lines: list[str] = []
        for name, (kind, text, values) in numbers.items():
            lines += [f"# HELP kgedit_{name} {text}", f"# TYPE kgedit_{name} {kind}"]
            lines += [
                f'kgedit_{name}{{of="{label}"}} {value:.15g}' if label else f"kgedit_{name} {value:.15g}"
                for label, value in values.items()
            ]
        self._text = ("\n".join(lines) + "\n").encode()

    @contextmanager
    def served(self, port: int | None) -> Iterator[int | None]:
        """The numbers at http://127.0.0.1:port/metrics for the length of the block; nothing without a port.

        Args:
            port: The port; 0 for any that is free.

        Yields:
            The port.

        Raises:
            SettingError: The port is taken, or not to be had.
        """
        if port is None:
            yield None
            return
        try:
            server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        except OSError as error:
            raise SettingError(f"port {port} cannot be had ({error.strerror or error}); name another one") from error
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        metrics = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 10  # seconds for a request, so that nobody keeps a thread

            def do_GET(self) -> None:
                found = self.path in ("/metrics", "/")
                body = metrics._text if found else b"see /metrics\n"
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", _TYPE)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler
