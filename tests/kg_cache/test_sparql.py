"""An endpoint that is busy, down, lying or hostile costs the user a clear error, never a wrong fact."""

from __future__ import annotations

import email.utils
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from kg_cache import queries
from kg_cache.errors import (
    EndpointBusy,
    EndpointDown,
    EndpointError,
    EndpointRefused,
    EndpointTruncated,
    UnsafeEndpoint,
)
from kg_cache.http_errors import retry_after
from kg_cache.settings import Settings
from kg_cache.sparql import Endpoint
from servers import Fault, SparqlServer

MakeSettings = Callable[..., Settings]
QUERY = queries.claims(["Q937"], 10)


def endpoint(settings: Settings, clock) -> Endpoint:  # type: ignore[no-untyped-def]
    return Endpoint(settings, clock=clock, sleep=clock.sleep)


def test_it_introduces_itself_on_every_request(server: SparqlServer, settings: MakeSettings, clock) -> None:
    server.faults.append(Fault(status=429, headers={"Retry-After": "7"}))
    assert len(endpoint(settings(server.url), clock).select(QUERY)) == 4
    name, _, contact = server.agents[0].partition(" ")
    assert name.startswith("kgedit/")
    assert contact == "(tests@example.org)"
    assert len(set(server.agents)) == 1 and len(server.agents) == 2  # noqa: PT018


def test_without_a_contact_no_public_endpoint_is_asked(settings: MakeSettings, tmp_path) -> None:
    silent = Settings(cache_dir=tmp_path, contact=None)
    with pytest.raises(EndpointRefused, match="KGEDIT_CONTACT"):
        Endpoint(silent).select(QUERY)


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("7", 7, 7),
        ("-5", 60, 60),
        ("soon", 60, 60),
        (None, 60, 60),
        ("nan", 60, 60),
        ("a date in 100 s", 1, 100),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 60, 60),
    ],
)
def test_it_waits_as_long_as_it_is_asked_to(
    server: SparqlServer, settings: MakeSettings, clock, header: str | None, least: float, most: float
) -> None:
    shown: list[float] = []
    if header == "a date in 100 s":
        header = email.utils.formatdate(time.time() + 100, usegmt=True)
    server.faults.append(Fault(status=429, headers={"Retry-After": header} if header else {}))
    asked = Endpoint(
        settings(server.url),
        clock=clock,
        sleep=clock.sleep,
        on_wait=lambda seconds, why: shown.append(seconds),
    )
    assert len(asked.select(QUERY)) == 4
    assert least <= clock.slept[0] <= most
    assert shown == clock.slept
    assert asked.requests == 2


def test_a_huge_wait_is_refused_at_once_and_remembered(server: SparqlServer, settings: MakeSettings, clock) -> None:
    server.faults.append(Fault(status=429, headers={"Retry-After": "86400"}))
    asked = endpoint(settings(server.url), clock)
    for _ in range(2):  # the second time, without a request that could lead to a ban
        with pytest.raises(EndpointBusy) as caught:
            asked.select(QUERY)
        assert caught.value.retry_after == 86400
    assert (len(server.queries), clock.slept) == (1, [])
    clock.now += 86400
    assert len(asked.select(QUERY)) == 4


def test_the_budget_bounds_all_waits_together(server: SparqlServer, settings: MakeSettings, clock) -> None:
    server.always = Fault(status=429, headers={"Retry-After": "50"})
    with pytest.raises(EndpointBusy):
        endpoint(settings(server.url, retry_budget=120, attempts=20), clock).select(QUERY)
    assert clock.slept == [50, 50]


def test_retry_after_is_never_negative_or_endless() -> None:
    assert retry_after("inf", 0) == 60
    assert retry_after("Thu, 01 Jan 1970 00:02:00 GMT", 30) == 90


@pytest.mark.parametrize(
    "fault",
    [
        Fault(
            headers={"Content-Type": "text/html"},
            body=b"Please set a user-agent and respect our robot policy",
        ),
        Fault(headers={"Content-Type": "text/plain; charset=utf-8"}, body=b'{"results": {"bindings": []}}'),
        Fault(status=403, body=b"forbidden: set a user-agent"),
        Fault(status=400, body=b"bad query"),
        Fault(status=404),
        Fault(body=b'{"error": "no"}'),
        Fault(body=b'{"results": {"bindings": [{"item": {"type": "planet", "value": 3}}]}}'),
        Fault(body=b'["results"]'),
    ],
    ids=["html", "text", "403", "400", "404", "error", "terms", "list"],
)
def test_a_refusal_is_not_asked_again(server: SparqlServer, settings: MakeSettings, clock, fault: Fault) -> None:
    server.always = fault
    with pytest.raises(EndpointRefused, match="KGEDIT_"):
        endpoint(settings(server.url), clock).select(QUERY)
    assert len(server.queries) == 1
    assert clock.slept == []


@pytest.mark.parametrize(
    "fault",
    [
        Fault(keep=0.5),
        Fault(append=b"java.util.concurrent.TimeoutException\n\tat com.bigdata"),
        Fault(body=b""),
        Fault(body=b"[" * 100_000),
        Fault(body=b'{"results": {"bindings": []}}' + b" " * 20_000),
        Fault(status=500, body=b"java.util.concurrent.TimeoutException"),
    ],
    ids=["half", "appended", "empty", "deep", "large", "computed too long"],
)
def test_half_an_answer_is_no_answer(server: SparqlServer, settings: MakeSettings, clock, fault: Fault) -> None:
    server.always = fault
    with pytest.raises(EndpointTruncated):
        endpoint(settings(server.url, max_response_bytes=20_000), clock).select(QUERY)
    assert len(server.queries) == 1


@pytest.mark.parametrize(
    "fault", [Fault(reset=True), Fault(status=500), Fault(status=502), Fault(status=408), Fault(status=503)]
)
def test_a_passing_failure_is_tried_again(server: SparqlServer, settings: MakeSettings, clock, fault: Fault) -> None:
    server.faults.extend([fault, fault])
    assert len(endpoint(settings(server.url), clock).select(QUERY)) == 4
    assert len(clock.slept) == 2
    assert 0 < clock.slept[0] < clock.slept[1] < 10


def test_a_lasting_failure_ends(server: SparqlServer, settings: MakeSettings, clock) -> None:
    server.always = Fault(reset=True)
    with pytest.raises(EndpointDown, match="cannot be reached"):
        endpoint(settings(server.url, attempts=3), clock).select(QUERY)
    assert len(server.queries) == 3


def test_a_server_error_names_a_remedy_that_there_is(server: SparqlServer, settings: MakeSettings, clock) -> None:
    server.always = Fault(status=500)
    with pytest.raises(EndpointDown, match=r"answered 500 .*; try again later$"):
        endpoint(settings(server.url, attempts=1), clock).select(QUERY)


def test_nobody_listens(settings: MakeSettings, clock) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{reserved.getsockname()[1]}/sparql"
        with pytest.raises(EndpointDown, match=r"cannot be reached \(.*\); check the network and the address$"):
            endpoint(settings(address, attempts=2), clock).select(QUERY)


def test_a_name_that_does_not_exist(settings: MakeSettings, clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(EndpointDown, match="Name or service not known"):
        endpoint(settings("https://nowhere.example/sparql", attempts=2), clock).select(QUERY)
    assert len(clock.slept) == 1


@pytest.mark.parametrize("host", ["a..b", "x" * 70 + ".org"])
def test_what_is_no_name_of_a_host_is_one_error(settings: MakeSettings, clock, host: str) -> None:
    with pytest.raises(EndpointRefused, match=rf"^{host} is no name of a host; check the address"):
        endpoint(settings(f"https://{host}/sparql"), clock).select(QUERY)
    assert clock.slept == []


@pytest.mark.parametrize("fault", [Fault(delay=60), Fault(drip=0.1)], ids=["silent", "dripping"])
def test_a_slow_endpoint_is_given_up(server: SparqlServer, settings: MakeSettings, fault: Fault) -> None:
    server.always = fault
    started = time.monotonic()
    with pytest.raises(EndpointDown):
        Endpoint(settings(server.url, timeout=0.3, attempts=1)).select(QUERY)
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "target",
    ["http://127.0.0.1:1/", "http://169.254.169.254/latest/meta-data", "https://example.org/", "file:///etc/passwd",
     "//example.org/", "https://127.0.0.1:1/", "http://127.0.0.1:99999/"],
)  # fmt: skip
def test_a_redirect_elsewhere_is_not_followed(
    server: SparqlServer, settings: MakeSettings, clock, status: int, target: str
) -> None:
    server.always = Fault(status=status, headers={"Location": target})
    with pytest.raises(UnsafeEndpoint, match="another place"):
        endpoint(settings(server.url), clock).select(QUERY)
    assert len(server.queries) == 1


def test_a_redirect_to_the_same_host_is_followed(server: SparqlServer, settings: MakeSettings, clock) -> None:
    server.faults.append(Fault(status=302, headers={"Location": server.url + "/?query=" + "ASK%7B%7D"}))
    empty = b'{"head": {"vars": ["item", "property", "value"]}, "results": {"bindings": []}}'
    server.faults.append(Fault(body=empty))
    assert endpoint(settings(server.url), clock).select(QUERY) == []


def test_a_public_name_that_leads_inside_is_refused(
    server: SparqlServer, settings: MakeSettings, clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(server.url.split(":")[2].split("/")[0])
    inside = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: inside)
    with pytest.raises(UnsafeEndpoint, match="127.0.0.1"):
        endpoint(settings("https://wikidata.example/sparql"), clock).select(QUERY)
    assert server.queries == []


def test_control_characters_in_an_answer_are_data(server: SparqlServer, settings: MakeSettings, clock) -> None:
    server.always = Fault(body=b'{"results": {"bindings": [{"name": {"type": "literal", "value": "a\x01\nb"}}]}}')
    assert endpoint(settings(server.url), clock).select(QUERY)[0]["name"].value == "a\x01\nb"


def test_one_request_at_a_time(server: SparqlServer, settings: MakeSettings) -> None:
    server.always = Fault(delay=0.05)
    asked = [Endpoint(settings(server.url)) for _ in range(4)]
    threads = [threading.Thread(target=one.select, args=(QUERY,)) for one in asked]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(server.queries), server.most_at_once) == (4, 1)


def test_another_process_that_asks_is_waited_for(server: SparqlServer, settings: MakeSettings, clock) -> None:
    chosen = settings(server.url, retry_budget=0.2)
    chosen.cache_dir.mkdir()
    code = (
        "import sys; from pathlib import Path; from kg_cache.lock import exclusive\n"
        "with exclusive(Path(sys.argv[1]), timeout=1):\n  print('held', flush=True); sys.stdin.readline()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(chosen.cache_dir / "127.0.0.1.lock")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(EndpointBusy, match=f"process {holder.pid} is asking"):
        endpoint(chosen, clock).select(QUERY)
    holder.communicate("\n")
    assert len(endpoint(chosen, clock).select(QUERY)) == 4


def test_a_cache_folder_that_cannot_be_is_named(server: SparqlServer, settings: MakeSettings, clock, tmp_path) -> None:
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(EndpointError, match="KGEDIT_CACHE_DIR"):
        endpoint(settings(server.url), clock).select(QUERY)
