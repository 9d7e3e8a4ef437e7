"""Imports facts and names from a file into a store: N-Triples, Turtle, Wikidata's JSON dump, or a table of ids."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from kg_cache.dump import unfinished
from kg_cache.dump.block import Block, Place, Reader, Wanted
from kg_cache.dump.entities import entities
from kg_cache.dump.rdf import ntriples, turtle
from kg_cache.dump.selection import Selection
from kg_cache.dump.tables import table
from kg_cache.errors import ImportFailed
from kg_cache.packed import UNREADABLE, plain_name, unpacked
from kg_cache.settings import SUBSTITUTES
from kg_cache.store import Store
from kg_cache.writing import Rows, write

_BATCH = 200_000  # lines, statements or entities per transaction, at least
_CACHE = 64  # MB of the store that are kept in memory, for facts that come in no order of their objects
_NAMED = 5  # malformed lines that a report names
_HOPELESS = 1000  # malformed lines without one that can be read: the file is something else


@dataclass
class ImportReport:
    """What one file brought.

    Attributes:
        triples: Number of triples read (those already stored included).
        names: Number of labels and aliases read.
        skipped: Number of well-formed statements that say nothing a store holds (dates, other predicates), or nothing
            that was asked for.
        malformed: Number of lines, statements or entities that cannot be read.
        examples: The first of those, each with its line number and what is wrong.
    """

    triples: int = 0
    names: int = 0
    skipped: int = 0
    malformed: int = 0
    examples: list[str] = field(default_factory=list)

    def count(self, block: Block) -> None:
        """Count what a part of a file brought."""
        self.triples += len(block.facts)
        self.names += sum(len(names.aliases) + (names.label is not None) for names in block.names)
        self.skipped += block.others
        self.malformed += len(block.unreadable)
        for line, why in block.unreadable[: _NAMED - len(self.examples)]:
            self.examples.append(f"line {line}: {why}")


def import_triples(
    path: str | Path,
    store: Store,
    *,
    language: str = "en",
    properties: Collection[str] = (),
    classes: Collection[str] = (),
    on_bytes: Callable[[int, int], None] | None = None,
) -> ImportReport:
    """Add a file's facts to a store.

    A name that ends in .nt is read as N-Triples, one in .ttl as Turtle, one in .json, .jsonl or .ndjson as Wikidata's
    JSON dump: direct claims between items (of each property the best-ranked ones), names in `language`. Anything else
    is read as tab-separated: item, property, item; or item or property, label, aliases joined by a bar; ids may be
    written as addresses. Each may be packed (.gz, .bz2, .xz). What cannot be read is counted and the first of it
    named. A label replaces the one an item had, aliases are added. Importing a file again changes nothing.

    A label in "mul" (all languages), or in English, serves where there is none in `language`; aliases in "mul" count
    as well.

    The file is read as a stream. An import that was stopped goes on where it was when it is begun again with the same
    file and selection. With a selection of properties or classes the file is read several times: for the items of the
    classes, for facts, and for the names of properties and of the items that a stored fact mentions.

    Args:
        path: The file.
        store: Where the facts go; every 200,000 lines or statements are one transaction.
        language: Language of the names that are read from N-Triples, Turtle and JSON.
        properties: Ids of the properties whose facts are wanted; all if none are given.
        classes: Ids of items; only facts of their instances (P31) are wanted, also of instances of their subclasses
            as far as the store knows these (P279) before.
        on_bytes: Told how many bytes of the file are done, and how many there are, over all readings.

    Raises:
        ImportFailed: The file cannot be read, or no line of it could; facts of its earlier transactions stay.
        InvalidId: A property or class is none.
        StoreError: The store cannot be written.
    """
    path, selection = Path(path), Selection(store, language, properties, classes)
    report = ImportReport()
    try:
        state = path.stat()
        work = json.dumps([path.name, state.st_size, state.st_mtime_ns, *selection.told()])
        if (begun := unfinished.find(store.database, work)) is not None:
            report = ImportReport(**begun.counts)
        else:
            begun = unfinished.Progressed(0, Place(), {})
        with store.database.filling():
            _import(path, store, selection, work, begun, report, on_bytes or (lambda done, total: None))
    except UNREADABLE as error:
        kept = f"; the {report.triples:,} facts before that are kept" if report.triples else ""
        raise ImportFailed(f"{path} cannot be read to its end ({error}){kept}; give a whole, readable file") from error
    with store.database.writing():
        unfinished.forget(store.database)
    if not report.triples and not report.names:
        raise _nothing(path, report)
    return report


def _import(
    path: Path,
    store: Store,
    selection: Selection,
    work: str,
    begun: unfinished.Progressed,
    report: ImportReport,
    on_bytes: Callable[[int, int], None],
) -> None:
    """Read the file as often as the selection needs, from where it was begun, and count into the report."""
    database, size, runs = store.database, path.stat().st_size, selection.runs()
    database.rows(f"PRAGMA cache_size = {-1024 * _CACHE}")
    for number, run in enumerate(runs[begun.run :], begun.run):
        if not run.wanted.facts:  # what is mentioned is looked up by object, too
            database.index()
        for blocks, at in _batches(path, run.wanted, begun.place if number == begun.run else Place()):
            on_bytes(number * size + at, len(runs) * size)
            if not blocks:
                continue
            kept = [selection.keep(run, block) for block in blocks]
            for block in kept:
                report.count(block)
            if report.malformed >= _HOPELESS and not (report.triples or report.names or report.skipped):
                raise _nothing(path, report)
            rows, progressed = _rows(kept, store), unfinished.Progressed(number, blocks[-1].end, asdict(report))
            with database.writing():
                if rows.facts or rows.names:
                    write(database, f"file {path.name}", rows)
                unfinished.note(database, work, progressed)


def _batches(path: Path, wanted: Wanted, start: Place) -> Iterator[tuple[list[Block], int]]:
    """The parts of a file, so many together as are written in one transaction, and the bytes of the file until there.

    While a batch is not yet full, an empty one comes with each part, to tell how far the file is read.
    """
    batch: list[Block] = []
    lines = 0
    with path.open("rb") as file, unpacked(file, path.name) as content:
        for block in _reader(plain_name(path.name))(content, wanted, start):
            batch.append(block)
            lines += len(block.facts) + len(block.names) + block.others + len(block.unreadable)
            if lines < _BATCH:
                yield [], file.tell()
                continue
            yield batch, file.tell()
            batch, lines = [], 0
        if batch:
            yield batch, file.tell()


def _reader(name: str) -> Reader:
    match Path(name).suffix.lower():
        case ".nt":
            return ntriples
        case ".ttl":
            return turtle
        case ".json" | ".jsonl" | ".ndjson":
            return entities
        case _:
            return table


def _rows(blocks: list[Block], store: Store) -> Rows:
    labels: dict[str, str] = {}
    substitutes: dict[str, dict[str, str]] = {}
    aliases: dict[str, dict[str, None]] = {}
    for names in (names for block in blocks for names in block.names):
        aliases.setdefault(names.id, {}).update(dict.fromkeys(names.aliases))
        if names.label is not None and names.language:
            substitutes.setdefault(names.id, {})[names.language] = names.label
        elif names.label is not None:
            labels[names.id] = names.label
    known = _stored(store, [_number(id) for id in aliases])
    rows = Rows(facts=[fact for block in blocks for fact in block.facts])
    for id, more in aliases.items():
        number = _number(id)
        label, before = known.get(number, ("", []))
        # A label in the language asked for comes first, then the stored one, then a substitute, then the id.
        texts = substitutes.get(id, {})
        label = labels.get(id) or label or next((texts[tag] for tag in SUBSTITUTES if tag in texts), id)
        also = tuple(dict.fromkeys([*before, *more]))
        rows.names.append((number, also if number < 0 else (label, *also)))
        rows.labels += [(-number, label)] if number < 0 else []
    return rows


def _number(id: str) -> int:
    """The number of an item, or minus that of a property, as names are stored."""
    return int(id[1:]) if id.startswith("Q") else -int(id[1:])


def _stored(store: Store, numbers: list[int]) -> dict[int, tuple[str, list[str]]]:
    """The stored label (empty where it has none but its id) and aliases of each of some items and properties."""
    wanted, rows_of = (json.dumps(numbers),), store.database.rows
    of_properties = (
        "SELECT -id, coalesce(nullif(label, 'P' || id), '') FROM relation "
        "WHERE id IN (SELECT -value FROM json_each(?))"
    )
    of_all = (
        "SELECT entity, rank, text FROM name WHERE entity IN (SELECT value FROM json_each(?)) ORDER BY entity, rank"
    )
    labels: dict[int, str] = dict(rows_of(of_properties, wanted))
    names: dict[int, list[str]] = {}
    for number, rank, text in rows_of(of_all, wanted):
        if rank == 0:
            labels[number] = text if text != f"Q{number}" else ""
        else:
            names.setdefault(number, []).append(text)
    return {number: (labels.get(number, ""), names.get(number, [])) for number in {*labels, *names}}


def _nothing(path: Path, report: ImportReport) -> ImportFailed:
    first = f"; {report.examples[0]}" if report.examples else ""
    return ImportFailed(
        f"{path} holds no fact that is wanted ({report.malformed} malformed, {report.skipped} skipped{first}); "
        "expected N-Triples (.nt), Turtle (.ttl) or JSON (.json) of Wikidata, "
        "or lines of item, property, item with tabs between them"
    )
