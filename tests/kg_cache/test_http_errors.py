"""Too heavy is not too busy: each engine's own words, and a deadline that no drip outlives."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from kg_cache import queries
from kg_cache.errors import EndpointDown, EndpointError, EndpointRefused, EndpointTruncated
from kg_cache.settings import Settings
from kg_cache.sparql import Endpoint
from kg_cache.store import Store
from kg_cache.wikidata import Wikidata
from servers import Fault, SparqlServer

MakeSettings = Callable[..., Settings]
QUERY = queries.claims(["Q937"], 10)
QLEVER = json.dumps({"exception": "Operation timed out. Last operation: Sort on ?item", "status": "ERROR"}).encode()
BLAZEGRAPH = b"SPARQL-QUERY: queryStr=" + b"SELECT * " * 400 + b"\njava.util.concurrent.TimeoutException\n\tat com.big"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=429, headers={"Content-Type": "application/json"}, body=QLEVER),
        Fault(status=429, body=b'{"exception": "Operation was cancelled. Last operation: Join"}'),
        Fault(body=QLEVER),
        Fault(status=500, body=b'{"exception": "Tried to allocate 8 GB, but only 5 GB were available."}'),
        Fault(status=500, body=BLAZEGRAPH),
        Fault(status=500, body=b"Virtuoso S1T00 Error SR171: Transaction timed out"),
        Fault(status=500, body=b"Virtuoso 42000 Error The estimated execution time 6000 (sec) exceeds the limit"),
        Fault(status=500, body=b"Virtuoso 22023 Error SR353: Sorted TOP clause specifies more then 25001 rows"),
        Fault(headers={"X-SQL-State": "S1TAT", "X-SQL-Message": "RC...: Returning incomplete results"}),
        Fault(status=504, body=b"<h1>504 Gateway Time-out</h1>"),
        Fault(status=414),
    ],
)
def test_a_query_that_is_too_heavy_is_left_to_be_halved(
    server: SparqlServer, settings: MakeSettings, clock, fault: Fault
) -> None:
    server.always = fault
    with pytest.raises(EndpointTruncated):
        Endpoint(settings(server.url), clock=clock, sleep=clock.sleep).select(QUERY)
    assert (len(server.queries), clock.slept) == (1, [])


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=429, headers={"Retry-After": "7"}, body=b"Too Many Requests - please retry after your timeout"),
        Fault(status=429, body=b"Rate limit exceeded"),
        Fault(status=503, headers={"Retry-After": "7"}, body=b"overloaded"),
        Fault(status=529),
    ],
)
def test_an_endpoint_that_is_too_busy_is_waited_for(
    server: SparqlServer, settings: MakeSettings, clock, fault: Fault
) -> None:
    server.faults.append(fault)
    assert len(Endpoint(settings(server.url), clock=clock, sleep=clock.sleep).select(QUERY)) == 4
    assert clock.slept == [7 if fault.headers else 60]


@pytest.mark.parametrize(
    "body",
    [
        b'{"head": {"vars": ["s", "p", "o"]}, "results": {"bindings": []}}',
        b'{"head": {"vars": []}, "results": {"bindings": []}}',
        b'{"results": {"bindings": []}}',
        b'{"head": {"vars": ["s"]}, "results": {"bindings": [{"s": {"type": "uri", "value": "x"}}]}}',
        b'{"head": {"vars": ["item", "property", "value", "kind", "name"]}, "results": {"bindings": [{}]}}',
        b'{"head": {}, "boolean": true}',
    ],
)
def test_an_answer_of_another_shape_is_none_and_deletes_nothing(
    server: SparqlServer, settings: MakeSettings, store: Store, body: bytes
) -> None:
    graph = Wikidata(store, Endpoint(settings(server.url)), settings=settings(server.url))
    graph.fetch(["Q937"])
    before = list(store.triples())
    assert before
    server.always = Fault(body=body)
    with pytest.raises(EndpointRefused):
        graph.fetch(["Q937"])
    assert list(store.triples()) == before


@pytest.fixture
def dripping() -> Iterator[Callable[[bytes, bytes], str]]:
    """A server that sends a beginning, then the same bytes again and again."""
    listening = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def serve(head: bytes, drip: bytes) -> None:
        with listening.accept()[0] as connection:
            connection.recv(65536)
            try:
                connection.sendall(head)
                while not stop.wait(0.05):
                    connection.sendall(drip)
            except OSError:
                pass

    def start(head: bytes, drip: bytes) -> str:
        threading.Thread(target=serve, args=(head, drip), daemon=True).start()
        return f"http://127.0.0.1:{listening.getsockname()[1]}/sparql"

    yield start
    stop.set()
    listening.close()


@pytest.mark.parametrize(
    ("head", "drip"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\nX"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
        (b"HTTP/1.1 500 Failed\r\nContent-Length: 9999\r\n\r\n", b"x"),
        (b"HTTP/1.1 302 Moved\r\nLocation: /sparql\r\nContent-Length: 9999\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n", b" "),
    ],
)
def test_a_server_that_drips_meets_the_deadline(
    dripping: Callable[[bytes, bytes], str], settings: MakeSettings, head: bytes, drip: bytes
) -> None:
    asked = Endpoint(settings(dripping(head, drip), timeout=0.5, attempts=1))
    failure: list[Exception] = []

    def ask() -> None:
        try:
            asked.select(QUERY)
        except EndpointError as error:
            failure.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(timeout=20)
    assert not asking.is_alive(), "it is still waiting"
    assert isinstance(failure[0], EndpointDown)


@pytest.mark.parametrize("target", ["http://[::1", "http://[", "//[::1/x", "http://127.0.0.1:99999999/"])
def test_a_redirect_to_no_address_is_refused(server: SparqlServer, settings: MakeSettings, target: str) -> None:
    server.always = Fault(status=302, headers={"Location": target})
    with pytest.raises(EndpointError, match="redirects to"):
        Endpoint(settings(server.url)).select(QUERY)
    assert len(server.queries) == 1
