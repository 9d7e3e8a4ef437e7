"""The benchmark formats: by which keys each is recognised, and what reads it. A new format is a file and a row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kgedit.errors import UnknownFormat
from kgedit.evaluate.benchmarks.counterfact import record as counterfact
from kgedit.evaluate.benchmarks.knowedit import record as knowedit
from kgedit.evaluate.benchmarks.known_facts import record as known_facts
from kgedit.evaluate.benchmarks.mquake import questions as mquake_questions
from kgedit.evaluate.benchmarks.mquake import record as mquake
from kgedit.evaluate.benchmarks.raw import Drop
from kgedit.evaluate.benchmarks.records import Record
from kgedit.evaluate.benchmarks.ripple import record as ripple
from kgedit.evaluate.benchmarks.zsre import record as zsre
from kgedit.io.text import short

# Records looked at to tell the format of a file; the most frequent one wins.
SAMPLE = 100


@dataclass(frozen=True)
class Format:
    """One layout of records.

    Attributes:
        name: What it is called in reports and in `load(..., format=...)`.
        suite: The benchmark that its records belong to.
        keys: Key -> type that its value must have.
        read: Makes a record of the layout into ours.
    """

    name: str
    suite: str
    keys: Mapping[str, type]
    read: Callable[[Mapping[str, Any], int, Drop], Record]

    def recognises(self, record: Mapping[str, Any]) -> bool:
        """Whether the record has all keys, with values of the right type."""
        return all(isinstance(record.get(key), kind) for key, kind in self.keys.items())


# The first row that recognises a record is its format: those with more keys come before those with fewer.
FORMATS = (
    Format("mquake-questions", "mquake", {"questions": list, "edited_hops": list}, mquake_questions.read),
    Format("mquake", "mquake", {"requested_rewrite": list, "questions": list}, mquake.read),
    Format("counterfact-plus", "counterfact", {"requested_rewrite": dict, "portability": dict}, counterfact.read_plus),
    Format("counterfact", "counterfact", {"requested_rewrite": dict}, counterfact.read),
    Format(
        "counterfact-flat",
        "counterfact",
        {"prompt": str, "rephrase_prompt": str, "locality_prompt": str},
        counterfact.read_flat,
    ),
    Format("zsre-plus", "zsre", {"src": str, "alt": str, "portability": dict}, zsre.read_plus),
    Format("zsre", "zsre", {"src": str, "alt": str}, zsre.read),
    Format("rippleedits", "rippleedits", {"edit": dict, "example_type": str}, ripple.read),
    Format("known-facts", "known-facts", {"known_id": int, "attribute": str}, known_facts.read),
    Format("knowedit", "knowedit", {"prompt": str, "target_new": str, "portability": dict}, knowedit.read),
    Format("knowedit", "knowedit", {"prompt": str, "target_new": str, "locality": dict}, knowedit.read),
)


def named(name: str) -> Format:
    """The format of that name.

    Raises:
        UnknownFormat: There is none.
    """
    for row in FORMATS:
        if row.name == name:
            return row
    known = ", ".join(dict.fromkeys(row.name for row in FORMATS))
    raise UnknownFormat(f"there is no benchmark format {name!r}; known are {known}")


def detect(records: Iterable[Mapping[str, Any]], source: str) -> Format:
    """The format that most of the records have.

    Args:
        records: The first records of a file.
        source: Where they come from, for the message.

    Raises:
        UnknownFormat: None of them has the keys of a known format, or there is no record.
    """
    seen = list(records)
    found = Counter(row.name for record in seen if (row := _format_of(record)) is not None)
    if found:
        return named(found.most_common(1)[0][0])
    if not seen:
        raise UnknownFormat(f"{source} holds no record (no JSON object could be read); look at its beginning")
    known = "; ".join(f"{row.name}: {', '.join(row.keys)}" for row in FORMATS)
    raise UnknownFormat(
        f"{source} is in no known benchmark format: its first record has the keys "
        f"{short(', '.join(map(str, seen[0])), 200)}. Known formats and the keys they are told by: {known}"
    )


def _format_of(record: Mapping[str, Any]) -> Format | None:
    return next((row for row in FORMATS if row.recognises(record)), None)
