"""The layout of a benchmark file, by its name or by the keys of its records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from kgedit.errors import UnknownFormat
from kgedit.evaluate.benchmarks.table import Format, benchmarks
from kgedit.io.text import short

# Records looked at to tell the format of a file; the most frequent one wins.
SAMPLE = 100


def formats() -> tuple[Format, ...]:
    """Every layout of every benchmark once, in the order of the table."""
    return tuple(dict.fromkeys(layout for row in benchmarks().values() for layout in row.formats))


def named(name: str) -> Format:
    """The format of that name.

    Raises:
        UnknownFormat: There is none.
    """
    for layout in formats():
        if layout.name == name:
            return layout
    known = ", ".join(dict.fromkeys(layout.name for layout in formats()))
    raise UnknownFormat(f"there is no benchmark format {name!r}; known are {known}")


def detect(records: Iterable[Mapping[str, Any]], source: str) -> Format:
    """The format that most of the records have.

    Args:
        records: The first records of a file.
        source: Where they come from, for the message.

    Raises:
        UnknownFormat: None of them has the keys of a known format, or there is no record.
    """
    sample = list(records)
    counts = Counter(layout.name for record in sample if (layout := _format_of(record)) is not None)
    if counts:
        return named(counts.most_common(1)[0][0])
    if not sample:
        raise UnknownFormat(f"{source} holds no record (no JSON object could be read); look at its beginning")
    known = "; ".join(f"{layout.name}: {', '.join(layout.keys)}" for layout in formats())
    raise UnknownFormat(
        f"{source} is in no known benchmark format: its first record has the keys "
        f"{short(', '.join(map(str, sample[0])), 200)}. Known formats and the keys they are told by: {known}"
    )


def _format_of(record: Mapping[str, Any]) -> Format | None:
    """The format that asks for the most keys among those that recognise the record; of equals the first."""
    fitting = [layout for layout in formats() if layout.recognises(record)]
    return max(fitting, key=lambda layout: len(layout.keys), default=None)
