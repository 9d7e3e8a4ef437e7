"""The change stream from a real server: nothing lost over broken connections, nothing invented."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import pytest

from feed_entities import entity, statement
from feed_servers import ApiServer, EventServer, event_id
from kg_cache.errors import EndpointDown, EndpointRefused, UnsafeEndpoint
from kgedit.errors import FeedError
from kgedit.ingest.change import Change, MalformedChange
from kgedit.ingest.feeds.api import Api
from kgedit.ingest.feeds.base import FeedOptions, open_feed
from kgedit.ingest.feeds.events import EventSource
from kgedit.ingest.feeds.settings import FeedSettings
from kgedit.ingest.feeds.stream import StreamFeed
from servers import Fault

Local = Callable[..., FeedSettings]
PROPERTIES = {"P6": True, "P31": False}


def event(title: str = "Q1", old: int | None = 10, new: int = 11, **fields: Any) -> str:
    made = {
        "meta": {"dt": "2026-11-23T10:00:00Z", "domain": "www.wikidata.org"}, "type": "edit", "wiki": "wikidatawiki",
        "namespace": 0, "title": title, "comment": "/* wbsetclaim-update:2||1 */ [[Property:P6]]: [[Q5]]",
        "revision": {"new": new, **({} if old is None else {"old": old})}, **fields,
    }  # fmt: skip
    return json.dumps(made)


def read(
    events: list[str], revisions: dict[int, Any], local: Local, **fields: Any
) -> tuple[list[Change | MalformedChange], StreamFeed, ApiServer]:
    with EventServer(events) as stream, ApiServer(revisions=revisions) as wiki:
        settings = local(api=wiki.url, stream=stream.url)
        source = EventSource(settings, sleep=lambda _: None)
        feed = StreamFeed(source, Api(settings), PROPERTIES, limit=len(events), **fields)
        return list(feed), feed, wiki


def test_a_new_value_is_a_change_that_names_the_old_one(local: Local) -> None:
    revisions = {10: entity("Q1", P6=[statement("Q4")]), 11: entity("Q1", P6=[statement("Q5", references=1)])}
    (change,), _, wiki = read([event()], revisions, local)
    assert isinstance(change, Change)
    assert (change.edit.subject, change.edit.relation) == ("Q1", "P6")
    assert (change.edit.target_new, change.edit.target_true) == ("Q5", "Q4")
    assert change.provenance.position == event_id(0)
    assert change.provenance.dated == datetime(2026, 11, 23, 10, tzinfo=UTC)
    assert change.provenance.evidence == "revision 11, normal rank, 1 reference"
    assert wiki.requests[0]["revids"] == "10|11"


def test_a_value_that_ends_makes_room_for_the_other_one(local: Local) -> None:
    before = [statement("Q4", rank="preferred"), statement("Q5")]
    after = [statement("Q4", rank="preferred", end="2026-11-01"), statement("Q5")]
    qualifier = event(comment="/* wbsetqualifier-add:1| */ [[Property:P582]]: 1 November 2026")
    (change,), _, _ = read([qualifier], {10: entity("Q1", P6=before), 11: entity("Q1", P6=after)}, local)
    assert isinstance(change, Change)
    assert (change.edit.target_new, change.edit.target_true) == ("Q5", "Q4")


def test_a_new_item_has_no_statements_before(local: Local) -> None:
    found = [event(old=None, type="new"), event(old=0, new=11, type="new")]
    items, _, _ = read(found, {11: entity("Q1", P31=[statement("Q7"), statement("Q8")])}, local)
    assert [i.edit.target_new for i in items if isinstance(i, Change)] == ["Q7", "Q8", "Q7", "Q8"]


def test_what_is_no_change_of_a_wanted_fact_is_counted_by_reason(local: Local) -> None:
    events = [
        event(meta={"dt": "2026-11-23T10:00:00Z", "domain": "canary"}),
        event(wiki="enwiki"),
        event("Property:P6", namespace=120),
        event(type="log"),
        event("Q2"),
        event(comment="/* wbsetlabel-add:1|de */ Name"),
        event(comment="/* wbsetclaim-create:2||1 */ [[Property:P99]]: [[Q5]]"),
        event(new=12),
        event(new=13),
    ]
    revisions = {10: entity("Q1", P6=[statement("Q4")]), 12: entity("Q1"), 13: {"entity": "Q1", "redirect": "Q2"}}
    items, feed, wiki = read(events, revisions, local, entities=["Q1"])
    assert items == []
    assert dict(feed.skipped) == {
        "canary": 1, "another wiki": 1, "no item": 1, "no edit": 1, "another item": 1, "no statement": 1,
        "another property": 1, "a value taken away, none put in its place": 1, "merged item": 1,
    }  # fmt: skip
    assert len(wiki.requests) == 2, "only what may matter is looked at"


def test_an_event_that_cannot_be_read_is_named_and_costs_no_other(local: Local) -> None:
    events = [
        "{", "[" * 10_000, '{"title": "Q1"}', event(revision=None), event(new=12), event(new=13),
        event(new=14), event(),
    ]  # fmt: skip
    revisions = {
        10: entity("Q1"), 11: entity("Q1", P6=[statement("Q5")]), 12: None,
        14: {"claims": {"P6": [{"mainsnak": 1}]}},
    }  # fmt: skip
    items, _, _ = read(events, revisions, local)
    assert [type(item) for item in items] == [MalformedChange] * 7 + [Change]
    why = [item.why for item in items if isinstance(item, MalformedChange)]
    words = ("JSON", "nested", "meta", "no revision", "12 of Q1 is hidden", "13 of Q1 is hidden", "statement 1")
    assert [word in text for word, text in zip(words, why, strict=True)] == [True] * 7
    assert [item.position for item in items if isinstance(item, MalformedChange)] == [event_id(n) for n in range(7)]


def test_a_broken_stream_goes_on_after_the_last_whole_event(local: Local) -> None:
    events = [event(f"Q{n}") for n in range(1, 11)]
    with EventServer(events, per_connection=3, faults=[Fault(status=503), Fault(reset=True)]) as server:
        pauses: list[float] = []
        source = EventSource(local(stream=server.url), sleep=pauses.append)
        found = [json.loads(one.data)["title"] for one in islice(source, 10)]
    assert found == [f"Q{n}" for n in range(1, 11)]
    asked = [headers.get("last-event-id") for headers in server.headers]
    assert asked == [None, None, None, event_id(2), event_id(5), event_id(8)]
    assert len(pauses) == 5
    assert pauses[0] < pauses[1] < 5, "the pause grows with failures"
    assert max(pauses[2:]) <= 1, "and starts anew once an event has come"


def test_a_server_may_say_how_long_to_wait(local: Local) -> None:
    pauses: list[float] = []
    with EventServer(
        raw=b"retry: 2000\ndata: x\n\n", faults=[Fault(status=429, headers={"Retry-After": "9"})]
    ) as server:
        list(islice(EventSource(local(stream=server.url), sleep=pauses.append), 2))
    assert pauses[0] == 9
    assert 2 <= pauses[1] <= 4


def test_a_stream_starts_where_it_is_told_to(local: Local) -> None:
    events = [event(f"Q{n}") for n in range(1, 5)]
    with EventServer(events) as server:
        settings = local(stream=server.url)
        after = EventSource(settings, since=event_id(1))
        assert json.loads(next(iter(after)).data)["title"] == "Q3"
        next(iter(EventSource(settings, since="2026-11-22T00:00:00Z")))
    assert server.requests[-1] == {"since": "2026-11-22T00:00:00Z"}
    for nonsense in ("yesterday", '{"topic": 1}', "[1]", '[{"topic": "a"}]\r\nX-Evil: 1', "[" * 50_000):
        with pytest.raises(FeedError, match="cannot start"):
            EventSource(settings, since=nonsense)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(status=500), EndpointDown),
        (Fault(status=404), EndpointRefused),
        (Fault(headers={"Content-Type": "text/html"}, body=b"<html>"), EndpointRefused),
        (Fault(status=302, headers={"Location": "http://127.0.0.2/"}), UnsafeEndpoint),
    ],
)
def test_a_stream_that_cannot_be_had_is_given_up_by_its_cause(
    local: Local, fault: Fault, error: type[Exception]
) -> None:
    with EventServer(faults=[fault] * 4) as server, pytest.raises(error):
        next(iter(EventSource(local(stream=server.url), sleep=lambda _: None)))


def test_a_stream_is_read_up_to_the_present_or_a_limit(local: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    later = event(meta={"dt": "2999-01-01T00:00:00Z", "domain": "www.wikidata.org"})
    revisions = {10: entity("Q1"), 11: entity("Q1", P6=[statement("Q5")])}
    early = event(meta={"dt": "2020-01-01T00:00:00Z", "domain": "www.wikidata.org"})
    with EventServer([early, later, early]) as stream, ApiServer(revisions=revisions) as wiki:
        monkeypatch.setenv("KGEDIT_STREAM", stream.url)
        monkeypatch.setenv("KGEDIT_API", wiki.url)
        since = FeedOptions(since="2019-11-22", properties=["P6"])
        assert len(list(open_feed("stream", "stream", since))) == 1
        assert len(list(open_feed("stream", "stream", FeedOptions(limit=3, properties=["P6"])))) == 3
    with pytest.raises(FeedError, match="never ends"):
        open_feed("stream", "stream")


def test_the_recorded_events_are_read(local: Local, recorded: Callable[[str], str]) -> None:
    sent = recorded("events/recentchange.sse.txt").encode()
    lines = recorded("events/recentchange.jsonl").splitlines()
    before, after = entity("Q63761164", P20=[statement("Q90")]), entity("Q63761164", P20=[statement("Q220")])
    revisions = {
        2351154603: before,
        2351154701: after,
        1824898307: entity("Q87263831"),
        2203732266: entity("Q87263831"),
    }
    with EventServer(raw=sent) as stream, ApiServer(revisions=revisions) as wiki:
        settings = local(api=wiki.url, stream=stream.url)
        feed = StreamFeed(EventSource(settings), Api(settings), {"P20": True}, limit=1)
        (change,) = feed
        assert isinstance(change, Change)
        assert (change.edit.subject, change.edit.target_new) == ("Q63761164", "Q220")
        assert change.provenance.position.startswith('[{"topic":"eqiad.mediawiki.recentchange"')
    with EventServer(lines) as stream, ApiServer(revisions=revisions) as wiki:
        settings = local(api=wiki.url, stream=stream.url)
        again = StreamFeed(EventSource(settings), Api(settings), {"P20": True}, limit=len(lines))
        assert [type(item) for item in again] == [Change]
        assert dict(again.skipped) == {"no statement": 1, "another wiki": 1}
