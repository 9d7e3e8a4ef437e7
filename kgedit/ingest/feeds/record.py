"""The fields of a change as files write them: names of columns, ids in every spelling, dates of every precision."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from kg_cache.ids import as_id
from kgedit.edit import Edit
from kgedit.ingest.change import Change, Provenance
from kgedit.io.text import reason, short

FIELDS = ("subject", "relation", "target_new", "target_true", "prompt", "boundary", "dated", "evidence")
_COLUMNS = {name.replace("_", ""): name for name in FIELDS} | {"target": "target_new"}
# A date by year, month or day, also as Wikidata writes it: a sign, leading zeros, zeros for what is not known.
_DATE = re.compile(r"\+?0*([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})(?:T00:00:00Z)?)?)?")


class ChangeRecord(BaseModel):
    """One record by field; the edit's own limits are checked by `Edit`."""

    model_config = ConfigDict(strict=True, extra="forbid")

    subject: str
    relation: str | None = None
    target_new: str
    target_true: str | None = None
    prompt: str | None = None
    boundary: str | None = None
    dated: str | None = None
    evidence: str | None = Field(default=None, max_length=2000)

    @field_validator("dated", mode="before")
    @classmethod
    def _plain_date(cls, value: object) -> object:
        """A year as a number, or Wikidata's time object, as text."""
        if isinstance(value, dict):
            return value.get("time", value)
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("evidence")
    @classmethod
    def _in_one_line(cls, value: str | None) -> str | None:
        return None if value is None else " ".join(value.split())

    @field_validator("*")
    @classmethod
    def _printable(cls, value: str | None, info: ValidationInfo) -> str | None:
        allowed = "\n\t" if info.field_name == "prompt" else ""  # as in the templates of chats
        if value is not None and any(unicodedata.category(ch) == "Cc" and ch not in allowed for ch in value):
            raise ValueError("control characters or line breaks in it")
        return value

    @field_validator("subject", "relation", "target_new", "target_true")
    @classmethod
    def _plain_id(cls, value: str | None) -> str | None:
        return None if value is None else as_id(value)

    @classmethod
    def change(cls, fields: dict[str, Any], feed: str, position: str, seen: datetime) -> Change:
        """The change that a record asks for.

        Args:
            fields: Value of each field.
            feed: Name of the feed.
            position: Place of the record in it.
            seen: When it was read.

        Raises:
            ValueError: A value is none for its field; the message is one line.
        """
        try:
            record = cls.model_validate(fields)
            provenance = Provenance(
                feed=feed, position=position, seen=seen, dated=moment(record.dated), evidence=record.evidence or None
            )
            edit = Edit.model_validate(record.model_dump(exclude={"dated", "evidence"}))
        except ValidationError as error:
            raise ValueError(reason(error)) from error
        return Change(edit=edit, provenance=provenance)


def field_of(column: str) -> str | None:
    """The field that a column or key gives by its name: in any case, also "?subject", "Target new" or "targetNew"."""
    return _COLUMNS.get(re.sub(r"[\s_-]+", "", column.strip().lstrip("?$").strip("\"'").casefold()))


def moment(text: str | None) -> datetime | None:
    """The time of a date; of a year or a month its first day.

    Raises:
        ValueError: It is no such date.
    """
    if text is None or not text.strip():
        return None
    text = text.strip()
    try:
        if date := _DATE.fullmatch(text):
            return datetime(int(date[1]), int(date[2] or 1) or 1, int(date[3] or 1) or 1, tzinfo=UTC)
        time = datetime.fromisoformat(text.removeprefix("+"))
        time = time if time.tzinfo else time.replace(tzinfo=UTC)
        time.astimezone(UTC)  # a year that is none in UTC cannot be compared with others
    except (OverflowError, ValueError):
        raise ValueError(
            f"dated: {short(text, 40)!r} is no ISO date such as 2026, 2026-11, 2026-11-23 or 2026-11-23T10:00Z"
        ) from None
    return time
