"""JSON from strangers: a fault costs the record it is in, is named, and neither stops nor stalls the reading."""

from __future__ import annotations

import io
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kgedit.io import json_records
from kgedit.io.json_records import parse_lines, parse_text

GOOD = '{"a": 1}'


def values(parsed) -> list:
    return [item.value if item.value is not None else item.problem for item in parsed]


def lines(*rows: str | bytes) -> list:
    data = b"\n".join(row.encode("utf-8") if isinstance(row, str) else row for row in rows)
    return list(parse_lines(io.BytesIO(data)))


BROKEN = {
    "NaN": ('{"a": NaN}', "NaN is not a JSON number"),
    "infinity": ('{"a": -Infinity}', "-Infinity is not a JSON number"),
    "duplicate key": ('{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' occurs twice"),
    "too deep": ('{"a": ' + "[" * 40 + "]" * 40 + "}", "nested 41 deep"),
    "far too deep": ('{"a": ' + "[" * 200_000 + "]" * 200_000 + "}", "nested 200001 deep"),
    "many digits": ('{"a": ' + "9" * 10_000 + "}", "not JSON that can be used"),
    "no value": ('{"a": }', "not JSON that can be used: Expecting value"),
    "tab in a text": ('{"a": "x\ty"}', "Invalid control character"),
    "a list": ("[1, 2]", "a record is a JSON object, this is [1, 2]"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_record_leaves_those_around_it_whole(case) -> None:
    broken, problem = BROKEN[case]
    for found in (list(parse_text(f"[{GOOD}, {broken}, {GOOD}]")), lines(GOOD, broken, GOOD)):
        assert [item.value for item in found] == [{"a": 1}, None, {"a": 1}]
        assert [item.index for item in found] == [0, 1, 2]
        assert problem in found[1].problem


def test_a_record_that_is_too_long_is_named(monkeypatch) -> None:
    monkeypatch.setattr(json_records, "MAX_RECORD", 100)
    long = json.dumps({"a": "x" * 200})
    for found in (list(parse_text(f"[{GOOD}, {long}, {GOOD}]")), lines(GOOD, long, GOOD)):
        assert [item.value for item in found] == [{"a": 1}, None, {"a": 1}]
        assert "longer than 100" in found[1].problem


def test_the_longest_line_is_read_also_without_a_line_end(monkeypatch) -> None:
    monkeypatch.setattr(json_records, "MAX_RECORD", len(GOOD))
    assert values(lines(GOOD, GOOD)) == [{"a": 1}] * 2


def test_a_line_of_many_times_the_limit_is_passed_over_in_pieces(monkeypatch) -> None:
    monkeypatch.setattr(json_records, "MAX_RECORD", 10)
    found = lines("x" * 105, GOOD, "y" * 11)
    assert [(item.index, item.value) for item in found] == [(0, None), (1, {"a": 1}), (2, None)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("  \n", []),
        ("[]", []),
        ("{}", [{}]),
        ("[{}]", [{}]),
        ('{"a": [{"b": 1}, {"c": "]}"}]}', [{"a": [{"b": 1}, {"c": "]}"}]}]),
        ('[{"a": "\\"}"}, {"b": "\\\\"}]', [{"a": '"}'}, {"b": "\\"}]),
        ('{"a": 1}\n{"a": 2}', [{"a": 1}, {"a": 2}]),
        ("\ufeff[{}]", [{}]),
    ],
)
def test_whole_texts(text, found) -> None:
    assert values(parse_text(text)) == found


@pytest.mark.parametrize(
    ("text", "good", "problem"),
    [
        ('[{"a": 1}, {"a": 2', 1, "ends in the middle of it"),
        ('[{"a": 1}, {"a": "tw', 1, "a string in it never ends"),
        ('[{"a": 1}, {"a": 2}', 2, "without closing its array"),
        ('[{"a": 1}, null, {"a": 2}]', 2, "here stands null"),
        ('[{"a": 1}] and more', 1, "text after the end of the records: and more"),
        ('[{"a": 1}]]', 1, "text after the end"),
        ("version https://example.org", 0, "here stands version"),
        ('{"a": 1} } {}', 1, "text after the end of the records: } {}"),
    ],
)
def test_a_text_that_is_cut_off_or_has_strangers_in_it(text, good, problem) -> None:
    found = list(parse_text(text))
    assert sum(item.value is not None for item in found) == good
    assert [problem in item.problem for item in found if item.problem] == [True]


def test_bytes_that_are_no_text_stay_in_their_line() -> None:
    found = lines(GOOD, b'{"a": "\xff\xfe"}', GOOD)
    assert [item.value for item in found] == [{"a": 1}, {"a": "\udcff\udcfe"}, {"a": 1}]


def test_blank_lines_do_not_count_and_a_byte_order_mark_is_no_text() -> None:
    found = lines("\ufeff" + GOOD, "", "  ", GOOD)
    assert [(item.index, item.value) for item in found] == [(0, {"a": 1}), (1, {"a": 1})]


@pytest.mark.parametrize(
    "text", ['"' * 300_000, "[" * 300_000, '{"\\' * 100_000, '[{"a": "' + "\\" * 300_001, "[{" * 100_000]
)
def test_hostile_texts_take_time_in_proportion_to_their_length(text) -> None:
    start = time.process_time()
    assert all(item.value is None for item in parse_text(text))
    assert time.process_time() - start < 5  # a quadratic scan of these takes minutes


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
_objects = st.lists(st.dictionaries(st.text(), _json, max_size=4), max_size=5)


@settings(max_examples=60, deadline=None)
@given(_objects, st.sampled_from([None, 1]), st.booleans())
def test_what_json_writes_is_read_back(records, indent, ascii_only) -> None:
    text = json.dumps(records, indent=indent, ensure_ascii=ascii_only)
    assert values(parse_text(text)) == records
    one_per_line = "\n".join(json.dumps(record, ensure_ascii=ascii_only) for record in records)
    assert values(parse_text(one_per_line)) == records
    assert values(parse_lines(io.BytesIO(one_per_line.encode("utf-8", "surrogatepass")))) == records


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet='[]{}",:\\ \n01aNn', max_size=60))
def test_any_text_is_read_without_an_error_and_nothing_is_taken_that_is_not_json(text) -> None:
    for item in [*parse_text(text), *parse_lines(io.BytesIO(text.encode()))]:
        assert (item.value is None) == bool(item.problem)
        assert item.value is None or isinstance(item.value, dict)
