from __future__ import annotations

import gzip
import hashlib
import json

import pytest

from kgedit.errors import DataError, UnknownFormat
from kgedit.evaluate.benchmarks import reading
from kgedit.evaluate.benchmarks.reading import load


def zsre(number: int, **changes) -> dict:
    return {
        "subject": f"Foo {number}",
        "src": f"What does Foo {number} make?",
        "rephrase": f"What is made by Foo {number}?",
        "alt": "hats",
        "answers": ["boots"],
        "loc": "nq question: who",
        "loc_ans": "Baz",
    } | changes


def fact(number: int, **changes) -> dict:
    own = {"known_id": number, "subject": "Foo", "attribute": "Bar", "prompt": "Foo is in"}
    return own | changes


RECORDS = [zsre(0), zsre(1)]
ARRAY = json.dumps(RECORDS)
LINES = "\n".join(json.dumps(record) for record in RECORDS)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.json", ARRAY.encode()),
        ("a.json", json.dumps(RECORDS, indent=1).encode()),
        ("a.json", b"\xef\xbb\xbf" + ARRAY.encode()),
        ("a.json", ARRAY.encode("utf-16")),
        ("a.json", LINES.encode()),
        ("a.jsonl", LINES.encode()),
        ("a.jsonl", json.dumps(RECORDS, indent=1).encode()),
        ("a.jsonl", LINES.replace("\n", "\r\n\r\n").encode()),
        ("a.json.gz", gzip.compress(ARRAY.encode())),
        ("a.jsonl.gz", gzip.compress(LINES.encode())),
    ],
)
def test_all_kinds_of_files_give_the_same_records(tmp_path, name, data) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    loaded = load(path)
    assert [record.rewrite.subject for record in loaded.records] == ["Foo 0", "Foo 1"]
    assert loaded.skipped == loaded.dropped == ()
    assert (loaded.source, loaded.sha256) == (str(path), hashlib.sha256(data).hexdigest())
    assert load(str(path)) == loaded


def test_a_single_record_may_be_spread_over_lines(tmp_path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(zsre(0), indent=2), encoding="utf-8")
    assert len(load(tmp_path / "a.json").records) == 1


def test_a_record_that_cannot_be_read_is_counted_named_and_left_out(tmp_path) -> None:
    rows = [json.dumps(fact(5)), '{"known_id": NaN}', json.dumps(fact(6, attribute=3)), json.dumps(fact(7))]
    (tmp_path / "a.jsonl").write_text("\n".join(rows), encoding="utf-8")
    loaded = load(tmp_path / "a.jsonl")
    assert [record.case_id for record in loaded.records] == [5, 7]
    assert [(item.index, item.case_id) for item in loaded.skipped] == [(1, None), (2, 6)]
    assert str(loaded.skipped[1]).startswith("a.jsonl: record 2 (id 6): attribute: Input should be a valid string")
    assert loaded.summary(most=1).splitlines() == [
        f"2 records of format known-facts from {tmp_path / 'a.jsonl'}",
        "2 records left out:",
        f"  {loaded.skipped[0]}",
        "  and 1 more",
    ]


def test_a_file_cut_off_in_the_middle_gives_what_is_whole(tmp_path) -> None:
    (tmp_path / "a.json").write_text(ARRAY[:-30], encoding="utf-8")
    loaded = load(tmp_path / "a.json")
    assert len(loaded.records) == len(loaded.skipped) == 1
    assert "cut off" in loaded.skipped[0].reason


def test_bytes_that_are_no_text_cost_their_record(tmp_path) -> None:
    (tmp_path / "a.json").write_bytes(ARRAY.encode().replace(b"Foo 1", b"F\xf6\xf6 1"))
    loaded = load(tmp_path / "a.json")
    assert ([record.case_id for record in loaded.records], len(loaded.skipped)) == ([0], 1)


def test_an_id_that_occurs_twice_counts_once(load_records) -> None:
    loaded = load_records(fact(5), fact(6), fact(5, attribute="Baz"))
    assert [record.case_id for record in loaded.records] == [5, 6]
    assert loaded.records[0].answer == "Bar"
    assert "record 0 has the same id" in str(loaded.skipped[0])


def test_the_reasons_stay_short_however_long_the_values_are(load_records) -> None:
    loaded = load_records(fact(0), fact(1, attribute=["x"] * 10_000), fact(2, subject="y" * 5_000))
    assert len(loaded.skipped) == 2
    assert all(len(str(item)) < 400 for item in loaded.skipped)


def test_the_format_can_be_named(load_records) -> None:
    loaded = load_records(zsre(0), format="zsre-plus")
    assert (len(loaded.records), len(loaded.skipped), loaded.format) == (0, 1, "zsre-plus")


def folder(tmp_path, **files):
    for name, records in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(records), encoding="utf-8")
    return tmp_path


def test_the_files_of_a_folder_are_read_in_the_order_of_their_names(tmp_path) -> None:
    where = folder(tmp_path, b=[fact(1), fact(2)], a=[fact(1), fact(1)])
    (where / "notes.txt").write_text("not data", encoding="utf-8")
    (where / "deeper").mkdir()
    (where / "deeper" / "c.json").write_text(json.dumps([fact(9)]), encoding="utf-8")
    loaded = load(where)
    assert [record.case_id for record in loaded.records] == ["a/1", "b/1", "b/2"]
    assert [(item.source, item.index) for item in loaded.skipped] == [("a.json", 1)]
    before = loaded.sha256
    folder(tmp_path, b=[fact(1), fact(3)])
    assert load(where).sha256 != before


def test_files_that_differ_in_their_ending_alone_keep_their_records_apart(tmp_path) -> None:
    where = folder(tmp_path, cf=[fact(0)], other=[fact(0)])
    (where / "cf.jsonl").write_text(json.dumps(fact(0, attribute="Baz")), encoding="utf-8")
    records = load(where).records
    assert [record.case_id for record in records] == ["cf.json/0", "cf.jsonl/0", "other/0"]
    assert [record.answer for record in records] == ["Bar", "Baz", "Bar"]


def test_a_folder_of_one_file_keeps_its_ids(tmp_path) -> None:
    assert load(folder(tmp_path, a=[fact(1)])).records[0].case_id == 1


def test_a_file_of_no_known_format_in_a_folder_is_named(tmp_path) -> None:
    loaded = load(folder(tmp_path, a=[fact(1)], config=[{"x": 1}]))
    assert len(loaded.records) == 1
    assert str(loaded.skipped[0]).startswith("config.json: record 0: the whole file: ")


def test_a_folder_of_several_formats_says_which(tmp_path) -> None:
    with pytest.raises(UnknownFormat, match=r"a\.json \(known-facts\), b\.json \(zsre\); give the path of one file"):
        load(folder(tmp_path, a=[fact(1)], b=[zsre(1)]))


def test_a_folder_without_a_benchmark(tmp_path) -> None:
    with pytest.raises(DataError, match=r"holds no \.json"):
        load(tmp_path)
    with pytest.raises(UnknownFormat, match="no file of .* is in a known format"):
        load(folder(tmp_path, a=[{"x": 1}]))


@pytest.mark.parametrize("name", ["missing.json", "no/such/folder", "a b", "owner/name.jsonl"])
def test_a_path_that_is_none_says_so(name) -> None:
    with pytest.raises(DataError, match="there is no file or folder"):
        load(name)


def test_a_damaged_archive_says_so(tmp_path) -> None:
    for name, data in (("a", gzip.compress(ARRAY.encode())[:-12]), ("b", b"no archive")):
        (tmp_path / f"{name}.json.gz").write_bytes(data)
        with pytest.raises(DataError, match="cannot be read.*fetch the file again"):
            load(tmp_path / f"{name}.json.gz")


def test_an_archive_that_unpacks_to_more_than_is_read_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(reading, "MAX_FILE", 10_000)
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(b" " * 1_000_000 + ARRAY.encode()))
    with pytest.raises(DataError, match="more than 10,000 bytes"):
        load(tmp_path / "a.json.gz")
    (tmp_path / "a.json").write_bytes(b" " * 10_001)
    with pytest.raises(DataError, match="more than 10,000 bytes"):
        load(tmp_path / "a.json")


def test_a_pointer_in_place_of_the_file_is_no_benchmark(tmp_path) -> None:
    (tmp_path / "recent.json").write_text("version https://git-lfs.github.com/spec/v1\nsize 1\n", encoding="utf-8")
    with pytest.raises(UnknownFormat, match="holds no record"):
        load(tmp_path / "recent.json")
