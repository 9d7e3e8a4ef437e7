r"""Changes from a file: JSON lines, a JSON array, or a table with a header (CSV, TSV).

Fields of a record; only the first three are needed, and `prompt` may stand for `relation`:

| field         | what                                                                              |
|---------------|-----------------------------------------------------------------------------------|
| `subject`     | item id, exact label or alias; free text beside a prompt                          |
| `relation`    | property id or label                                                              |
| `target_new`  | the new object (also called `target`)                                             |
| `target_true` | the object that held so far                                                       |
| `prompt`      | a cloze of one's own with one `{}` for the subject                                |
| `boundary`    | `none` or `space` between prompt and new object; else the prompt decides          |
| `dated`       | when the fact or its evidence is of: a year, month or day, or date and time       |
| `evidence`    | an address, a revision, whatever the source gives                                 |

Names of fields count in any case; ids may be written as addresses or with a prefix (`wd:Q42`). Other columns are
passed over and named in `skipped`. The separator of a table (comma, semicolon or tabulator) is the commonest in its
header, and its last line must end with a line break, since a name that was cut off would look like another name.
"""

from __future__ import annotations

import io
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

from kg_cache.text import storable
from kgedit.errors import FeedError
from kgedit.ingest.change import MalformedChange, now
from kgedit.ingest.feeds.base import FeedItem, FeedOptions, is_there
from kgedit.ingest.feeds.cells import SEPARATORS, OpenCell, cells
from kgedit.ingest.feeds.record import FIELDS, ChangeRecord, field_of
from kgedit.io.json_records import Parsed, parse_lines, parse_text
from kgedit.io.lines import MAX_LINE, Line, read_lines, read_text
from kgedit.io.text import short

_MOST_LINES = 1000  # of one row
_UNUSED = 20  # names of unused columns that are remembered


class _FileFeed:
    """What all layouts share."""

    def __init__(
        self, path: Path, columns: Mapping[str, str] | None = None, *, clock: Callable[[], datetime] = now
    ) -> None:
        """Name the file; it is opened when it is read.

        Args:
            path: The file; a name that ends in .gz, .bz2 or .xz is unpacked.
            columns: Column or key -> field, where they differ.
            clock: Tells the present.

        Raises:
            FeedError: There is no such file, or no such field as the mapping names.
        """
        columns = columns or {}
        if unknown := sorted(set(columns.values()) - set(FIELDS)):
            raise FeedError(f"{unknown[0]!r} is no field of a change; the fields are {', '.join(FIELDS)}")
        if not is_there(path) or path.is_dir():  # said before a store is made for it
            raise FeedError(f"{str(path)!r} cannot be opened: there is no such file; check the path")
        self.path, self.name, self.skipped = path, storable(path.name), Counter[str]()
        self._columns, self._clock = dict(columns), clock

    def _field(self, column: str) -> str | None:
        """The field that a column gives; a column that is mapped elsewhere no longer gives the field of its name."""
        if column in self._columns:
            return self._columns[column]
        name = field_of(column)
        return name if name not in self._columns.values() else None

    def _unused(self, column: str) -> None:
        reason = f"unused column {short(storable(column), 40)!r}"
        if reason in self.skipped or len(self.skipped) < _UNUSED:
            self.skipped[reason] += 1

    def _change(self, position: str, fields: dict[str, Any]) -> FeedItem:
        try:
            return ChangeRecord.change(fields, self.name, position, self._clock())
        except ValueError as error:
            return self._malformed(position, str(error))

    def _object(self, position: str, parsed: Parsed) -> FeedItem:
        """A change from one JSON object."""
        if parsed.value is None:
            return self._malformed(position, parsed.problem)
        fields: dict[str, Any] = {}
        for key, value in parsed.value.items():
            if (name := self._field(key)) is None:
                self._unused(key)
            elif name in fields:
                return self._malformed(position, f"{name} is given twice")
            elif value is not None:
                fields[name] = value
        return self._change(position, fields)

    def _malformed(self, position: str, why: str) -> MalformedChange:
        return MalformedChange(feed=self.name, position=position, why=short(storable(why), 300))


class JsonLines(_FileFeed):
    """A file with one JSON object on each line; blank lines do not count."""

    def __iter__(self) -> Iterator[FeedItem]:
        """A change or a malformed record for each line."""
        for line in read_lines(self.path):
            if line.problem:
                yield self._malformed(_place(line), line.problem)
                continue
            # None where the line is blank, also one with nothing but the mark of UTF-8.
            for parsed in parse_lines(io.BytesIO(line.text.encode())):
                if parsed.value is None and not line.ended:
                    parsed = Parsed(0, None, f"the file ends in the middle of this record: {parsed.problem}")
                yield self._object(_place(line), parsed)


class JsonArray(_FileFeed):
    """A file with an array of JSON objects, objects that follow each other, or a SPARQL result; read whole."""

    def __iter__(self) -> Iterator[FeedItem]:
        """A change or a malformed record for each object.

        Raises:
            FeedError: The file cannot be read, or is too large to be read whole.
        """
        records = chain.from_iterable(map(_bindings, parse_text(read_text(self.path))))
        for number, parsed in enumerate(records, 1):
            yield self._object(f"record {number}", parsed)


class Table(_FileFeed):
    """A file of separated values with a header; an empty cell gives nothing, a quoted one may hold line breaks."""

    def __iter__(self) -> Iterator[FeedItem]:
        """A change or a malformed record for each row after the header.

        Raises:
            FeedError: The header lacks a column that is needed or mapped, or names a field twice.
        """
        lines = read_lines(self.path)
        first = next(lines, None)
        if first is None or first.problem:
            raise FeedError(f"{str(self.path)!r} has no header: {first.problem if first else 'it is empty'}")
        separator = max(SEPARATORS, key=first.text.count)
        try:
            fields = self._header(cells(first.text, separator))
        except ValueError as error:
            raise FeedError(f"{str(self.path)!r} has no header: its first line is {error}") from error
        for line, row in _rows(lines, separator, len(fields)):
            if isinstance(row, str):
                yield self._malformed(_place(line), row)
            elif len(row) != len(fields):
                yield self._malformed(_place(line), f"{len(row)} cells where the header has {len(fields)}")
            else:
                named = {name: cell for name, cell in zip(fields, row, strict=True) if name and cell.strip()}
                yield self._change(_place(line), named)

    def _header(self, columns: list[str]) -> list[str | None]:
        names = [column.strip() for column in columns]
        # A mapping may name a variable of a query without its mark.
        names = [name if name in self._columns else name.lstrip("?$") for name in names]
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


def open_jsonl(what: str, options: FeedOptions) -> JsonLines:
    """Changes from a file with one JSON object per line."""
    return JsonLines(Path(what), options.columns)


def open_json(what: str, options: FeedOptions) -> JsonArray:
    """Changes from a file with an array of JSON objects."""
    return JsonArray(Path(what), options.columns)


def open_csv(what: str, options: FeedOptions) -> Table:
    """Changes from a table with a header; commas, semicolons or tabs between the cells."""
    return Table(Path(what), options.columns)


def _bindings(parsed: Parsed) -> Iterator[Parsed]:
    """The rows of a SPARQL result in JSON as plain objects; any other record as it is."""
    results = parsed.value.get("results") if parsed.value else None
    rows = results.get("bindings") if isinstance(results, dict) else None
    if not isinstance(rows, list):
        yield parsed
        return
    for index, row in enumerate(rows):
        if isinstance(row, dict) and all(isinstance(term, dict) for term in row.values()):
            yield Parsed(index, {name: term.get("value") for name, term in row.items()})
        else:
            yield Parsed(index, None, "no row of a SPARQL result")


def _place(line: Line) -> str:
    return f"line {line.number}"


def _rows(lines: Iterator[Line], separator: str, width: int) -> Iterator[tuple[Line, list[str] | str]]:
    """First line and cells of each row, or what is wrong with it.

    A row continues on further lines while a quoted cell is open. Where that does not end in a row as wide as the
    header, a quote was left open: its line alone is bad, and the lines behind it are read as rows of their own.
    """
    again = deque[Line]()
    while line := again.popleft() if again else next(lines, None):
        if line.problem:
            yield line, line.problem
            continue
        if not line.text.strip():
            continue
        # 1. While a quoted cell is open, the row goes on: `behind` are its further lines.
        text, behind = line.text, deque[Line]()
        row, problem = _row(text, separator)
        while row is None and not problem and len(behind) < _MOST_LINES and len(text) <= MAX_LINE:
            following = again.popleft() if again else next(lines, None)
            if following is None:
                break
            behind.append(following)
            if following.problem:
                break
            text += "\n" + following.text
            if '"' in following.text:
                row, problem = _row(text, separator)
        # 2. That was no row: only the first line is bad, the others are read again as rows of their own.
        if behind and (row is None or len(row) != width):
            row, problem = None, ""
            again.extendleft(reversed(behind))
            behind.clear()
        # 3. The row, or what is wrong with it.
        if not (behind[-1] if behind else line).ended:
            yield line, "the file ends in the middle of this record, or lacks the line break after its last one"
        else:
            yield line, problem or "no table row: a quoted cell does not end" if row is None else row


def _row(text: str, separator: str) -> tuple[list[str] | None, str]:
    """The cells, or what is wrong; neither while a quoted cell is open."""
    try:
        return cells(text, separator), ""
    except OpenCell:
        return None, ""
    except ValueError as error:
        return None, str(error)
