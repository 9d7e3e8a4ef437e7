"""Triples and names from a file into a store: N-Triples in Wikidata's addresses, or tab-separated ids."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from kg_cache import queries
from kg_cache.errors import ImportFailed
from kg_cache.graph import Entity, Relation, Triple
from kg_cache.ids import check_entity_id, check_relation_id, is_entity_id, is_relation_id
from kg_cache.store import Store
from kg_cache.text import show

_BATCH = 50_000  # lines per transaction
_LONGEST = 1 << 20  # bytes of a line
_NAMED = 5  # malformed lines that a report names
_IRI = r'<([^<>"{}|^`\\\s]*)>'
_STATEMENT = re.compile(
    rf"\s*(?:{_IRI}|_:\S+)\s+{_IRI}\s+"
    rf'(?:{_IRI}|_:\S+|"((?:[^"\\]|\\.)*)"(?:@([A-Za-z0-9-]+)|\^\^{_IRI})?)\s*\.\s*(?:#.*)?'
)
_ESCAPE = re.compile(r'\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([tbnrf"\'\\]))')
_LETTERS = {"t": "\t", "b": "\b", "n": "\n", "r": "\r", "f": "\f"}


@dataclass
class ImportReport:
    """What one file brought.

    Attributes:
        triples: Number of triples read (those already stored included).
        names: Number of labels and aliases read.
        skipped: Number of well-formed lines that say nothing a store holds (dates, other predicates).
        malformed: Number of lines that cannot be read.
        examples: The first of those, each with its line number and what is wrong.
    """

    triples: int = 0
    names: int = 0
    skipped: int = 0
    malformed: int = 0
    examples: list[str] = field(default_factory=list)


class _Names(NamedTuple):
    """Names of one item or property, as one line gives them."""

    id: str
    label: str | None
    aliases: tuple[str, ...] = ()


_Reader = Callable[[str], Triple | _Names | None]


def import_triples(
    path: str | Path, store: Store, *, language: str = "en", on_lines: Callable[[int], None] | None = None
) -> ImportReport:
    """Add a file's facts to a store.

    A name that ends in .nt is read as N-Triples: direct claims between items, names in `language`. Anything
    else is read as tab-separated: item, property, item; or item, label, aliases joined by a bar; or property,
    label. Either may be packed (.gz). Lines that cannot be read are counted and the first of them named. A
    label replaces the one an item had, aliases are added. Importing a file again changes nothing.

    Args:
        path: The file.
        store: Where the facts go; every 50,000 lines are one transaction.
        language: Language of the names that are read from N-Triples.
        on_lines: Told how many lines are done, after each transaction.

    Raises:
        ImportFailed: The file cannot be read, or no line of it could.
        StoreError: The store cannot be written.
    """
    path, report = Path(path), ImportReport()
    read = _ntriples(language) if path.name.removesuffix(".gz").endswith(".nt") else _tabbed
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            batch: list[Triple | _Names] = []
            for number, line in enumerate(_lines(cast(BinaryIO, file)), 1):
                batch += _understand(line, number, read, report)
                if number % _BATCH == 0:
                    _keep(batch, store, path.name)
                    batch = []
                    if on_lines:
                        on_lines(number)
            _keep(batch, store, path.name)
    except (OSError, EOFError) as error:
        raise ImportFailed(f"{path} cannot be read to its end ({error}); give a whole, readable file") from error
    if not report.triples and not report.names:
        first = f"; {report.examples[0]}" if report.examples else ""
        raise ImportFailed(
            f"{path} holds no fact ({report.malformed} lines malformed, {report.skipped} skipped{first}); "
            "expected N-Triples (.nt) with Wikidata's addresses, or lines of item, property, item"
        )
    return report


def _understand(line: bytes, number: int, read: _Reader, report: ImportReport) -> list[Triple | _Names]:
    try:
        found = read(line.decode("utf-8")) if line.strip() else None
    except ValueError as error:  # also a malformed id and bytes that are no UTF-8
        report.malformed += 1
        if len(report.examples) < _NAMED:
            report.examples.append(f"line {number}: {error}")
        return []
    if found is None:
        report.skipped += bool(line.strip())
        return []
    if isinstance(found, Triple):
        report.triples += 1
    else:
        report.names += len(found.aliases) + (found.label is not None)
    return [found]


def _keep(batch: list[Triple | _Names], store: Store, file: str) -> None:
    labels: dict[str, str] = {}
    aliases: dict[str, dict[str, None]] = {}
    for names in (found for found in batch if isinstance(found, _Names)):
        aliases.setdefault(names.id, {}).update(dict.fromkeys(names.aliases))
        if names.label is not None:
            labels[names.id] = names.label
    labels = store.labels(list(aliases)) | labels
    store.add(
        (found for found in batch if isinstance(found, Triple)),
        (
            Entity(id=id, label=labels[id], aliases=tuple(dict.fromkeys([*store.aliases(id), *more])))
            for id, more in aliases.items()
            if id.startswith("Q")
        ),
        f"file {file}",
        relations=(Relation(id=id, label=labels[id]) for id in aliases if id.startswith("P")),
    )


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines; of one that is absurdly long, a part that no reader accepts."""
    while line := file.readline(_LONGEST):
        whole = line
        while len(line) == _LONGEST and not line.endswith(b"\n"):
            whole, line = b"\0" + whole[:40], file.readline(_LONGEST)
        yield whole


def _tabbed(line: str) -> Triple | _Names:
    first, *rest = line.rstrip("\r\n").split("\t")
    if len(rest) > 1 and rest[0][:1] == "P" and rest[0][1:].isdigit():
        return Triple(check_entity_id(first), check_relation_id(rest[0]), check_entity_id(rest[1]))
    if not rest or not rest[0]:
        raise ValueError(f"{show(line.rstrip())} has neither item, property, item nor id, label")
    if first.startswith("P"):
        return _Names(check_relation_id(first), rest[0])
    return _Names(check_entity_id(first), rest[0], tuple(filter(None, "".join(rest[1:2]).split("|"))))


def _ntriples(language: str) -> _Reader:
    def read(line: str) -> Triple | _Names | None:
        if line.lstrip().startswith("#"):
            return None
        statement = _STATEMENT.fullmatch(line.rstrip("\r\n"))
        if not statement:
            raise ValueError(f"{show(line.rstrip())} is no N-Triples statement")
        subject, predicate, target, text, tag, _ = statement.groups()
        about = _id(subject, queries.ENTITY)
        if about is None:
            return None
        if predicate in (queries.LABEL, queries.ALT_LABEL):
            if tag != language:
                return None
            name = _ESCAPE.sub(_unescape, text)
            return _Names(about, name) if predicate == queries.LABEL else _Names(about, None, (name,))
        relation, value = _id(predicate, queries.DIRECT), _id(target, queries.ENTITY)
        if relation is None or value is None or not (about.startswith("Q") and value.startswith("Q")):
            return None
        return Triple(about, relation, value)

    return read


def _id(iri: str | None, namespace: str) -> str | None:
    name = (iri or "").removeprefix(namespace)
    return name if name != iri and (is_entity_id(name) or is_relation_id(name)) else None


def _unescape(found: re.Match[str]) -> str:
    code = found[1] or found[2]
    if code is None:
        return _LETTERS.get(found[3], found[3])
    return chr(int(code, 16)) if int(code, 16) < 0x110000 else "\N{REPLACEMENT CHARACTER}"
