"""Benchmark records from a file, a folder or the Hugging Face hub: `load`."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from kgedit.errors import DataError, EditError, UnknownFormat
from kgedit.evaluate.benchmarks import hub
from kgedit.evaluate.benchmarks.formats import SAMPLE, detect, named
from kgedit.evaluate.benchmarks.records import MalformedRecord, Record
from kgedit.evaluate.benchmarks.table import Format
from kgedit.io.json_records import Parsed, parse_lines, parse_text
from kgedit.io.text import reason, short

SUFFIXES = (".json", ".jsonl", ".json.gz", ".jsonl.gz")
MAX_FILE = 2**29  # bytes of JSON, unpacked; the largest real files have some 100 MB


@dataclass(frozen=True)
class Omission:
    """A record, or a part of one, that was left out.

    Attributes:
        source: The file, or the data set on the hub.
        index: Position of the record in it, from 0.
        case_id: The record's own number, if it could be read.
        reason: What was wrong.
        part: Which part of the record was left out; None for all of it.
    """

    source: str
    index: int
    case_id: int | str | None
    reason: str
    part: str | None = None

    def __str__(self) -> str:
        own = "" if self.case_id is None else f" (id {self.case_id})"
        part = "" if self.part is None else f", {self.part}"
        return f"{self.source}: record {self.index}{own}{part}: {self.reason}"


@dataclass(frozen=True)
class Loaded:
    """What was read, and what was not.

    Attributes:
        records: In the order of the file; of a folder, file by file in the order of their names.
        skipped: Records that were left out.
        dropped: Parts of records that were left out, while the rest of the record is there.
        source: The path or data set as given.
        sha256: Of the file's bytes; of a folder, over the names and hashes of its files; of a data set on the hub,
            over its rows.
        format: Name of the records' layout (see `table.Format`).
    """

    records: tuple[Record, ...]
    skipped: tuple[Omission, ...]
    dropped: tuple[Omission, ...]
    source: str
    sha256: str
    format: str

    def summary(self, most: int = 5) -> str:
        """What was read and what was left out, at most so many of the latter by name."""
        lines = [f"{len(self.records):,} records of format {self.format} from {self.source}"]
        for what, omissions in (("records", self.skipped), ("parts of records", self.dropped)):
            if omissions:
                lines.append(f"{len(omissions):,} {what} left out:")
                lines += [f"  {item}" for item in omissions[:most]]
                lines += [f"  and {len(omissions) - most:,} more"] if len(omissions) > most else []
        return "\n".join(lines)


def load(source: str | Path, *, format: str | None = None) -> Loaded:
    """Read a benchmark.

    A record that cannot be used never stops the reading and never disappears: it is listed in `skipped` with the
    reason. Case ids are unique in what is returned: a second record with the id of an earlier one of its file is
    left out, and the ids of a folder's records begin with the name of their file, with its ending where two files
    differ in that alone.

    Args:
        source: A .json or .jsonl file (also .gz), a folder of them (not its subfolders), or an id on the Hugging
            Face hub, "owner/name", with ":config", "@revision" and "#split" where needed.
        format: Name of the layout; found from the keys of the records if not given.

    Raises:
        DataError: The source does not exist, is damaged as a whole, or is too large.
        UnknownFormat: Its records are in no known format, or the files of the folder in several.
    """
    wanted = named(format) if format is not None else None
    path = Path(source)
    if path.is_dir():
        return _load_folder(path, wanted)
    if path.is_file():
        digest, parsed = _read_file(path)
        return _loaded(parsed, path.name, str(source), digest, wanted)
    where = hub.parse_id(str(source))
    if where is None or path.name.endswith(SUFFIXES):
        raise DataError(f"there is no file or folder {str(source)!r}; check the path")
    rows = list(hub.rows(where))
    written = "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows)
    digest = hashlib.sha256(written.encode()).hexdigest()
    return _loaded((Parsed(index, row) for index, row in enumerate(rows)), str(source), str(source), digest, wanted)


def _load_folder(folder: Path, wanted: Format | None) -> Loaded:
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name.endswith(SUFFIXES))
    if not files:
        raise DataError(f"the folder {str(folder)!r} holds no {', '.join(SUFFIXES)} file; name the one that does")
    parts, unknown = [], []
    hashes = hashlib.sha256()
    for path in files:
        digest, parsed = _read_file(path)
        hashes.update(f"{path.name} {digest}\n".encode())
        try:
            parts.append(_loaded(parsed, path.name, str(path), digest, wanted))
        except UnknownFormat as error:
            unknown.append(Omission(path.name, 0, None, f"the whole file: {short(str(error), 300)}"))
    if not parts:
        raise UnknownFormat(f"no file of {str(folder)!r} is in a known format. {unknown[0].reason}")
    if len({part.format for part in parts}) > 1:
        formats = ", ".join(f"{Path(part.source).name} ({part.format})" for part in parts)
        raise UnknownFormat(
            f"the files of {str(folder)!r} are in several formats: {formats}; give the path of one file"
        )
    names = [Path(part.source).name for part in parts]
    stems = [name.split(".json")[0] for name in names]
    prefixes = [stem if stems.count(stem) == 1 else name for name, stem in zip(names, stems, strict=True)]
    records = [
        record.model_copy(update={"case_id": f"{prefix}/{record.case_id}"}) if len(parts) > 1 else record
        for prefix, part in zip(prefixes, parts, strict=True)
        for record in part.records
    ]
    return Loaded(
        records=tuple(records),
        skipped=(*(item for part in parts for item in part.skipped), *unknown),
        dropped=tuple(item for part in parts for item in part.dropped),
        source=str(folder),
        sha256=hashes.hexdigest(),
        format=parts[0].format,
    )


def _loaded(parsed: Iterable[Parsed], name: str, source: str, digest: str, wanted: Format | None) -> Loaded:
    items = list(parsed)
    sample = [item.value for item in items if item.value is not None][:SAMPLE]
    layout = wanted or detect(sample, source)
    records: list[Record] = []
    skipped: list[Omission] = []
    dropped: list[Omission] = []
    earlier: dict[int | str, int] = {}
    for item in items:
        parts: list[tuple[str, str]] = []
        try:
            record = _record(item, layout, parts)
            if record.case_id in earlier:
                raise MalformedRecord(f"record {earlier[record.case_id]} has the same id")
        except (MalformedRecord, EditError) as error:
            skipped.append(Omission(name, item.index, _own_id(item), short(str(error), 300)))
            continue
        earlier[record.case_id] = item.index
        records.append(record)
        dropped += [Omission(name, item.index, record.case_id, short(why, 300), part) for part, why in parts]
    return Loaded(tuple(records), tuple(skipped), tuple(dropped), source, digest, layout.name)


def _record(item: Parsed, layout: Format, parts: list[tuple[str, str]]) -> Record:
    if item.value is None:
        raise MalformedRecord(item.problem)
    try:
        return layout.reader()(item.value, item.index, lambda part, why: parts.append((part, why)))
    except ValidationError as error:
        raise MalformedRecord(reason(error)) from error


def _own_id(item: Parsed) -> int | str | None:
    for key in ("case_id", "index", "known_id", "id"):
        own = (item.value or {}).get(key)
        if isinstance(own, int | str):
            return own if isinstance(own, int) else short(own)
    return None


def _read_file(path: Path) -> tuple[str, Iterator[Parsed]]:
    """Hash of a file's bytes, and its records."""
    try:
        with path.open("rb") as file:
            stored = data = file.read(MAX_FILE + 1)
        if path.name.endswith(".gz"):
            with gzip.open(io.BytesIO(stored)) as packed:
                data = packed.read(MAX_FILE + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{str(path)!r} cannot be read: {error}; fetch the file again") from error
    if max(len(stored), len(data)) > MAX_FILE:
        raise DataError(f"{str(path)!r} holds more than {MAX_FILE:,} bytes of JSON; split it, or take a part of it")
    return hashlib.sha256(stored).hexdigest(), _parse_file(path, data)


def _parse_file(path: Path, data: bytes) -> Iterator[Parsed]:
    beginning = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()
    lines = path.name.removesuffix(".gz").endswith(".jsonl") and not beginning.startswith(b"[")
    if lines or _one_per_line(data):
        return parse_lines(io.BytesIO(data))
    # Bytes that are no UTF-8 become half surrogates, which the record that holds them is refused for.
    encoding = json.detect_encoding(data[:4])
    return parse_text(data.decode(encoding, "surrogateescape" if encoding.startswith("utf-8") else "replace"))


def _one_per_line(data: bytes) -> bool:
    """Whether a .json file is one of lines: its first line is an object by itself, and there are more."""
    first, _, rest = data.lstrip(b"\xef\xbb\xbf \t\r\n").partition(b"\n")
    return first.rstrip().endswith(b"}") and first.startswith(b"{") and bool(rest.strip())
