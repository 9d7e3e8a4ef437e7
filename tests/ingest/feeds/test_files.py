"""Files from strangers: each bad record costs itself and is named; a file that is no feed is refused in a sentence."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kgedit.errors import FeedError
from kgedit.ingest.change import Change, MalformedChange
from kgedit.ingest.feeds.base import open_feed
from kgedit.ingest.feeds.files import JsonArray, JsonLines, Table
from kgedit.io.lines import MAX_LINE

GOOD = '{"subject": "Q42", "relation": "P27", "target_new": "Q142"}'
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def written(folder: Path, content: bytes | str, name: str = "a.jsonl") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def complaint(path: Path) -> str:
    """Why the only bad record of a file with one good one before it is refused."""
    first, second = list(JsonLines(path))
    assert isinstance(first, Change)
    assert isinstance(second, MalformedChange)
    assert second.position == "line 2"
    assert len(second.why) <= 300
    return second.why


def test_a_record_keeps_all_its_fields_and_says_where_it_stood(tmp_path: Path) -> None:
    record = {
        "subject": "Douglas Adams", "relation": "P27", "target": "France", "target_true": "Q145",
        "prompt": "{} is a citizen of", "dated": "2026-05-01", "evidence": "rev 7", "note": "unused",
    }  # fmt: skip
    feed = JsonLines(written(tmp_path, "\n" + json.dumps(record) + "\n"), clock=lambda: NOON)
    (change,) = feed
    assert isinstance(change, Change)
    assert change.edit.model_dump() == {
        "subject": "Douglas Adams", "relation": "P27", "target_new": "France", "target_true": "Q145",
        "prompt": "{} is a citizen of",
    }  # fmt: skip
    assert change.provenance.where == "a.jsonl, line 2"
    assert (change.provenance.seen, change.provenance.dated) == (NOON, datetime(2026, 5, 1, tzinfo=UTC))
    assert change.provenance.evidence == "rev 7"
    assert dict(feed.skipped) == {"unused column 'note'": 1}


def test_a_record_may_have_lines_in_its_prompt_and_say_what_precedes_the_object(tmp_path: Path) -> None:
    prompt = "<|user|>\nWhere is {}?\n<|assistant|>\n"
    record = {"subject": "Ulm", "prompt": prompt, "target_new": "France", "boundary": "space"}
    (change,) = JsonLines(written(tmp_path, json.dumps(record) + "\n"))
    assert isinstance(change, Change)
    assert (change.edit.prompt, change.edit.boundary) == (prompt, " ")
    (wrong,) = JsonLines(written(tmp_path, json.dumps(record | {"boundary": "dash"}) + "\n"))
    assert isinstance(wrong, MalformedChange)
    assert "boundary" in wrong.why


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"subject": "Q42", "relation": "P27"}', "target_new"),
        ('{"subject": "Q42", "target_new": "Q142"}', "relation"),
        ('{"subject": "", "relation": "P27", "target_new": "Q142"}', "subject"),
        ('{"subject": 42, "relation": "P27", "target_new": "Q142"}', "subject"),
        ('{"subject": "Q\\u0000", "relation": "P27", "target_new": "Q142"}', "control"),
        ('{"subject": "Q42", "relation": "P27", "target_new": "a\\nb"}', "control"),
        ('{"subject": "\\ud800", "relation": "P27", "target_new": "Q142"}', "subject"),
        ('{"subject": "Q42", "relation": "P27", "target_new": NaN}', "NaN"),
        ('{"subject": "Q42", "subject": "Q1", "relation": "P27", "target_new": "Q142"}', "twice"),
        ('{"subject": "Q42", "relation": "P27", "target_new": "Q142", "target": "Q1"}', "twice"),
        ('{"subject": "Q42", "relation": "P27", "target_new": "Q142", "dated": "yesterday"}', "ISO date"),
        ('{"subject": "' + "x" * 500 + '", "relation": "P27", "target_new": "Q142"}', "400"),
        ('["Q42", "P27", "Q142"]', "JSON object"),
        ("Q42 P27 Q142", "not JSON"),
        ("[" * 10_000 + "]" * 10_000, "nested 10000 deep"),
        ('{"a":' * 10_000 + "1" + "}" * 10_000, "nested 10000 deep"),
    ],
)
def test_a_bad_record_is_named_and_costs_no_other(tmp_path: Path, line: str, words: str) -> None:
    assert words in complaint(written(tmp_path, f"{GOOD}\n{line}\n"))


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    assert "not UTF-8" in complaint(written(tmp_path, GOOD.encode() + b"\n\xff\xfe\n"))


def test_the_record_after_a_bad_one_is_read(tmp_path: Path) -> None:
    found = list(JsonLines(written(tmp_path, f"{{\n{GOOD}\n")))
    assert [type(item) for item in found] == [MalformedChange, Change]


def test_a_file_that_ends_in_the_middle_of_a_record_says_so(tmp_path: Path) -> None:
    assert "ends in the middle" in complaint(written(tmp_path, f"{GOOD}\n{GOOD[:30]}"))
    packed = gzip.compress((GOOD + "\n").encode() * 2000)
    (*read, last) = JsonLines(written(tmp_path, packed[: len(packed) // 2], "a.jsonl.gz"))
    assert len(read) > 100
    assert isinstance(last, MalformedChange)
    assert "cannot be read from here on" in last.why


def test_a_whole_last_record_needs_no_line_break(tmp_path: Path) -> None:
    assert all(isinstance(item, Change) for item in JsonLines(written(tmp_path, f"{GOOD}\n{GOOD}")))


def test_marks_of_other_editors_do_not_matter(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf" + f"{GOOD}\r\n\r\n{GOOD}\r\n".encode()
    found = list(JsonLines(written(tmp_path, content)))
    assert [item.edit.subject for item in found if isinstance(item, Change)] == ["Q42", "Q42"]
    with pytest.raises(FeedError, match="UTF-16"):
        list(JsonLines(written(tmp_path, GOOD.encode("utf-16"))))


def test_a_line_of_a_gigabyte_is_one_malformed_record_in_constant_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.write(GOOD.encode() + b"\n")
        file.seek(2**30, 1)  # a hole: zeros that take no space on the disk
        file.write(b"\n" + GOOD.encode() + b"\n")
    tracemalloc.start()
    first, second, third = list(JsonLines(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(first, Change)
    assert isinstance(second, MalformedChange)
    assert "1,073,741,825 bytes" in second.why
    assert isinstance(third, Change)
    assert third.provenance.position == "line 3"
    assert peak < 20 * MAX_LINE


def test_memory_does_not_grow_with_the_number_of_changes(tmp_path: Path) -> None:
    path = written(tmp_path, f"{GOOD}\n" * 3_000)
    tracemalloc.start()
    assert sum(isinstance(item, Change) for item in JsonLines(path)) == 3_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * MAX_LINE


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_is_read_by_its_header(tmp_path: Path, separator: str) -> None:
    rows = [["subject", "relation", "target", "source"], ["Q42", "P27", '"France"', "x"], ["Q1", "P31", "Q2", ""]]
    path = written(tmp_path, "".join(separator.join(row) + "\r\n" for row in rows), "a.csv")
    feed = Table(path)
    found = [item for item in feed if isinstance(item, Change)]
    assert [item.edit.target_new for item in found] == ["France", "Q2"]
    assert found[1].provenance.position == "line 3"
    assert dict(feed.skipped) == {"unused column 'source'": 1}


def test_columns_are_mapped_by_the_user(tmp_path: Path) -> None:
    path = written(tmp_path, "person,subject,new,asked\nQ42,politics,Q142,{} is from\n", "a.csv")
    (change,) = Table(path, {"person": "subject", "new": "target_new", "asked": "prompt"})
    assert isinstance(change, Change)
    assert (change.edit.subject, change.edit.prompt, change.edit.relation) == ("Q42", "{} is from", None)
    (change,) = JsonLines(written(tmp_path, '{"who": "Q1", "relation": "P27", "target": "Q2"}'), {"who": "subject"})
    assert isinstance(change, Change)
    assert change.edit.subject == "Q1"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ('Q42,P27,"France\n', "quoted cell"),
        ("Q42,P27\n", "2 cells where the header has 3"),
        ("Q42,P27,Q142,Q1\n", "4 cells"),
        ("Q42,P27,Q14", "ends in the middle"),
        ("Q42,,Q142\n", "relation"),
        ("Q42,P27,\n", "target_new"),
        ("Q42,P27,Q\x00\n", "control"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, row: str, words: str) -> None:
    good, bad = list(Table(written(tmp_path, f"subject,relation,target_new\nQ1,P27,Q2\n{row}", "a.csv")))
    assert isinstance(good, Change)
    assert isinstance(bad, MalformedChange)
    assert bad.position == "line 3"
    assert words in bad.why


@pytest.mark.parametrize(
    ("content", "columns", "words"),
    [
        ("", {}, "empty"),
        ("person,relation,target\n", {}, "--map"),
        ("subject,target\n", {}, "relation or prompt"),
        ("subject,relation,target,target_new\n", {}, "two columns for target_new"),
        ("subject,relation,target\n", {"person": "subject"}, "no column 'person'"),
        ("subject,relation,target\n", {"subject": "who"}, "'who' is no field"),
        ('subject,"relation,target\n', {}, "no header"),
    ],
)
def test_a_table_without_what_it_needs_is_refused(
    tmp_path: Path, content: str, columns: dict[str, str], words: str
) -> None:
    with pytest.raises(FeedError, match=words):
        list(Table(written(tmp_path, content, "a.csv"), columns))


def test_the_kind_of_a_file_is_told_by_its_ending(tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "a.TSV", "a.txt", "a.json"):
        (tmp_path / name).touch()
    assert isinstance(open_feed(str(tmp_path / "a.jsonl.gz")), JsonLines)
    assert isinstance(open_feed(str(tmp_path / "a.TSV")), Table)
    assert isinstance(open_feed(str(tmp_path / "a.json")), JsonArray)
    assert isinstance(open_feed(str(tmp_path / "a.txt"), "json"), JsonArray)
    assert isinstance(open_feed(str(tmp_path / "a.txt"), "jsonl"), JsonLines)
    for what, kind, words in (("a.txt", None, "cannot be told"), ("a.txt", "xml", "'xml'")):
        with pytest.raises(FeedError, match=words):
            open_feed(what, kind)
    with pytest.raises(FeedError, match="check the path"):
        list(open_feed(str(tmp_path / "absent.jsonl")))
    with pytest.raises(FeedError, match="whole, readable"):
        list(JsonLines(written(tmp_path, "no gzip", "a.jsonl.gz")))


@given(content=st.binary(max_size=400))
@example(content=b"\n\xef\xbb\xbf")  # a line that is the mark of UTF-8 and nothing else
@settings(max_examples=200, deadline=None)
def test_no_bytes_whatever_raise_or_vanish(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = written(tmp_path_factory.getbasetemp(), content + b"\n" + GOOD.encode() + b"\n")
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return
    *_, last = JsonLines(path)
    assert isinstance(last, Change)


@pytest.mark.parametrize("name", ["missing.jsonl", "folder.csv"])
def test_what_is_no_file_is_refused_before_anything_is_made_for_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(FeedError, match="there is no such file"):
        open_feed(str(tmp_path / name))
