"""Which value holds today: worked out by hand for each sign that Wikidata gives, and for recorded entities."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest

from feed_entities import entity, moment, statement
from kgedit.ingest.feeds.statements import _Snak, _span, current

TODAY = date(2026, 11, 23)


def holding(*statements: dict[str, Any], single: bool = True, today: date = TODAY) -> list[str]:
    return [value.item for value in current(entity("Q1", P6=list(statements)), "P6", single=single, today=today)]


def test_the_preferred_one_is_meant_and_a_deprecated_one_never() -> None:
    assert holding(statement("Q2"), statement("Q3", rank="preferred"), statement("Q4", rank="deprecated")) == ["Q3"]
    assert holding(statement("Q4", rank="deprecated")) == []


def test_what_has_ended_does_not_hold_even_if_preferred() -> None:
    ended = statement("Q3", rank="preferred", start="2010-01-01", end="2020-05-01")
    assert holding(ended, statement("Q2")) == ["Q2"]
    assert holding(statement("Q3", end="?")) == []
    assert holding(statement("Q3", end="2026-11-22")) == []
    assert holding(statement("Q3", end="2026-11-24")) == ["Q3"]


def test_a_year_of_end_is_over_when_it_is_over() -> None:
    assert holding(statement("Q3", end="2026-00-00")) == ["Q3"]
    assert holding(statement("Q3", end="2025-00-00")) == []
    assert holding(statement("Q3", end="2026-11-00")) == ["Q3"]
    assert holding(statement("Q3", end="2026-10-00")) == []


def test_what_has_not_begun_does_not_hold() -> None:
    assert holding(statement("Q2", end="2027-01-20"), statement("Q3", start="2027-01-20")) == ["Q2"]
    same = (statement("Q2", end="2027-01-20"), statement("Q3", start="2027-01-20"))
    assert holding(*same, today=date(2027, 1, 21)) == ["Q3"]


def test_a_second_term_holds_although_the_first_has_ended() -> None:
    again = statement("Q3", start="2010-01-01", end="2014-01-01")
    again["qualifiers"]["P580"].append(moment("+2018-01-01T00:00:00Z"))
    assert holding(again) == ["Q3"]
    assert holding(statement("Q3", start="2010-01-01", end="2014-01-01"), statement("Q3", start="2018-01-01")) == [
        "Q3"
    ]


def test_of_several_the_one_that_began_last_is_meant_if_all_say_when() -> None:
    assert holding(statement("Q2", start="2020-00-00"), statement("Q3", start="2019-05-01")) == ["Q2"]
    assert holding(statement("Q2", start="2020-00-00"), statement("Q3")) == ["Q2", "Q3"]


def test_references_decide_where_times_do_not_and_what_is_left_is_a_conflict() -> None:
    assert holding(statement("Q2"), statement("Q3", references=1)) == ["Q3"]
    assert holding(statement("Q2", references=2), statement("Q3", references=1)) == ["Q2", "Q3"]


def test_several_values_of_a_relation_that_takes_several_are_all_meant() -> None:
    found = [statement("Q2", start="2020-00-00"), statement("Q3", references=1), statement("Q3", references=3)]
    assert holding(*found, single=False) == ["Q2", "Q3"]


def test_values_that_are_no_item_do_not_count() -> None:
    text = {"mainsnak": {"snaktype": "value", "datavalue": {"type": "string", "value": "x"}}}
    lexeme = {"mainsnak": {"snaktype": "value", "datavalue": {"value": {"entity-type": "lexeme", "id": "L1"}}}}
    assert holding(text, lexeme, statement(None), {"mainsnak": {"snaktype": "novalue"}}, statement("Q2")) == ["Q2"]


def test_the_date_of_a_value_is_its_start_or_when_its_references_were_looked_at() -> None:
    found = entity("Q1", P6=[statement("Q2", start="2020-05-00", references=1, retrieved="2024-01-02")])
    assert current(found, "P6", single=True, today=TODAY)[0].dated == datetime(2020, 5, 1, tzinfo=UTC)
    found = entity("Q1", P6=[statement("Q2", references=1, retrieved="2024-01-02")])
    assert current(found, "P6", single=True, today=TODAY)[0].dated == datetime(2024, 1, 2, tzinfo=UTC)


def test_old_and_rough_times_are_understood() -> None:
    rough = statement("Q2")
    rough["qualifiers"] = {"P580": [moment("-0044-00-00T00:00:00Z", 9)], "P582": [moment("+1950-00-00T00:00:00Z", 8)]}
    assert holding(rough, today=date(1955, 1, 1)) == ["Q2"]  # some year of the fifties
    assert holding(rough, today=date(1960, 1, 1)) == []
    assert current(entity("Q1", P6=[rough]), "P6", single=True, today=date(1955, 1, 1))[0].dated is None


@pytest.mark.parametrize(
    ("time", "precision", "first", "last"),
    [
        ("+2000-00-00T00:00:00Z", 7, (1901, 0, 0), (2000, 12, 31)),  # 20th century
        ("+1901-01-01T00:00:00Z", 7, (1901, 0, 0), (2000, 12, 31)),
        ("+2001-00-00T00:00:00Z", 7, (2001, 0, 0), (2100, 12, 31)),
        ("+2100-00-00T00:00:00Z", 7, (2001, 0, 0), (2100, 12, 31)),
        ("+0100-00-00T00:00:00Z", 7, (1, 0, 0), (100, 12, 31)),
        ("-0044-00-00T00:00:00Z", 7, (-100, 0, 0), (-1, 12, 31)),  # 1st century BC
        ("-0100-00-00T00:00:00Z", 7, (-100, 0, 0), (-1, 12, 31)),
        ("-0101-00-00T00:00:00Z", 7, (-200, 0, 0), (-101, 12, 31)),
        ("+2000-00-00T00:00:00Z", 6, (1001, 0, 0), (2000, 12, 31)),  # 2nd millennium
        ("+3000-00-00T00:00:00Z", 6, (2001, 0, 0), (3000, 12, 31)),
        ("-0500-00-00T00:00:00Z", 6, (-1000, 0, 0), (-1, 12, 31)),
        ("+2000-00-00T00:00:00Z", 8, (2000, 0, 0), (2009, 12, 31)),  # the 2000s
        ("+2019-00-00T00:00:00Z", 8, (2010, 0, 0), (2019, 12, 31)),
        ("-0044-00-00T00:00:00Z", 8, (-49, 0, 0), (-40, 12, 31)),  # the 40s BC
        ("+2020-01-01T00:00:00Z", 9, (2020, 0, 0), (2020, 12, 31)),  # old bots filled in the first of January
        ("+2020-05-01T00:00:00Z", 10, (2020, 5, 0), (2020, 5, 31)),
        ("+2020-05-07T00:00:00Z", 11, (2020, 5, 7), (2020, 5, 7)),
        ("+00000002020-05-07T00:00:00Z", 11, (2020, 5, 7), (2020, 5, 7)),
        ("-13798000000-00-00T00:00:00Z", 3, (-13798500000, 0, 0), (-13797500000, 12, 31)),
    ],
)
def test_a_time_covers_what_wikidata_means_by_its_precision(
    time: str, precision: int, first: tuple[int, int, int], last: tuple[int, int, int]
) -> None:
    assert _span(_Snak.model_validate(moment(time, precision))) == (first, last)


def test_a_century_ends_with_its_last_year_and_begins_with_its_first() -> None:
    over = statement("Q2")
    over["qualifiers"] = {"P582": [moment("+2000-00-00T00:00:00Z", 7)]}
    assert holding(over) == []
    assert holding(over, today=date(2000, 12, 31)) == ["Q2"]
    begun = statement("Q2")
    begun["qualifiers"] = {"P580": [moment("+2100-00-00T00:00:00Z", 7)]}
    assert holding(begun) == ["Q2"]


def test_an_item_without_statements_has_no_value() -> None:
    assert current(entity("Q1"), "P6", single=True, today=TODAY) == ()
    assert current({}, "P6", single=True, today=TODAY) == ()


@pytest.mark.parametrize("broken", [{"mainsnak": 3}, 7, {"mainsnak": {"snaktype": "value"}, "rank": "best"}, {}])
def test_a_statement_that_is_none_is_named(broken: Any) -> None:
    with pytest.raises(ValueError, match="statement 2 of P6"):
        holding(statement("Q2"), broken)
    with pytest.raises(ValueError, match="no list"):
        current({"claims": {"P6": {}}}, "P6", single=True, today=TODAY)


def test_the_recorded_mayors_of_bielefeld(recorded_entity: Callable[[str], dict[str, Any]]) -> None:
    (value,) = current(recorded_entity("Q2112"), "P6", single=True, today=date(2016, 8, 12))
    assert (value.item, value.preferred, value.start) == ("Q2097128", True, (2009, 0, 0))


def test_the_recorded_sandbox_prefers_one_and_deprecates_one(
    recorded_entity: Callable[[str], dict[str, Any]],
) -> None:
    found = recorded_entity("Q4115189")
    assert [value.item for value in current(found, "P135", single=True, today=TODAY)] == ["Q2044250"]
    assert current(found, "P569", single=True, today=TODAY) == ()  # a deprecated date


def test_recorded_values_without_an_id_field_and_references_that_decide(
    recorded_entity: Callable[[str], dict[str, Any]],
) -> None:
    found = recorded_entity("Q4132785")
    assert [value.item for value in current(found, "P136", single=True, today=TODAY)] == ["Q12132683"]
    authors = recorded_entity("Q22002395")  # two of five are unknown values
    assert [value.item for value in current(authors, "P50", single=False, today=TODAY)] == [
        "Q1128109", "Q1181545", "Q1747747",
    ]  # fmt: skip
