"""Files as the query service and other tools export them: ids, headers, terms, dates, packed files, standard input."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kgedit.errors import FeedError
from kgedit.ingest.change import Change, MalformedChange
from kgedit.ingest.feeds.base import open_feed

GOOD = '{"subject": "Q42", "relation": "P27", "target_new": "Q142"}'
ENTITY, DIRECT = "http://www.wikidata.org/entity/", "http://www.wikidata.org/prop/direct/"
SPARQL_RESULT = {
    "head": {"vars": ["subject", "relation", "target"]},
    "results": {
        "bindings": [
            {
                "subject": {"type": "uri", "value": f"{ENTITY}Q937"},
                "relation": {"type": "uri", "value": f"{DIRECT}P27"},
                "target": {"type": "uri", "value": f"{ENTITY}Q142"},
            }
        ]
    },
}


def written(folder: Path, content: bytes | str, name: str) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def changes(path: Path | str, kind: str | None = None) -> list[Change]:
    """All records of a file, each of which must be a change."""
    items = list(open_feed(str(path), kind))
    assert [item for item in items if isinstance(item, MalformedChange)] == []
    return [item for item in items if isinstance(item, Change)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", f"subject,relation,target_new\n{ENTITY}Q937,{DIRECT}P27,{ENTITY}Q142\n"),
        ("a.csv", "?subject,?relation,?target_new\r\nwd:Q937,wdt:P27,wd:Q142\r\n"),
        ("a.csv", "Subject;RELATION;Target New\nQ937;P27;Q142\n"),
        ("a.csv", "?subject,?relation,?targetNew\nwd:Q937,wdt:P27,wd:Q142\n"),
        ("a.tsv", f"?subject\t?relation\t?target\n<{ENTITY}Q937>\t<{DIRECT}P27>\t<{ENTITY}Q142>\n"),
        ("a.tsv", f'"subject"\t"relation"\t"target_new"\n<{ENTITY}Q937>\t<{DIRECT}P27>\t<{ENTITY}Q142>\n'),
        (
            "a.jsonl",
            '{"Subject": "wd:Q937", "RELATION": "https://www.wikidata.org/wiki/Property:P27", "target": "Q142"}',
        ),
        ("a.json", '[{"subject": "Q937", "relation": "P27", "target_new": "Q142"}]'),
        ("a.json", '{"subject": "Q937",\n "relation": "P27",\n "target_new": "Q142"}\n'),
        ("a.json", json.dumps(SPARQL_RESULT)),
    ],
)
def test_what_the_query_service_exports_is_read_as_it_is(tmp_path: Path, name: str, content: str) -> None:
    (change,) = changes(written(tmp_path, content, name))
    assert (change.edit.subject, change.edit.relation, change.edit.target_new) == ("Q937", "P27", "Q142")


def test_literals_of_a_tab_separated_result_lose_their_marks(tmp_path: Path) -> None:
    string = "http://www.w3.org/2001/XMLSchema#string"
    cells = (r'"Ada \"X\""@en', f'"P27"^^<{string}>', '"France"@en', '"2026-11"^^xsd:date')
    content = "?subject\t?relation\t?target\t?dated\n" + "\t".join(cells) + "\n"
    (change,) = changes(written(tmp_path, content, "a.tsv"))
    assert (change.edit.subject, change.edit.relation, change.edit.target_new) == ('Ada "X"', "P27", "France")
    assert change.provenance.dated == datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize(("pack", "ending"), [(gzip.compress, ".gz"), (bz2.compress, ".bz2"), (lzma.compress, ".xz")])
@pytest.mark.parametrize(("name", "content"), [("a.jsonl", GOOD), ("a.json", f"[{GOOD}]")])
def test_a_packed_file_is_unpacked_and_a_broken_one_is_named(
    tmp_path: Path, pack: Callable[[bytes], bytes], ending: str, name: str, content: str
) -> None:
    packed = pack(content.encode())
    assert [change.edit.subject for change in changes(written(tmp_path, packed, name + ending))] == ["Q42"]
    broken = written(tmp_path, packed[:-12], name + ending)
    with pytest.raises(FeedError, match="give a whole, readable file"):
        list(open_feed(str(broken)))


def test_a_quoted_cell_may_hold_line_breaks(tmp_path: Path) -> None:
    content = (
        'subject,relation,target_new,evidence,note\nQ1,P27,Q2,"page 3,\r\nline 4","a ""b""\n\nc"\nQ3,P27,Q4,x,y\n'
    )
    first, second = changes(written(tmp_path, content, "a.csv"))
    assert (first.provenance.position, first.provenance.evidence) == ("line 2", "page 3, line 4")
    assert (second.provenance.position, second.edit.subject) == ("line 6", "Q3")


@pytest.mark.parametrize("rest", ["", 'Q5,P27,"Q6"\n', "Q5,P27,Q6\n" * 3_000, 'a"b\n' * 300])
def test_a_quote_left_open_costs_its_line_alone(tmp_path: Path, rest: str) -> None:
    content = f'subject,relation,target_new\nQ1,P27,"France\nQ3,P27,Q4\n{rest}'
    bad, good, *others = open_feed(str(written(tmp_path, content, "a.csv")))
    assert isinstance(bad, MalformedChange)
    assert (bad.position, bad.why) == ("line 2", "no table row: a quoted cell does not end")
    assert isinstance(good, Change)
    assert good.edit.subject == "Q3"
    assert {type(item) for item in others} <= {Change if "Q" in rest else MalformedChange}


@pytest.mark.parametrize(
    ("dated", "day"),
    [
        ("2026", (2026, 1, 1)),
        ("2026-11", (2026, 11, 1)),
        ("+2026-11-23T00:00:00Z", (2026, 11, 23)),
        ("+2026-11-00T00:00:00Z", (2026, 11, 1)),
        ("+2026-00-00T00:00:00Z", (2026, 1, 1)),
        ("+00000002026-11-23T00:00:00Z", (2026, 11, 23)),
        ("2026-11-23", (2026, 11, 23)),
        ("0987-05", (987, 5, 1)),
        (2026, (2026, 1, 1)),
        ("9999-12-31T00:00:00", (9999, 12, 31)),
        ({"time": "+2026-11-23T00:00:00Z", "precision": 11}, (2026, 11, 23)),
    ],
)
def test_a_date_may_be_a_year_or_a_month_or_in_the_form_of_wikidata(
    tmp_path: Path, dated: object, day: tuple[int, int, int]
) -> None:
    record = {**json.loads(GOOD), "dated": dated}
    (change,) = changes(written(tmp_path, json.dumps(record), "a.jsonl"))
    assert change.provenance.dated == datetime(*day, tzinfo=UTC)


def test_the_last_moment_of_all_is_a_date(tmp_path: Path) -> None:
    """`datetime.max` stands for "without an end" in tables."""
    record = {**json.loads(GOOD), "dated": "9999-12-31T23:59:59.999999Z"}
    (change,) = changes(written(tmp_path, json.dumps(record), "a.jsonl"))
    assert change.provenance.dated == datetime.max.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "dated",
    [
        "2026-13", "2026-02-30", "-0044-00-00T00:00:00Z", "11/23/2026", True, {"year": 2026},
        "9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+05:00",
    ],
)  # fmt: skip
def test_what_is_no_date_is_named(tmp_path: Path, dated: object) -> None:
    record = {**json.loads(GOOD), "dated": dated}
    (item,) = open_feed(str(written(tmp_path, json.dumps(record), "a.jsonl")))
    assert isinstance(item, MalformedChange)
    assert "dated" in item.why


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (f"{GOOD}\n{GOOD}\n".encode(), None),
        (f"\n[{GOOD},\n{GOOD}]".encode(), None),
        (b"subject,relation,target_new\nQ42,P27,Q142\nQ42,P27,Q142\n", None),
        (gzip.compress(f"{GOOD}\n{GOOD}\n".encode(), mtime=0), None),
        (f"{GOOD}\n{GOOD}\n".encode(), "jsonl"),
    ],
)
def test_standard_input_is_a_feed(monkeypatch: pytest.MonkeyPatch, content: bytes, kind: str | None) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    found = changes("-", kind)
    assert [change.edit.target_new for change in found] == ["Q142", "Q142"]
    assert {change.provenance.feed for change in found} == {"standard input"}


def test_empty_standard_input_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(FeedError, match="standard input is empty"):
        open_feed("-")


def test_a_lone_surrogate_in_a_key_can_be_printed(tmp_path: Path) -> None:
    feed = open_feed(str(written(tmp_path, GOOD[:-1] + ', "\\ud800": 1}', "a.jsonl")))
    assert all(isinstance(item, Change) for item in feed)
    assert [reason.encode() for reason in feed.skipped] == [b"unused column '?'"]


@given(content=st.binary(max_size=400))
@settings(max_examples=100, deadline=None)
def test_no_bytes_whatever_stop_an_array_or_a_table(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp()
    heads = {"b.json": b"", "b.csv": b"subject,relation,target_new\n", "b.tsv": b"subject\tprompt\ttarget\n"}
    for name, head in heads.items():
        path = written(folder, head + content, name)
        if name == "b.json" and content[:2] in (b"\xff\xfe", b"\xfe\xff"):
            continue
        for item in open_feed(str(path)):
            item.model_dump_json()
