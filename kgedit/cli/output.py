"""Output of the command line: results to stdout, errors to stderr."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from kg_cache.text import printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table
    from rich.text import Text

_PIPED = 10_000  # columns where there is no terminal
_GAP = 3  # columns between two cells
_WORD = 20  # letters of a word that is not folded


def emit(data: Mapping[str, Any], shown: Callable[[], Iterable[RenderableType]], *, as_json: bool) -> None:
    """Writes a result: the data as JSON, or else the tables and lines that `shown` makes for a reader."""
    if as_json:
        # A terminal that cannot show every letter gets escapes, which are valid JSON everywhere.
        utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        sys.stdout.write(printable(json.dumps(data, ensure_ascii=not utf8, indent=2, allow_nan=False)) + "\n")
        return
    out = console()
    for part in shown():
        out.print(part)


def console() -> Console:
    """What results are printed on; a pipe or file gets whole lines, so that a search finds what stands in them."""
    from rich.console import Console

    piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(highlight=False, width=_PIPED if piped else None)


def marked(text: str, right: bool) -> Text:
    """An answer that is right or wrong, told by a sign as well as by colour."""
    from rich.text import Text

    signs = "✓✗"
    try:
        signs.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        signs = "+-"
    return Text(f"{signs[not right]} {printable(text)}", style="green" if right else "red")


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str | None = None,
    numbers: int = 0,
    wide: int | None = None,
) -> RenderableType:
    """A table for the terminal.

    Args:
        columns: The headings.
        rows: The cells; written as they are, so that brackets in a label are not taken for markup.
        title: A line above the table, as long as the terminal is wide.
        numbers: How many of the last columns hold numbers, which are aligned right.
        wide: The column that has long texts: the others give way to it where not all fit.
    """
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    cells = [[cell if isinstance(cell, Text) else Text(printable(str(cell))) for cell in row] for row in rows]
    for place, heading in enumerate(columns):
        # On a narrow terminal a heading wraps; a number never does, and never pushes another column out.
        number = place >= len(columns) - numbers
        width = max((row[place].cell_len for row in cells), default=0) if number else None
        made.add_column(heading, justify="right" if number else "left", overflow="fold", min_width=width)
    for row in cells:
        made.add_row(*row)
    fitted = made if wide is None else _Fitted(made, [[Text(heading) for heading in columns], *cells], wide)
    # Not the table's own title, which would be folded to the width of the table.
    return fitted if title is None else Group(Text(title, style="italic"), fitted)


@dataclass
class _Fitted:
    """A table whose columns give way to one of them where they do not all fit.

    That one first shrinks to half of the width, then the others to their longest words.
    """

    table: Table
    lines: Sequence[Sequence[Text]]
    wide: int

    def __rich_console__(self, terminal: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        columns = list(zip(*self.lines, strict=True))
        needed = [max(cell.cell_len for cell in column) for column in columns]
        # A sign of one letter stays with the word behind it; what is longer than names are, such as an address, folds.
        words = [
            max(min(len(word), _WORD) for cell in column for word in re.findall(r"(?:\S )?\S+|$", cell.plain))
            for column in columns
        ]
        excess = sum(needed) + _GAP * len(columns) - options.max_width
        excess -= max(0, min(excess, needed[self.wide] - options.max_width // 2))
        for place in sorted(range(len(columns)), key=lambda place: -needed[place]):
            if place != self.wide:
                given = max(0, min(excess, needed[place] - words[place]))
                excess -= given
                self.table.columns[place].max_width = needed[place] - given
        yield self.table


def line(text: str, style: str = "") -> RenderableType:
    """One line of plain text; brackets in it stay brackets."""
    from rich.text import Text

    return Text(printable(text), style=style)


def percent(share: float | None) -> str:
    """A share between 0 and 1 in percent: 0.958 as "95.8 %", None as a dash."""
    if share is None:
        return "-"
    return "< 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %"


def error_line(error: Exception) -> str | None:
    """The one line that a user sees of an error which they can fix; None for a defect of the program."""
    if isinstance(error, typer.TyperException):
        context = getattr(error, "ctx", None)
        hint = f" Try '{context.command_path} --help'." if context is not None else ""
        text = _one_line(error.format_message())
        return (text if text.endswith("?") else text.removesuffix(".") + ("." if hint else "")) + hint
    from kg_cache.errors import KnowledgeGraphError
    from kgedit.errors import KgeditError

    if isinstance(error, KgeditError | KnowledgeGraphError):
        return _one_line(str(error))
    if isinstance(error, OSError):
        place = f" {str(error.filename)!r}" if error.filename is not None else ""
        reason = _one_line(error.strerror or str(error))
        return f"cannot read or write{place}: {reason}; check the path and its rights"
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return (
            f"the memory of the device is full: {_one_line(str(error)).partition('. ')[0]}; take a lower precision "
            "(--dtype bfloat16), another --device, or fewer edits at a time"
        )
    # Imported by whoever raised it; an import here would cost every other error a tenth of a second.
    pydantic = sys.modules.get("pydantic")
    if pydantic is not None and isinstance(error, pydantic.ValidationError):
        return "; ".join(_field_error(problem) for problem in error.errors())
    return None


def write_error(text: str, *, as_json: bool = False) -> None:
    """Writes one line to stderr; under `--json` an object whose field `error` is the text."""
    told = json.dumps({"error": text}) if as_json else f"kgedit: {printable(text)}"
    sys.stderr.write(told + "\n")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _field_error(error: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in error["loc"])
    message = _one_line(str(error["msg"]).removeprefix("Value error, "))
    return f"{place}: {message}" if place else message
