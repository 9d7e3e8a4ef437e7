"""One time limit for a whole exchange over the network: connecting, sending, every header, redirect and body."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from types import TracebackType


class Deadline:
    """Shuts down the connections of an exchange when its time is over, whatever they are waiting for.

    A time limit of a socket counts between two bytes only: a server that sends one now and then meets it for ever.

    Attributes:
        seconds: The time that the exchange may take, from entering the block.
        expired: Whether it is over.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self.expired = seconds, False
        self._ends = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._connections: list[socket.socket] = []

    def __enter__(self) -> Deadline:
        self._ends = time.monotonic() + self.seconds
        self._timer = threading.Timer(self.seconds, self._expire)
        self._timer.daemon = True
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()

    def connect(self, address: tuple[str, int], source: tuple[str, int] | None = None) -> socket.socket:
        """A connection to the first address of a host that answers in what is left of the time.

        Raises:
            OSError: None does.
        """
        failure: OSError = TimeoutError("timed out")
        for *_, place in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
            left = self._ends - time.monotonic()
            if left <= 0:
                break
            try:
                host = str(place[0]), int(place[1])
                connection = socket.create_connection(host, timeout=left, source_address=source)
            except OSError as error:
                failure = error
                continue
            # A second handle on the same connection: encryption takes the first one over.
            with self._lock:
                self._connections.append(connection.dup())
            if self.expired:
                self._expire()
            return connection
        raise failure

    def _expire(self) -> None:
        with self._lock:
            self.expired = True
            for connection in self._connections:
                with suppress(OSError):  # closed by the other side
                    connection.shutdown(socket.SHUT_RDWR)
