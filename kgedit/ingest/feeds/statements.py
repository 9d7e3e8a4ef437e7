"""The values of a property that hold on a day, by Wikidata's own signs: rank, start and end, references."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from kg_cache.ids import is_entity_id

START, END, RETRIEVED = "P580", "P582", "P813"
_TIME = re.compile(r"([+-])0*([0-9]{1,16})-([0-9]{2})-([0-9]{2})T")
# Wikidata's codes for how well a time is known; those below the millennium are powers of ten of years.
_MILLENNIUM, _CENTURY, _DECADE, _YEAR, _MONTH, _DAY = 6, 7, 8, 9, 10, 11

Day = tuple[int, int, int]


class _Snak(BaseModel):
    model_config = ConfigDict(extra="ignore")

    snaktype: Literal["value", "somevalue", "novalue"]
    datavalue: dict[str, Any] = {}


class _Reference(BaseModel):
    model_config = ConfigDict(extra="ignore")

    snaks: dict[str, list[_Snak]] | list[object] = {}


class _Statement(BaseModel):
    """A statement; an empty map is written as an empty list by PHP, and old dumps leave ids and ranks out."""

    model_config = ConfigDict(extra="ignore")

    id: str | None = None
    mainsnak: _Snak
    rank: Literal["preferred", "normal", "deprecated"] = "normal"
    qualifiers: dict[str, list[_Snak]] | list[object] = {}
    references: list[_Reference] = []


class Value(NamedTuple):
    """An item that a property has, and what speaks for it.

    Attributes:
        item: The item.
        statement: Id of the statement.
        preferred: Whether it has the preferred rank.
        start: Since when it holds, if known.
        references: Number of references.
        dated: Its start, or else when its references were last looked at, if either is known.
    """

    item: str
    statement: str
    preferred: bool
    start: Day | None
    references: int
    dated: datetime | None


def current(entity: Mapping[str, Any], relation: str, *, single: bool, today: date) -> tuple[Value, ...]:
    """The values of a property that hold on a day.

    Deprecated statements, those whose value is no item, those not begun and those ended do not count; preferred
    ones come before the others. Of several values of a single-valued relation the one that began last is meant if
    all say when they began; else those with references. More than one value left then is a conflict, which is for
    the caller to report.

    Args:
        entity: The entity's JSON.
        relation: Property id.
        single: Whether a subject normally has one value only.
        today: The day.

    Raises:
        ValueError: A statement is not as Wikidata writes them.
    """
    # 1. Of each item the weightiest of the statements that hold on the day.
    now = (today.year, today.month, today.day)
    by_item: dict[str, Value] = {}
    for statement in _statements(entity, relation):
        item = _item(statement.mainsnak)
        if item is None or statement.rank == "deprecated" or not _holds(statement, now):
            continue
        value = _value(statement, item)
        if item not in by_item or _weight(value) > _weight(by_item[item]):
            by_item[item] = value
    # 2. Preferred ones before others; of a single-valued relation the latest, or those with references.
    values = [value for value in by_item.values() if value.preferred] or list(by_item.values())
    if single and len(values) > 1:
        starts = [value.start for value in values if value.start is not None]
        if len(starts) == len(values):
            values = [value for value in values if value.start == max(starts)]
        values = [value for value in values if value.references] or values
    return tuple(values)


def _statements(entity: Mapping[str, Any], relation: str) -> Iterator[_Statement]:
    claims = entity.get("claims") or {}
    if not isinstance(claims, dict) or not isinstance(claims.get(relation, []), list):
        raise ValueError(f"its statements of {relation} are no list")
    for position, raw in enumerate(claims.get(relation, []), 1):
        try:
            yield _Statement.model_validate(raw)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(step) for step in first["loc"])
            raise ValueError(f"statement {position} of {relation} cannot be read ({where}: {first['msg']})") from error


def _item(snak: _Snak) -> str | None:
    value = snak.datavalue.get("value")
    if snak.snaktype != "value" or not isinstance(value, dict) or value.get("entity-type") != "item":
        return None
    item = str(value.get("id") or f"Q{value.get('numeric-id')}")
    return item if is_entity_id(item) else None


def _holds(statement: _Statement, now: Day) -> bool:
    starts, ends = _qualifiers(statement, START), _qualifiers(statement, END)
    begun = [first for snak in starts if (first := _span(snak)[0]) is not None]
    if begun and min(begun) > now:
        return False
    finished = [snak for snak in ends if snak.snaktype == "somevalue" or ((last := _span(snak)[1]) and last < now)]
    return not ends or len(finished) < len(ends) or len(starts) > len(ends)


def _value(statement: _Statement, item: str) -> Value:
    starts = [first for snak in _qualifiers(statement, START) if (first := _span(snak)[0]) is not None]
    looked = [
        first
        for reference in statement.references
        if isinstance(reference.snaks, dict)
        for snak in reference.snaks.get(RETRIEVED, [])
        if (first := _span(snak)[0]) is not None
    ]
    start = max(starts, default=None)
    return Value(
        item=item,
        statement=statement.id or f"{item} (no statement id)",
        preferred=statement.rank == "preferred",
        start=start,
        references=len(statement.references),
        dated=_moment(start or max(looked, default=None)),
    )


def _weight(value: Value) -> tuple[bool, Day, int]:
    return value.preferred, value.start or (-(10**16), 0, 0), value.references


def _qualifiers(statement: _Statement, relation: str) -> list[_Snak]:
    return statement.qualifiers.get(relation, []) if isinstance(statement.qualifiers, dict) else []


def _span(snak: _Snak) -> tuple[Day | None, Day | None]:
    """First and last day that a time of some precision may mean; nothing for an unknown one."""
    value = snak.datavalue.get("value")
    time = _TIME.match(str(value.get("time", ""))) if isinstance(value, dict) and snak.snaktype == "value" else None
    if not time:
        return None, None
    year, month, day = int(time[1] + time[2]), int(time[3]), int(time[4])
    precision = value.get("precision", _DAY) if isinstance(value, dict) else _DAY
    if isinstance(precision, int) and 0 <= precision < _YEAR:
        first, last = _years(year, precision)
        return (first, 0, 0), (last, 12, 31)
    # A time known to the year may be written with its first day.
    month, day = 0 if precision == _YEAR else month, 0 if precision in (_YEAR, _MONTH) else day
    return (year, month, day), (year, month or 12, day or 31)


def _years(year: int, precision: int) -> tuple[int, int]:
    """First and last year of the decade, century, millennium or longer span that a year stands for.

    As Wikibase shows them: the 20th century is 1901 to 2000, and +2000 belongs to it; the 1990s are 1990 to 1999;
    before our era both count from the year 1 backwards. Of the longer spans it rounds to the nearest.
    """
    reach, distance = 10 ** (_YEAR - precision), abs(year)
    if precision == _DECADE:
        first = distance - distance % reach
        last = first + reach - 1
    elif precision in (_CENTURY, _MILLENNIUM):
        last = max(-(-distance // reach), 1) * reach
        first = last - reach + 1
    else:
        middle = (year + reach // 2) // reach * reach
        return middle - reach // 2, middle + reach // 2
    return (first, last) if year >= 0 else (-last, -first)


def _moment(day: Day | None) -> datetime | None:
    if day is None or not 1 <= day[0] <= 9999:
        return None
    try:
        return datetime(day[0], day[1] or 1, day[2] or 1, tzinfo=UTC)
    except ValueError:
        return None
