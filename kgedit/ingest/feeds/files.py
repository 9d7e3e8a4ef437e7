r"""Changes from a file: JSON lines, or a table with a header (CSV, TSV).

Fields of a record; only the first three are needed, and `prompt` may stand for `relation`:

| field         | what                                                                  |
|---------------|-----------------------------------------------------------------------|
| `subject`     | item id, exact label or alias; free text beside a prompt              |
| `relation`    | property id or label                                                  |
| `target_new`  | the new object (also called `target`)                                 |
| `target_true` | the object that held so far                                           |
| `prompt`      | a cloze of one's own with one `{}` for the subject                    |
| `boundary`    | `none` or `space` between prompt and new object; else the prompt decides |
| `dated`       | when the fact or its evidence is of: an ISO date, or date and time    |
| `evidence`    | an address, a revision, whatever the source gives                     |

Other columns are passed over and named in `skipped`. A table has one record on each line, so a quoted cell holds
no line break; its separator (comma, semicolon or tabulator) is the commonest in its header, and its last line
must end with a line break, since a name that was cut off would look like another name.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from kgedit.edit import Edit
from kgedit.errors import FeedError
from kgedit.ingest.change import Change, MalformedChange, Provenance, now
from kgedit.ingest.feeds.base import FeedItem, FeedOptions
from kgedit.io.json_records import parse_lines
from kgedit.io.lines import Line, read_lines
from kgedit.io.text import reason, short

FIELDS = ("subject", "relation", "target_new", "target_true", "prompt", "boundary", "dated", "evidence")
_ALSO = {"target": "target_new"}
_UNUSED = 20  # names of unused columns that are remembered


class _Record(BaseModel):
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

    @field_validator("*")
    @classmethod
    def _one_line(cls, value: str | None) -> str | None:
        if value is not None and any(unicodedata.category(letter) == "Cc" for letter in value):
            raise ValueError("control characters or line breaks in it")
        return value


class _FileFeed:
    """What both layouts share."""

    def __init__(self, path: Path, columns: Mapping[str, str], clock: Callable[[], datetime]) -> None:
        if unknown := sorted(set(columns.values()) - set(FIELDS)):
            raise FeedError(f"{unknown[0]!r} is no field of a change; the fields are {', '.join(FIELDS)}")
        if not path.exists() or path.is_dir():  # said before a store is made for it
            raise FeedError(f"{str(path)!r} cannot be opened: there is no such file; check the path")
        self.path, self.name, self.skipped = path, path.name, Counter[str]()
        self._columns, self._clock = dict(columns), clock

    def _field(self, column: str) -> str | None:
        """The field that a column gives; a column that is mapped elsewhere no longer gives the field of its name."""
        if column in self._columns:
            return self._columns[column]
        found = _ALSO.get(column, column)
        return found if found in FIELDS and found not in self._columns.values() else None

    def _unused(self, column: str) -> None:
        reason = f"unused column {short(column, 40)!r}"
        if reason in self.skipped or len(self.skipped) < _UNUSED:
            self.skipped[reason] += 1

    def _read(self, line: Line, pairs: Mapping[str, Any]) -> FeedItem:
        """A change from the fields of one line."""
        try:
            record = _Record.model_validate(pairs)
            provenance = Provenance(
                feed=self.name,
                position=f"line {line.number}",
                seen=self._clock(),
                dated=_moment(record.dated),
                evidence=record.evidence,
            )
            edit = Edit.model_validate(record.model_dump(exclude={"dated", "evidence"}))
        except ValidationError as error:
            return self._malformed(line, reason(error))
        except ValueError as error:
            return self._malformed(line, str(error))
        return Change(edit=edit, provenance=provenance)

    def _malformed(self, line: Line, why: str) -> MalformedChange:
        return MalformedChange(feed=self.name, position=f"line {line.number}", why=short(why, 300))


class JsonLines(_FileFeed):
    """A file with one JSON object on each line; blank lines do not count."""

    def __init__(
        self, path: Path, columns: Mapping[str, str] | None = None, *, clock: Callable[[], datetime] = now
    ) -> None:
        """Name the file; it is opened when it is read.

        Args:
            path: The file; a name that ends in .gz is unpacked.
            columns: Key -> field, where they differ.
            clock: Tells the present.

        Raises:
            FeedError: A field of the mapping does not exist.
        """
        super().__init__(path, columns or {}, clock)

    def __iter__(self) -> Iterator[FeedItem]:
        """A change or a malformed record for each line."""
        for line in read_lines(self.path):
            if line.problem:
                yield self._malformed(line, line.problem)
            elif line.text.strip():
                yield self._parse(line)

    def _parse(self, line: Line) -> FeedItem:
        found = next(parse_lines(io.BytesIO(line.text.encode())))
        if found.value is None:
            cut = "" if line.ended else "the file ends in the middle of this record: "
            return self._malformed(line, cut + found.problem)
        pairs: dict[str, Any] = {}
        for key, value in found.value.items():
            if (name := self._field(key)) is None:
                self._unused(key)
            elif name in pairs:
                return self._malformed(line, f"{name} is given twice")
            elif value is not None:
                pairs[name] = value
        return self._read(line, pairs)


class Table(_FileFeed):
    """A file of separated values with a header; an empty cell gives nothing."""

    def __init__(
        self, path: Path, columns: Mapping[str, str] | None = None, *, clock: Callable[[], datetime] = now
    ) -> None:
        """Name the file; it is opened when it is read.

        Args:
            path: The file; a name that ends in .gz is unpacked.
            columns: Column -> field, where they differ.
            clock: Tells the present.

        Raises:
            FeedError: A field of the mapping does not exist.
        """
        super().__init__(path, columns or {}, clock)

    def __iter__(self) -> Iterator[FeedItem]:
        """A change or a malformed record for each line after the header.

        Raises:
            FeedError: The header lacks a column that is needed or mapped, or names a field twice.
        """
        lines = read_lines(self.path)
        first = next(lines, None)
        if first is None or first.problem:
            raise FeedError(f"{str(self.path)!r} has no header: {first.problem if first else 'it is empty'}")
        separator = max(",;\t", key=first.text.count)
        try:
            fields = self._header(_cells(first.text, separator))
        except csv.Error as error:
            raise FeedError(f"{str(self.path)!r} has no header: its first line is no table row ({error})") from error
        for line in lines:
            if line.problem:
                yield self._malformed(line, line.problem)
            elif line.text.strip():
                yield self._parse(line, fields, separator)

    def _header(self, columns: list[str]) -> list[str | None]:
        names = [column.strip() for column in columns]
        fields = [self._field(name) for name in names]
        shown = ", ".join(short(name, 40) for name in names[:20])
        known = [name for name in fields if name]
        if missing := sorted(set(self._columns) - set(names)):
            raise FeedError(f"{str(self.path)!r} has no column {missing[0]!r}; its columns are {shown}")
        if twice := [name for name, times in Counter(known).items() if times > 1]:
            raise FeedError(f"{str(self.path)!r} has two columns for {twice[0]}: {shown}; leave one out, or map one")
        if not {"subject", "target_new"} <= set(known) or not {"relation", "prompt"} & set(known):
            raise FeedError(
                f"{str(self.path)!r} needs columns subject, target_new, and relation or prompt, in a header on its "
                f"first line; its columns are {shown}; name the right ones with --map column=field"
            )
        for name, given in zip(names, fields, strict=True):
            if given is None:
                self._unused(name)
        return fields

    def _parse(self, line: Line, fields: list[str | None], separator: str) -> FeedItem:
        if not line.ended:
            return self._malformed(
                line, "the file ends in the middle of this record, or lacks the line break after its last one"
            )
        try:
            cells = _cells(line.text, separator)
        except csv.Error as error:
            return self._malformed(line, f"no table row ({error}); a quoted cell must end on its line")
        if len(cells) != len(fields):
            return self._malformed(line, f"{len(cells)} cells where the header has {len(fields)}")
        return self._read(
            line, {name: cell for name, cell in zip(fields, cells, strict=True) if name and cell.strip()}
        )


def open_jsonl(what: str, options: FeedOptions) -> JsonLines:
    """Changes from a file with one JSON object per line."""
    return JsonLines(Path(what), options.columns)


def open_csv(what: str, options: FeedOptions) -> Table:
    """Changes from a table with a header; commas, semicolons or tabs between the cells."""
    return Table(Path(what), options.columns)


def _cells(text: str, separator: str) -> list[str]:
    return next(csv.reader([text], delimiter=separator, strict=True), [])


def _moment(text: str | None) -> datetime | None:
    if text is None or not text.strip():
        return None
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(
            f"dated: {short(text, 40)!r} is no ISO date such as 2026-11-23 or 2026-11-23T10:00Z"
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
