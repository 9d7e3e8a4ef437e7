"""Imports triples and names from a file into a store: N-Triples, Turtle, or a table of ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pyoxigraph import Literal, NamedNode, Quad, RdfFormat, parse

from kg_cache import queries
from kg_cache.errors import ImportFailed
from kg_cache.graph import Entity, Relation, Triple
from kg_cache.ids import as_id, check_entity_id, check_relation_id, is_entity_id, is_relation_id
from kg_cache.packed import UNREADABLE, plain_name, unpacked
from kg_cache.settings import SUBSTITUTES
from kg_cache.store import Store
from kg_cache.text import show

_BATCH = 50_000  # lines or statements per transaction
_LONGEST = 1 << 20  # bytes of a line
_NAMED = 5  # malformed lines that a report names
_BLOCK = 200  # lines of N-Triples parsed at once


@dataclass
class ImportReport:
    """What one file brought.

    Attributes:
        triples: Number of triples read (those already stored included).
        names: Number of labels and aliases read.
        skipped: Number of well-formed statements that say nothing a store holds (dates, other predicates).
        malformed: Number of lines or statements that cannot be read.
        examples: The first of those, each with its line number and what is wrong.
    """

    triples: int = 0
    names: int = 0
    skipped: int = 0
    malformed: int = 0
    examples: list[str] = field(default_factory=list)

    def count(self, reading: _Reading) -> None:
        """Count what one line or statement brought."""
        match reading:
            case None:
                self.skipped += 1
            case Triple():
                self.triples += 1
            case _Names():
                self.names += len(reading.aliases) + (reading.label is not None)
            case _Unreadable():
                self.malformed += 1
                if len(self.examples) < _NAMED:
                    self.examples.append(f"line {reading.line}: {reading.why}")


class _Names(NamedTuple):
    """Names of one item or property, as one line or statement gives them."""

    id: str
    label: str | None
    aliases: tuple[str, ...] = ()
    language: str = ""  # where the label is only a substitute for one in the language that was asked for


class _Unreadable(NamedTuple):
    """A line or statement that cannot be read."""

    line: int
    why: str


_Reading = Triple | _Names | _Unreadable | None
"""One line or statement; None where it says nothing that a store holds."""


def import_triples(
    path: str | Path, store: Store, *, language: str = "en", on_lines: Callable[[int], None] | None = None
) -> ImportReport:
    """Add a file's facts to a store.

    A name that ends in .nt is read as N-Triples, one in .ttl as Turtle: direct claims between items, names in
    `language`. Anything else is read as tab-separated: item, property, item; or item or property, label,
    aliases joined by a bar; ids may be written as addresses. Each may be packed (.gz, .bz2, .xz). What cannot be read
    is counted and the first of it named. A label replaces the one an item had, aliases are added. Importing a file
    again changes nothing.

    A label in "mul" (all languages), or in English, serves where there is none in `language`; aliases in "mul" count
    as well.

    Args:
        path: The file.
        store: Where the facts go; every 50,000 lines or statements are one transaction.
        language: Language of the names that are read from N-Triples and Turtle.
        on_lines: Told how many lines or statements are done, after each transaction.

    Raises:
        ImportFailed: The file cannot be read, or no line of it could.
        StoreError: The store cannot be written.
    """
    path, report = Path(path), ImportReport()
    try:
        with path.open("rb") as file, unpacked(file, path.name) as content:
            readings = _readings(plain_name(path.name), content, language)
            batch: list[Triple | _Names] = []
            for number, reading in enumerate(readings, 1):
                report.count(reading)
                if isinstance(reading, Triple | _Names):
                    batch.append(reading)
                if number % _BATCH == 0:
                    _keep(batch, store, path.name)
                    batch = []
                    if on_lines:
                        on_lines(number)
            _keep(batch, store, path.name)
    except UNREADABLE as error:
        raise ImportFailed(f"{path} cannot be read to its end ({error}); give a whole, readable file") from error
    if not report.triples and not report.names:
        first = f"; {report.examples[0]}" if report.examples else ""
        raise ImportFailed(
            f"{path} holds no fact ({report.malformed} malformed, {report.skipped} skipped{first}); "
            "expected N-Triples (.nt) or Turtle (.ttl) with Wikidata's addresses, or lines of item, property, item"
        )
    return report


def _keep(batch: list[Triple | _Names], store: Store, file: str) -> None:
    labels: dict[str, str] = {}
    substitutes: dict[str, dict[str, str]] = {}
    aliases: dict[str, dict[str, None]] = {}
    for names in (reading for reading in batch if isinstance(reading, _Names)):
        aliases.setdefault(names.id, {}).update(dict.fromkeys(names.aliases))
        if names.label is not None and names.language:
            substitutes.setdefault(names.id, {})[names.language] = names.label
        elif names.label is not None:
            labels[names.id] = names.label
    # A label in the language asked for comes first, then the stored one, then a substitute.
    stored = {id: label for id, label in store.labels(list(aliases)).items() if label != id}
    best = {id: next(texts[tag] for tag in SUBSTITUTES if tag in texts) for id, texts in substitutes.items()}
    chosen = {id: id for id in aliases} | best | stored | labels
    known = {id: tuple(dict.fromkeys([*store.aliases(id), *more])) for id, more in aliases.items()}
    store.add(
        (reading for reading in batch if isinstance(reading, Triple)),
        (Entity(id=id, label=chosen[id], aliases=also) for id, also in known.items() if id.startswith("Q")),
        f"file {file}",
        relations=(
            Relation(id=id, label=chosen[id], aliases=also) for id, also in known.items() if id.startswith("P")
        ),
    )


def _readings(name: str, file: BinaryIO, language: str) -> Iterator[_Reading]:
    if name.endswith(".nt"):
        return _ntriples(file, language)
    return _turtle(file, language) if name.endswith(".ttl") else _rows(file)


def _rows(file: BinaryIO) -> Iterator[_Reading]:
    """The lines of a table; blank ones do not count."""
    for number, line in enumerate(_lines(file), 1):
        try:
            if line.strip():
                yield _row(line.decode("utf-8"))
        except ValueError as error:  # also a malformed id and bytes that are no UTF-8
            yield _Unreadable(number, str(error))


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines; of one that is absurdly long, a part that no reader accepts."""
    while line := file.readline(_LONGEST):
        whole = line
        while len(line) == _LONGEST and not line.endswith(b"\n"):
            whole, line = b"\0" + whole[:40], file.readline(_LONGEST)
        yield whole


def _row(line: str) -> Triple | _Names:
    first, *rest = line.rstrip("\r\n").split("\t")
    first, relation = as_id(first), as_id(rest[0]) if rest else ""
    if len(rest) > 1 and relation[:1] == "P" and relation[1:].isdigit():
        return Triple(check_entity_id(first), check_relation_id(relation), check_entity_id(as_id(rest[1])))
    if not rest or not rest[0]:
        raise ValueError(f"{show(line.rstrip())} has neither item, property, item nor id, label")
    named = check_relation_id(first) if first.startswith("P") else check_entity_id(first)
    return _Names(named, rest[0], tuple(filter(None, "".join(rest[1:2]).split("|"))))


def _ntriples(file: BinaryIO, language: str) -> Iterator[_Reading]:
    """The statements of an N-Triples file; a broken line costs itself only."""
    lines, number = _lines(file), 1
    while block := list(islice(lines, _BLOCK)):
        try:
            yield from [_statement(statement, language) for statement in parse(b"".join(block), RdfFormat.N_TRIPLES)]
        except SyntaxError:
            # The parser cannot tell where a line with an open quote ends, so each line is read alone.
            for place, line in enumerate(block, number):
                try:
                    statements = list(parse(line, RdfFormat.N_TRIPLES))
                except SyntaxError as error:
                    yield _unreadable(place, "N-Triples", error)
                else:
                    yield from (_statement(statement, language) for statement in statements)
        number += len(block)


def _turtle(file: BinaryIO, language: str) -> Iterator[_Reading]:
    """The statements of a Turtle file; the parser goes on behind the full stop after a broken one."""
    parser = parse(file, RdfFormat.TURTLE)
    broken = 0
    while True:
        try:
            yield _statement(next(parser), language)
        except StopIteration:
            return
        except SyntaxError as error:
            if error.lineno != broken:  # on its way out of a broken line the parser may report it several times
                broken = error.lineno or 0
                yield _unreadable(broken, "Turtle", error)
        except MemoryError as error:
            raise ImportFailed(f"a statement is too large to be read ({error}); check where its quotes end") from error


def _unreadable(line: int, name: str, error: SyntaxError) -> _Unreadable:
    why = (error.msg or "").partition(": ")[2]  # before it stand line and columns
    return _Unreadable(line, f"no {name} statement: {show(why)}")


def _statement(statement: Quad, language: str) -> Triple | _Names | None:
    about, value = _id(statement.subject, queries.ENTITY), statement.object
    if about is None:
        return None
    if statement.predicate.value in (queries.LABEL, queries.ALT_LABEL):
        if not isinstance(value, Literal) or not value.value.strip():
            return None
        tag = value.language or ""  # the parser lowers tags
        if statement.predicate.value == queries.ALT_LABEL:
            return _Names(about, None, (value.value,)) if tag in (language.lower(), "mul") else None
        if tag != language.lower() and tag not in SUBSTITUTES:
            return None
        return _Names(about, value.value, language="" if tag == language.lower() else tag)
    relation, target = _id(statement.predicate, queries.DIRECT), _id(value, queries.ENTITY)
    if relation is None or target is None or not (about.startswith("Q") and target.startswith("Q")):
        return None
    return Triple(about, relation, target)


def _id(term: object, namespace: str) -> str | None:
    if not isinstance(term, NamedNode) or not term.value.startswith(namespace):
        return None
    name = term.value.removeprefix(namespace)
    return name if is_entity_id(name) or is_relation_id(name) else None
