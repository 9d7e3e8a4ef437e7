"""A day of the stream at high speed, files that come one by one, kills, outages: nothing lost, nothing twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from feed_entities import entity, statement
from feed_servers import ApiServer, EventServer, event_id
from ingest.cheap import refused
from ingest.following import cheap_follower as cheap
from kg_cache.errors import EndpointDown, EndpointRefused
from kgedit.errors import FeedError, MissingExtra, SaveFailed
from kgedit.ingest.following.follow import FollowResult
from kgedit.ingest.report.build import _run
from kgedit.ingest.report.html import _run as html_run
from kgedit.ingest.store.entry import Received, State
from kgedit.ingest.store.store import open_store
from servers import Fault

ROOT = Path(__file__).resolve().parents[3]
EVENTS, BATCH = 100, 3


def event(second: int, title: str, old: int, new: int, **fields: Any) -> str:
    made = {
        "meta": {"dt": f"2024-11-23T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z"}, "type": "edit",
        "wiki": "wikidatawiki", "namespace": 0, "title": title, "revision": {"new": new, "old": old},
        "comment": "/* wbsetclaim-update:2||1 */ [[Property:P6]]: [[Q5]]", **fields,
    }  # fmt: skip
    return json.dumps(made)


@pytest.fixture(scope="module")
def day() -> tuple[list[str], dict[int, Any], dict[str, str]]:
    """The events of a day, the revisions that they name, and what holds of each item at its end."""
    draw = random.Random(0)
    revisions: dict[int, Any] = {}
    holds: dict[str, str] = {}
    events: list[str] = []
    for number in range(EVENTS):
        second, item = number * 86_400 // EVENTS, f"Q{draw.randint(1, 40)}"
        kind = draw.choice(["fact", "label", "other wiki", "broken", "twice", "other property", "hidden"])
        old, new, value = 2 * number + 1, 2 * number + 2, f"Q{draw.randint(1000, 9999)}"
        if kind == "fact":
            before = [statement(holds[item])] if item in holds else []
            revisions |= {old: entity(item, P6=before), new: entity(item, P6=[statement(value, references=1)])}
            holds[item] = value
            events.append(event(second, item, old, new))
        elif kind == "twice" and events:
            events.append(events[-1])
        else:
            fields = {
                "label": {"comment": "/* wbsetlabel-add:1|de */ Name"}, "other wiki": {"wiki": "enwiki"},
                "other property": {"comment": "/* wbsetclaim-create:2||1 */ [[Property:P99]]: [[Q5]]"},
            }.get(kind, {})  # fmt: skip
            events.append("{broken" if kind == "broken" else event(second, item, old, new, **fields))
    events.append(event(0, "Q1", 1, 2, meta={"dt": "2999-01-01T00:00:00Z"}))  # where reading once ends
    return events, revisions, holds


@pytest.fixture
def followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    cheap.cheap(monkeypatch.setattr)

    def run(
        name: str, source: Any, stream: str = "http://127.0.0.1:1/", api: str = "http://127.0.0.1:1/", **fields: Any
    ):
        return cheap.follow(tmp_path / name, source, stream, api, tmp_path / "cache", **{"once": True, **fields})

    return run


@contextmanager
def wikidata(day: Any, **stream: Any) -> Iterator[tuple[EventServer, ApiServer]]:
    with EventServer(day[0], **stream) as events, ApiServer(revisions=day[1]) as api:
        yield events, api


@pytest.fixture(scope="module")
def calm(day, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FollowResult]:
    """The store of a follower that nothing disturbs, and its result."""
    folder = tmp_path_factory.mktemp("calm")
    with pytest.MonkeyPatch.context() as patch, wikidata(day) as (stream, api):
        cheap.cheap(patch.setattr)
        result = cheap.follow(
            folder / "store", "stream", stream.url, api.url, folder / "cache", once=True, batch=BATCH
        )
    return folder / "store", result


def told(store: Path) -> list[tuple[Any, ...]]:
    """Every change with its state, and the weights."""
    with open_store(store) as opened:
        rows = [(entry.edit.subject, entry.edit.target_new, entry.state, entry.delta) for entry in opened.entries()]
        return [*rows, (opened.weights_hash,)]


def test_a_day_plays_through_and_again_changes_nothing(tmp_path: Path, followed, day) -> None:
    events, revisions, holds = day
    with wikidata(day) as (stream, api):
        result: FollowResult = followed("store", "stream", stream.url, api.url, batch=5)
        assert (result.events, result.position) == (EVENTS, event_id(EVENTS - 1))
        assert result.batches > 10
        assert 0 < result.records["malformed"] == sum("broken" in one for one in events) + hidden(events, revisions)
        assert len(result.bad) == min(100, result.records["malformed"])
        before = told(tmp_path / "store")
        again = followed("store", "stream", stream.url, api.url, batch=5)
        assert json.loads(stream.headers[-1]["last-event-id"])[0]["offset"] == EVENTS - 1
    assert told(tmp_path / "store") == before
    assert (again.events, again.records) == (result.events, result.records)
    with open_store(tmp_path / "store") as store:
        last = {entry.edit.subject: entry for entry in store.entries()}
        assert {item: entry.edit.target_new for item, entry in last.items()} == holds
        assert {entry.state for entry in last.values()} == {State.CHECKED, State.REFUSED}
        assert all((entry.state == State.REFUSED) == refused(entry.key) for entry in last.values())


def hidden(events: list[str], revisions: dict[int, Any]) -> int:
    """Events of facts whose revisions are not to be had, delivered again or not."""
    known = [json.loads(one) for one in events[:-1] if "broken" not in one]
    wanted = [one for one in known if one["wiki"] == "wikidatawiki" and "[[Q5]]" in one["comment"]]
    wanted = [one for one in wanted if "P6]]" in one["comment"]]
    return sum(one["revision"]["new"] not in revisions for one in wanted)


@pytest.mark.parametrize("kills", [1, pytest.param(3, marks=pytest.mark.long)])
def test_killed_again_and_again_it_ends_like_an_undisturbed_one(
    tmp_path: Path, followed, day, calm, kills: int
) -> None:
    rng, killed, (undisturbed, wanted) = random.Random(1), 0, calm
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
    with wikidata(day) as (stream, api):
        words = [str(tmp_path / "killed"), stream.url, api.url, str(tmp_path / "cache")]
        script = ROOT / "tests" / "ingest" / "following" / "cheap_follower.py"
        for _ in range(kills):
            child = subprocess.Popen(
                [sys.executable, script, *words], stdout=subprocess.PIPE, text=True, env=environment
            )
            assert child.stdout is not None
            for _ in range(2 + rng.randrange(6)):  # so many batches are waited for
                if not child.stdout.readline():
                    break
            child.send_signal(signal.SIGKILL)
            killed += child.wait() == -signal.SIGKILL
            child.stdout.close()
        result = followed("killed", "stream", stream.url, api.url, batch=BATCH)
    assert killed == kills
    assert (result.events, result.position) == (wanted.events, wanted.position)
    assert (result.records, result.weights_hash) == (wanted.records, wanted.weights_hash)
    assert told(tmp_path / "killed") == told(undisturbed)


def lines(*changes: tuple[str, str]) -> str:
    rows = [{"subject": s, "relation": "P6", "target_new": o} for s, o in changes]
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_files_of_a_folder_are_taken_once_each_and_a_bad_one_ends_nothing(tmp_path: Path, followed) -> None:
    folder = tmp_path / "feeds"
    folder.mkdir()
    (folder / "1.jsonl").write_text(lines(("Q1", "Q10")) + "{broken\n")
    (folder / "2.csv").write_text("what,is,this\n1,2,3\n")
    (folder / "3.what").write_text("?")
    (folder / "4.jsonl").write_text(lines(("Q2", "Q20")))
    (folder / "5.jsonl.part").write_text(lines(("Q3", "Q30")))
    first = followed("store", folder)
    assert first.records == {"new": 2, "malformed": 3}
    assert [bad.where.split(",")[0] for bad in first.bad] == ["1.jsonl", "2.csv", "3.what"]
    (folder / "5.jsonl.part").rename(folder / "5.jsonl")
    (folder / "3.what").unlink()
    second = followed("store", folder)
    assert second.records == {"new": 3, "malformed": 3}
    with open_store(tmp_path / "store") as store:
        assert [entry.edit.subject for entry in store.entries()] == ["Q1", "Q2", "Q3"]


def test_a_file_that_is_no_feed_is_told_once_and_the_report_names_the_followed_ones(tmp_path: Path, followed) -> None:
    folder = tmp_path / "feeds"
    folder.mkdir()
    (folder / "1.jsonl").write_text(lines(("Q1", "Q10")) + "{broken\n")
    (folder / "README.what").write_text("what these files are")
    first = followed("store", folder)
    assert first.records == followed("store", folder).records == {"new": 1, "malformed": 2}
    with open_store(tmp_path / "store", write=True) as store:
        (of_feed, of_other) = [_run(store, run) for run in store.journal.runs()]
        assert (of_feed.feed, [one.where for one in of_feed.skipped]) == ("1.jsonl", ["1.jsonl, line 2"])
        assert (of_other.feed, len(of_other.skipped)) == ("README.what", 1)
        page = "".join(html_run(of_feed))
        assert "Run over 1.jsonl" in page
        assert "nothing was measured" in page
        # What was killed before it decided all did not end.
        entry = next(store.entries())
        source = entry.change.provenance.model_copy(update={"position": "line 9"})
        change = entry.change.model_copy(update={"provenance": source})
        store.journal.receive([Received(key="another", slot="another", change=change)])
        assert _run(store, store.journal.runs()[0]).feed is None


class Ended(BaseException):
    """The end of a follower that has none."""


def test_without_an_end_it_looks_again_and_waits_longer_while_the_source_is_away(tmp_path: Path, followed) -> None:
    pauses: list[float] = []
    folder = tmp_path / "feeds"
    folder.mkdir()

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        (folder / f"{len(pauses)}.jsonl").write_text(lines((f"Q{len(pauses)}", "Q10")))
        if len(pauses) == 3:
            raise Ended

    with pytest.raises(Ended):
        followed("store", folder, once=False, every=7, sleep=sleep)
    assert pauses == [7, 7, 7]
    with open_store(tmp_path / "store") as store:
        assert [entry.edit.subject for entry in store.entries()] == ["Q1", "Q2"]
    pauses.clear()
    for status in (503, 504):
        pauses.clear()
        with EventServer(faults=[Fault(status=status)] * 100) as stream, pytest.raises(Ended):
            followed("other", "stream", stream.url, once=False, every=7, sleep=sleep, attempts=1)
        assert pauses == [14, 28, 56]


def test_a_folder_that_is_gone_for_a_while_is_waited_for(tmp_path: Path, followed) -> None:
    folder, pauses = tmp_path / "feeds", []
    folder.mkdir()

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 1:
            folder.rmdir()
        elif len(pauses) == 3:
            folder.mkdir()
            (folder / "1.jsonl").write_text(lines(("Q1", "Q10")))
        elif len(pauses) == 4:
            raise Ended

    with pytest.raises(Ended):
        followed("store", folder, once=False, every=7, sleep=sleep)
    assert pauses == [7, 14, 28, 7]
    with open_store(tmp_path / "store") as store:
        assert [entry.edit.subject for entry in store.entries()] == ["Q1"]
    folder.rename(tmp_path / "away")
    with pytest.raises(FeedError, match="is no folder"):
        followed("store", folder)


def test_a_package_that_consolidating_needs_is_missed_before_anything_is_read(
    tmp_path: Path, followed, monkeypatch
) -> None:
    (tmp_path / "feeds").mkdir()
    monkeypatch.setitem(sys.modules, "peft", None)
    followed("store", tmp_path / "feeds")
    with pytest.raises(MissingExtra, match=r"kgedit\[peft\]"):
        followed("other", tmp_path / "feeds", consolidate_after=2)
    assert not (tmp_path / "other").exists()


def test_a_name_that_is_no_utf_8_is_that_of_a_file_like_any_other(tmp_path: Path, followed) -> None:
    folder = tmp_path / "feeds"
    folder.mkdir()
    name = os.fsdecode(b"r\xe4.jsonl")
    (folder / name).write_text(lines(("Q1", "Q10")))
    (folder / os.fsdecode(b"\xe4.csv")).write_text("no,feed\n1,2\n")
    result = followed("store", folder)
    assert result.records == {"new": 1, "malformed": 1}
    assert followed("store", folder).records == result.records


@pytest.mark.parametrize("fault", [Fault(status=503), Fault(keep=0.5), Fault(body=b"{")], ids=str)
def test_an_outage_of_the_api_moves_no_position_and_loses_no_event(tmp_path: Path, followed, day, calm, fault) -> None:
    with EventServer(day[0]) as stream:
        with ApiServer(revisions=day[1], faults=[fault] * 50) as api, pytest.raises(EndpointDown):
            followed("store", "stream", stream.url, api.url, batch=BATCH, attempts=1)
        with ApiServer(revisions=day[1]) as api:
            result = followed("store", "stream", stream.url, api.url, batch=BATCH)
    assert (result.events, result.weights_hash) == (EVENTS, calm[1].weights_hash)
    assert result.records == calm[1].records


def test_a_page_in_the_place_of_an_answer_loses_no_event_where_the_api_has_answered_before(
    tmp_path: Path, followed, day
) -> None:
    page = Fault(headers={"Content-Type": "text/html"}, body=b"<html>Our servers are currently under maintenance")
    with wikidata(day) as (stream, api):
        calm = followed("calm", "stream", stream.url, api.url)
        api.faults.extend([Fault(), page, page, page])
        result = followed("store", "stream", stream.url, api.url)
    assert (result.records, result.weights_hash) == (calm.records, calm.weights_hash)


def test_a_revision_that_is_too_large_is_a_bad_record(tmp_path: Path, followed, day) -> None:
    large = Fault(headers={"Content-Type": "application/json"}, body=b" " * 300_000)
    with wikidata(day) as (stream, api):
        api.faults.append(large)
        result = followed("store", "stream", stream.url, api.url, max_response_bytes=200_000)
    assert result.events == EVENTS
    assert any("larger than 200000 bytes" in bad.why for bad in result.bad)


def test_an_event_that_the_api_refuses_is_a_bad_record_and_a_refusal_of_all_is_the_end(
    tmp_path, followed, day
) -> None:
    with EventServer(day[0]) as stream:
        with ApiServer(revisions=day[1], faults=[Fault(status=400)]) as api:
            result = followed("store", "stream", stream.url, api.url)
        assert result.events == EVENTS
        with ApiServer(revisions=day[1], faults=[Fault(status=400)] * 500) as api, pytest.raises(EndpointRefused):
            followed("other", "stream", stream.url, api.url)
        with ApiServer(revisions=day[1]) as api:
            calm = followed("other", "stream", stream.url, api.url)
        bad = sum("broken" in one for one in day[0]) + hidden(day[0], day[1])
        assert (calm.events, calm.records["malformed"]) == (EVENTS, bad)  # the refused events were read again


def test_a_disk_that_is_full_ends_no_follower(tmp_path: Path, followed, monkeypatch) -> None:
    (tmp_path / "feeds").mkdir()
    (tmp_path / "feeds" / "1.jsonl").write_text(lines(("Q1", "Q10")))

    def full(*_: Any, **__: Any) -> None:
        raise SaveFailed("no space is left")

    monkeypatch.setattr(cheap.module, "publish", full)
    result = followed("store", tmp_path / "feeds", out=tmp_path / "out")
    assert (result.records, [bad.why for bad in result.bad]) == ({"new": 1}, ["no space is left"])


def test_read_once_without_a_beginning_it_goes_on_from_the_end_of_the_first_call(tmp_path: Path, followed) -> None:
    """As a timer calls it: each call ends at the first event that is younger than the call."""
    later = event(0, "Q1", 1, 2, meta={"dt": "2999-01-01T00:00:00Z"})
    revisions = {1: entity("Q1"), 2: entity("Q1", P6=[statement("Q99", references=1)])}
    with ApiServer(revisions=revisions) as api:
        with EventServer([later]) as stream:
            first = followed("store", "stream", stream.url, api.url)
        assert (first.events, first.records) == (0, {})
        with EventServer([event(0, "Q1", 1, 2), later]) as stream:
            second = followed("store", "stream", stream.url, api.url)
            assert stream.requests[-1]["since"] == first.position
    assert datetime.fromisoformat(first.position).tzinfo is not None
    assert (second.events, second.records) == (1, {"new": 1})


def test_what_is_no_source_leaves_no_store(tmp_path: Path, followed) -> None:
    with pytest.raises(FeedError, match="no folder"):
        followed("store", tmp_path / "none")
    assert not (tmp_path / "store").exists()
