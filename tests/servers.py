"""Real servers on loopback: a SPARQL engine with Wikidata-shaped triples, and the ways one can fail."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pyoxigraph

WD, WDT = "http://www.wikidata.org/entity/", "http://www.wikidata.org/prop/direct/"
LABEL, ALT_LABEL = (
    "http://www.w3.org/2000/01/rdf-schema#label",
    "http://www.w3.org/2004/02/skos/core#altLabel",
)
SAME_AS = "http://www.w3.org/2002/07/owl#sameAs"


def wikidata_rdf(
    triples: Iterable[tuple[str, str, str]],
    labels: Mapping[str, str | Mapping[str, str]] | None = None,
    aliases: Mapping[str, Iterable[str]] | None = None,
    redirects: Mapping[str, str] | None = None,
    extra: str = "",
) -> str:
    """N-Triples as Wikidata's own engine holds them.

    Args:
        triples: Direct claims as ids.
        labels: Label of each item or property, English or by language.
        aliases: English aliases.
        redirects: Merged items and what they became.
        extra: Further N-Triples.
    """
    lines = [f"<{WD}{s}> <{WDT}{p}> <{WD}{o}> ." for s, p, o in triples]
    for id, label in (labels or {}).items():
        for language, text in {"en": label}.items() if isinstance(label, str) else label.items():
            lines.append(f'<{WD}{id}> <{LABEL}> "{_escape(text)}"@{language} .')
    for id, names in (aliases or {}).items():
        lines += [f'<{WD}{id}> <{ALT_LABEL}> "{_escape(name)}"@en .' for name in names]
    lines += [f"<{WD}{old}> <{SAME_AS}> <{WD}{new}> ." for old, new in (redirects or {}).items()]
    return "\n".join([*lines, extra, ""])


def _escape(text: str) -> str:
    return "".join(ch if ch.isalnum() or ch in " -" else f"\\U{ord(ch):08X}" for ch in text)


@dataclass
class Fault:
    """One answer gone wrong; what is left at its default is as the engine would answer.

    Attributes:
        status: HTTP status.
        headers: Sent beside or instead of the usual ones.
        body: Instead of the rows.
        append: Sent after the rows.
        keep: Share of the body that is sent before the connection closes; the whole length is announced.
        delay: Seconds before the answer.
        drip: Seconds between single bytes.
        reset: Close without a word.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    append: bytes = b""
    keep: float = 1.0
    delay: float = 0.0
    drip: float = 0.0
    reset: bool = False


class SparqlServer:
    """A SPARQL endpoint at `url`, for use in a with block.

    Attributes:
        faults: Answers to give before the right ones, in order.
        always: Answer to give for ever when `faults` is empty.
        row_limit: An answer of more rows than this is cut off half-way.
        queries: Every query asked.
        agents: The User-Agent of each.
        most_at_once: Largest number of requests that were open at the same time.
    """

    def __init__(self, rdf: str = "", *, faults: Iterable[Fault] = (), always: Fault | None = None) -> None:
        self._store = pyoxigraph.Store()
        if rdf:
            self._store.load(rdf.encode(), format=pyoxigraph.RdfFormat.N_TRIPLES)
        self.faults = deque(faults)
        self.always = always
        self.row_limit: int | None = None
        self.queries: list[str] = []
        self.agents: list[str] = []
        self.most_at_once = 0
        self._open = 0
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}/sparql"

    def __enter__(self) -> SparqlServer:
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with server._lock:
                    server._open += 1
                    server.most_at_once = max(server.most_at_once, server._open)
                try:
                    server._answer(self)
                except (BrokenPipeError, ConnectionResetError):
                    pass
                finally:
                    with server._lock:
                        server._open -= 1

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        query = parse_qs(urlsplit(handler.path).query).get("query", [""])[0]
        self.queries.append(query)
        self.agents.append(handler.headers.get("User-Agent", ""))
        fault = self.faults.popleft() if self.faults else (self.always or Fault())
        time.sleep(fault.delay)
        if fault.reset:
            handler.connection.close()
            return
        status, body = (fault.status, b"") if fault.status != 200 else self._rows(query)
        body = (body if fault.body is None else fault.body) + fault.append
        handler.send_response(status)
        for name, value in {"Content-Type": "application/sparql-results+json", **fault.headers}.items():
            handler.send_header(name, value)
        if "Content-Length" not in fault.headers:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        body = body[: int(len(body) * fault.keep)]
        if not fault.drip:
            handler.wfile.write(body)
            return
        for byte in body:
            handler.wfile.write(bytes([byte]))
            time.sleep(fault.drip)

    def _rows(self, query: str) -> tuple[int, bytes]:
        if "service" in query.lower():
            return 400, b"SERVICE is refused here"
        try:
            found = self._store.query(query)
            body = bytes(found.serialize(format=pyoxigraph.QueryResultsFormat.JSON))
        except (SyntaxError, ValueError) as error:
            return 400, str(error).encode()
        if self.row_limit is not None and body.count(b'"item":{') > self.row_limit:
            return 200, body[: len(body) // 2]  # as when a time limit strikes half-way
        return 200, body
