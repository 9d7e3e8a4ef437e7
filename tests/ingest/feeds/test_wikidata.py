"""Items by id from a real server: what it sends is believed as far as it can be, and what it does wrong is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from feed_entities import entity, statement
from feed_servers import ApiServer
from kg_cache.errors import EndpointDown, EndpointRefused, EndpointTruncated, UnsafeEndpoint
from kgedit.errors import FeedError
from kgedit.ingest.change import Change, MalformedChange
from kgedit.ingest.feeds.api import Api
from kgedit.ingest.feeds.base import FeedOptions, open_feed
from kgedit.ingest.feeds.settings import FeedSettings
from kgedit.ingest.feeds.wikidata import WikidataFeed
from servers import Fault

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
Local = Callable[..., FeedSettings]
PROPERTIES = {"P6": True, "P31": False}


def read(server: ApiServer, local: Local, ids: list[str], **fields: Any) -> list[Change | MalformedChange]:
    pauses: list[float] = []
    api = Api(local(api=server.url, **fields), sleep=pauses.append)
    return list(WikidataFeed(ids, api, PROPERTIES, clock=lambda: NOON))


def test_each_current_value_is_a_change_with_its_evidence(local: Local) -> None:
    held = [statement("Q5", rank="preferred", start="2025-06-01", references=2), statement("Q6", rank="deprecated")]
    with ApiServer({"Q1": entity("Q1", P6=held, P31=[statement("Q7"), statement("Q8")])}) as server:
        found = read(server, local, ["Q1"])
    assert [(c.edit.relation, c.edit.target_new) for c in found if isinstance(c, Change)] == [
        ("P6", "Q5"), ("P31", "Q7"), ("P31", "Q8"),
    ]  # fmt: skip
    assert isinstance(found[0], Change)
    told = found[0].provenance
    assert (told.feed, told.position, told.seen) == ("wikidata", "Q1$Q5", NOON)
    assert (told.dated, told.evidence) == (datetime(2025, 6, 1, tzinfo=UTC), "preferred rank, 2 references")
    assert server.requests[0]["ids"] == "Q1"
    assert server.headers[0]["user-agent"].startswith("kgedit/")


def test_several_current_values_of_a_single_valued_relation_all_come_so_that_planning_sees_the_conflict(
    local: Local,
) -> None:
    with ApiServer({"Q1": entity("Q1", P6=[statement("Q5"), statement("Q6")])}) as server:
        found = read(server, local, ["Q1"])
    assert [c.edit.target_new for c in found if isinstance(c, Change)] == ["Q5", "Q6"]


def test_many_items_are_asked_fifty_at_a_time_and_an_answer_cut_off_in_halves(local: Local) -> None:
    entities = {f"Q{n}": entity(f"Q{n}", P6=[statement("Q1000")]) for n in range(1, 61)}
    with ApiServer(entities, most=20) as server:
        found = read(server, local, list(entities))
    assert [c.edit.subject for c in found if isinstance(c, Change)] == list(entities)
    assert [request["ids"].count("|") + 1 for request in server.requests] == [50, 25, 12, 13, 25, 12, 13, 10]


def test_missing_malformed_and_merged_items_are_named(local: Local) -> None:
    with ApiServer({"Q2": entity("Q2", P6=[statement("Q5")])}, merged={"Q1": "Q2"}) as server:
        api = Api(local(api=server.url))
        feed = WikidataFeed(["Q1", "Q404", "Q０１", "Q1|Q3", "L5"], api, PROPERTIES)
        found = list(feed)
    assert [c.edit.subject for c in found if isinstance(c, Change)] == ["Q2"]
    assert [(m.position, m.why[:10]) for m in found if isinstance(m, MalformedChange)] == [
        ("'Q０１'", "no item id"), ("'Q1|Q3'", "no item id"), ("'L5'", "no item id"), ("Q404", "Wikidata h"),
    ]  # fmt: skip
    assert server.requests[0]["ids"] == "Q1|Q404"
    assert feed.skipped["merged items, read as what they became"] == 1


def test_a_statement_that_cannot_be_read_costs_its_property_only(local: Local) -> None:
    broken = entity("Q1", P6=[{"mainsnak": 3}], P31=[statement("Q7")])
    with ApiServer({"Q1": broken}) as server:
        bad, good = read(server, local, ["Q1"])
    assert isinstance(bad, MalformedChange)
    assert "statement 1 of P6" in bad.why
    assert isinstance(good, Change)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(headers={"Content-Type": "text/html"}, body=b"Please set a user-agent"), EndpointRefused),
        (Fault(body=b'{"error": {"code": "no-such-entity", "info": "x"}}'), EndpointRefused),
        (Fault(status=403), EndpointRefused),
        (Fault(body=b"[" * 100_000), EndpointTruncated),
        (Fault(body=b'{"entities": '), EndpointTruncated),
        (Fault(body=b" " * 2_000), EndpointTruncated),
        (Fault(status=302, headers={"Location": "http://169.254.169.254/"}), UnsafeEndpoint),
        (Fault(status=302, headers={"Location": "file:///etc/passwd"}), UnsafeEndpoint),
    ],
)
def test_an_answer_that_is_none_is_refused_by_its_cause(local: Local, fault: Fault, error: type[Exception]) -> None:
    with ApiServer(faults=[fault]) as server, pytest.raises(error) as raised:
        read(server, local, ["Q1"], max_response_bytes=1_000)
    assert "KGEDIT_ENDPOINT" not in str(raised.value) or error is UnsafeEndpoint


def test_a_busy_or_failing_wiki_is_asked_again(local: Local) -> None:
    faults = [
        Fault(status=429, headers={"Retry-After": "7"}),
        Fault(headers={"Retry-After": "5"}, body=b'{"error": {"code": "maxlag"}}'),
        Fault(reset=True),
    ]
    pauses: list[float] = []
    with ApiServer({"Q1": entity("Q1", P6=[statement("Q5")])}, faults=faults) as server:
        api = Api(local(api=server.url), sleep=pauses.append)
        assert len(list(WikidataFeed(["Q1"], api, PROPERTIES))) == 1
    assert pauses[:2] == [7, 5]
    assert len(pauses) == 3
    with ApiServer(faults=[Fault(status=500)] * 4) as server, pytest.raises(EndpointDown):
        read(server, local, ["Q1"])


@pytest.mark.parametrize("address", ["file:///etc/passwd", "http://example.org/api", "https://a:b@example.org/api"])
def test_addresses_that_are_unsafe_are_refused_as_settings(address: str) -> None:
    for name in ("api", "stream"):
        with pytest.raises(ValidationError):
            FeedSettings.model_validate({name: address})


def test_ids_come_from_the_command_line_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = tmp_path / "ids.txt"
    listed.write_text("Q1\n\nnonsense\nQ2\n")
    entities = {id: entity(id, P6=[statement("Q5")]) for id in ("Q1", "Q2")}
    with ApiServer(entities) as server:
        monkeypatch.setenv("KGEDIT_API", server.url)
        for what, names in (("Q1, Q2", ["Q1", "Q2"]), (str(listed), ["nonsense", "Q1", "Q2"])):
            found = open_feed(what, "wikidata", FeedOptions(properties=["P6"]))
            got = [i.edit.subject if isinstance(i, Change) else i.position.strip("'") for i in found]
            assert got == names
    with pytest.raises(FeedError, match="check the path"):
        list(open_feed("absent.txt", "wikidata"))


def test_the_recorded_answer_is_read(local: Local, recorded: Callable[[str], str]) -> None:
    answer = recorded("wbgetentities/wbgetentities_response.json")
    with ApiServer(json.loads(answer)["entities"]) as server:
        api = Api(local(api=server.url))
        found = list(WikidataFeed(["Q3235026"], api, {"P50": True, "P123": True, "P110": True, "P19": True}))
    assert [(c.edit.relation, c.edit.target_new) for c in found if isinstance(c, Change)] == [
        ("P50", "Q16672164"), ("P123", "Q2339806"), ("P110", "Q16680422"),
    ]  # fmt: skip


@pytest.mark.parametrize("id", ["Q2112", "Q217447", "Q271094", "Q328212", "Q4132785-negative-date", "Q571", "Q646148"])
def test_every_recorded_item_is_read_without_a_malformed_record(
    local: Local, recorded_entity: Callable[[str], dict[str, Any]], id: str
) -> None:
    found = recorded_entity(id)
    properties = dict.fromkeys(found["claims"], True)
    properties.pop("P123456789", None)  # a made-up property whose value is a property
    with ApiServer({found["id"]: found}) as server:
        items = list(WikidataFeed([found["id"]], Api(local(api=server.url)), properties))
    assert items
    assert all(isinstance(item, Change) for item in items)
