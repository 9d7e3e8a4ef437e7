"""Real servers on loopback for feeds: Wikidata's action API, and a stream of server-sent events."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from servers import Fault

Json = dict[str, Any]


class _Server:
    """A web server at `url`, for use in a with block.

    Attributes:
        faults: Answers to give before the right ones, in order.
        requests: The parameters of every request.
        headers: The headers of each.
    """

    path = "/"

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self.faults = deque(faults)
        self.requests: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}{self.path}"

    def __enter__(self) -> Any:
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                query = parse_qs(urlsplit(self.path).query)
                server.requests.append({name: values[0] for name, values in query.items()})
                server.headers.append({name.lower(): value for name, value in self.headers.items()})
                fault = server.faults.popleft() if server.faults else None
                try:
                    if fault is None:
                        server.answer(self, server.requests[-1])
                    else:
                        send(self, fault)
                except (BrokenPipeError, ConnectionResetError):
                    pass

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler

    def answer(self, handler: BaseHTTPRequestHandler, asked: dict[str, str]) -> None:
        raise NotImplementedError


def send(handler: BaseHTTPRequestHandler, fault: Fault) -> None:
    """An answer as the fault says; its whole length is announced, even where part of it is kept."""
    if fault.reset:
        handler.connection.close()
        return
    body = (fault.body or b"") + fault.append
    handler.send_response(fault.status)
    for name, value in {"Content-Type": "application/json", **fault.headers}.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[: int(len(body) * fault.keep)])


class ApiServer(_Server):
    """Wikidata's action API with some entities and revisions.

    Args:
        entities: Item id -> entity; other ids do not exist.
        revisions: Number -> the entity at that revision; None for one that is hidden.
        merged: Old id -> the item that it became.
        most: Ids in one request that are still answered whole; more are cut off.
        faults: Answers to give before the right ones.
    """

    path = "/w/api.php"

    def __init__(
        self,
        entities: Mapping[str, Json] | None = None,
        revisions: Mapping[int, Json | None] | None = None,
        merged: Mapping[str, str] | None = None,
        most: int = 50,
        faults: Iterable[Fault] = (),
    ) -> None:
        super().__init__(faults)
        self.entities, self.revisions, self.merged = dict(entities or {}), dict(revisions or {}), dict(merged or {})
        self.most = most

    def answer(self, handler: BaseHTTPRequestHandler, asked: dict[str, str]) -> None:
        entities = asked.get("action") == "wbgetentities"
        body = json.dumps(self._entities(asked) if entities else self._revisions(asked)).encode()
        keep = 0.5 if entities and asked["ids"].count("|") >= self.most else 1.0
        send(handler, Fault(body=body, keep=keep))

    def _entities(self, asked: dict[str, str]) -> Json:
        found = {}
        for id in asked["ids"].split("|"):
            target = self.merged.get(id, id)
            found[id] = dict(self.entities.get(target, {"id": id, "missing": ""}))
            if target != id:
                found[id]["redirects"] = {"from": id, "to": target}
        return {"entities": found, "success": 1}

    def _revisions(self, asked: dict[str, str]) -> Json:
        listed = []
        for number in map(int, asked["revids"].split("|")):
            if number in self.revisions:
                content = self.revisions[number]
                slot = {"texthidden": True} if content is None else {"content": json.dumps(content)}
                listed.append({"revid": number, "slots": {"main": slot}})
        return {"batchcomplete": True, "query": {"pages": [{"pageid": 1, "revisions": listed}]}}


class EventServer(_Server):
    """A stream of events; each connection gets those after the id or time that it asks for.

    Args:
        events: Id -> data, in order; ids are JSON, as EventStreams writes them.
        per_connection: Events after which the connection ends in the middle of the next one.
        faults: Answers to give before the right ones.
        raw: Sent as it is on every connection, instead of the events.
    """

    path = "/v2/stream/mediawiki.recentchange"

    def __init__(
        self,
        events: Iterable[str] = (),
        per_connection: int = 10**9,
        faults: Iterable[Fault] = (),
        raw: bytes | None = None,
    ) -> None:
        super().__init__(faults)
        self.events, self.per_connection, self.raw = list(events), per_connection, raw

    def answer(self, handler: BaseHTTPRequestHandler, asked: dict[str, str]) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream; charset=utf-8")
        handler.end_headers()
        if self.raw is not None:
            handler.wfile.write(self.raw)
            return
        last = self.headers[-1].get("last-event-id")
        start = json.loads(last)[0]["offset"] + 1 if last else 0
        handler.wfile.write(b":ok\n\n")
        for number, data in list(enumerate(self.events))[start:]:
            text = f"event: message\nid: {event_id(number)}\ndata: {data}\n\n".encode()
            if number - start == self.per_connection:
                handler.wfile.write(text[:-10])  # the id has arrived, the event has not
                return
            handler.wfile.write(text)
            handler.wfile.flush()
            time.sleep(0.001)


def event_id(number: int) -> str:
    """The id of the event at that place."""
    return json.dumps(
        [{"topic": "eqiad.mediawiki.recentchange", "partition": 0, "offset": number}], separators=(",", ":")
    )
