"""Events out of bytes: however they are cut, whatever ends their lines, and never an unfinished one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kgedit.ingest.feeds.sse import MAX_EVENT, Event, Parser


def parsed(text: str | bytes, size: int = 10**6) -> list[Event]:
    content, parser = text.encode() if isinstance(text, str) else text, Parser()
    return [event for at in range(0, len(content), size) for event in parser.feed(content[at : at + size])]


def test_the_examples_of_the_standard() -> None:
    assert parsed("data: YHOO\ndata: +2\ndata: 10\n\n") == [Event("YHOO\n+2\n10", "")]
    first, second, third = parsed(
        ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third\n\n"
    )
    assert (first.data, first.id) == ("first event", "1")
    assert (second.data, second.id) == ("second event", "")
    assert third.data == " third"
    assert [event.data for event in parsed("data\n\ndata\ndata\n\ndata:")] == ["", "\n"]


@given(size=st.integers(1, 9), end=st.sampled_from(["\n", "\r\n", "\r"]))
@settings(deadline=None)
def test_blocks_may_be_cut_anywhere_and_lines_end_in_three_ways(size: int, end: str) -> None:
    text = "\ufeff:hi\nevent: edit\nid: [é]\ndata: ä→\ndata: 2\n\ndata: x\n\n:\n"
    assert parsed(text.replace("\n", end), size) == [Event("ä→\n2", "[é]", "edit"), Event("x", "[é]")]


def test_the_id_of_an_event_that_did_not_arrive_whole_does_not_count() -> None:
    parser = Parser("0")
    assert [event.id for event in parser.feed(b"id: 1\ndata: a\n\nid: 2\ndata: b\n")] == ["1"]
    assert parser.last_id == "1"


def test_an_id_with_nul_and_a_wait_that_is_no_number_are_ignored() -> None:
    parser = Parser()
    list(parser.feed(b"id: a\0b\nretry: soon\ndata: x\n\n"))
    assert (parser.last_id, parser.retry) == ("", None)
    list(parser.feed(b"retry: 1500\n"))
    assert parser.retry == 1.5


@pytest.mark.parametrize("lines", [1, 300])
def test_an_event_without_end_is_named_and_does_not_grow(lines: int) -> None:
    parser, found = Parser(), []
    block = b"x" * (1 << 16)
    found += parser.feed(b"id: 7\n")
    for number in range(300):
        start = b"data: " if lines == 300 or number == 0 else b""
        found += parser.feed(start + block + (b"\n" if lines == 300 else b""))
        assert len(parser._rest) + sum(map(len, parser._data)) <= MAX_EVENT + (1 << 17)
    found += parser.feed(b"\n\ndata: next\n\n")
    assert [(event.data, event.id, bool(event.problem)) for event in found] == [("", "7", True), ("next", "7", False)]
