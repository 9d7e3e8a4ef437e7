"""The folder of a run: its manifest and files of lines; the last line of a killed run may be unfinished."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from kg_cache.lock import LockTimeout, exclusive
from kgedit.errors import EvaluationError, FileCorrupt, OtherRun, SaveFailed
from kgedit.evaluate.results import CaseTexts, LeftOut, Row, SaidText
from kgedit.io.atomic_files import write_files
from kgedit.io.durable import append

MANIFEST, ROWS, LEFT_OUT, TEXTS = "manifest.json", "rows.jsonl", "left_out.jsonl", "texts.jsonl"
_REPORTS = ("report.json", "report.md", "report.csv", "report.html")

Line = TypeVar("Line", bound=BaseModel)


class RunFolder:
    """Results of one run, on disk before the next case begins; `open_folder` makes it.

    Attributes:
        path: The folder.
        rows: (case, method) -> its row.
        left_out: (case, method) -> why it has none; method None where the case is left out altogether.
        texts: (case, method) -> what the model said, where texts are kept.
    """

    def __init__(self, path: Path) -> None:
        """Read what is there; a last line that a killed run did not finish is dropped."""
        self.path = path
        self.rows = {(row.case, row.method): row for row in _read(path / ROWS, Row)}
        self.left_out = {(item.case, item.method): item for item in _read(path / LEFT_OUT, LeftOut)}
        self.texts = {(item.case, item.method): item for item in _read(path / TEXTS, CaseTexts)}

    def add(self, row: Row, texts: tuple[SaidText, ...] = ()) -> None:
        """Keep a row and the texts that it rests on; what is there already stays as it is."""
        # The texts first: a case with a row is done, so its texts must be on disk by then.
        if texts and (row.case, row.method) not in self.texts:
            kept = CaseTexts(case=row.case, method=row.method, texts=texts)
            append(self.path / TEXTS, kept.model_dump_json().encode() + b"\n")
            self.texts[row.case, row.method] = kept
        if (row.case, row.method) not in self.rows:
            append(self.path / ROWS, row.model_dump_json().encode() + b"\n")
            self.rows[row.case, row.method] = row

    def leave_out(self, item: LeftOut) -> None:
        """Keep the reason why a case has no row; the first one counts."""
        if (item.case, item.method) not in self.left_out:
            append(self.path / LEFT_OUT, item.model_dump_json().encode() + b"\n")
            self.left_out[item.case, item.method] = item

    def is_out(self, case: str, method: str) -> bool:
        """Whether the case has no values under the method, for a known reason."""
        return (case, None) in self.left_out or (case, method) in self.left_out

    def is_done(self, case: str, method: str) -> bool:
        """Whether nothing is left to do."""
        return (case, method) in self.rows or self.is_out(case, method)


@contextmanager
def open_folder(path: Path, manifest: Mapping[str, Any]) -> Iterator[RunFolder]:
    """The folder of a new run, or of one to be resumed; nobody else may write to it meanwhile.

    Args:
        path: Made if it is not there.
        manifest: Everything that the results depend on, as plain JSON values.

    Raises:
        OtherRun: The folder holds results of a run with another manifest.
        EvaluationError: Another process works in it, or it holds something else.
        SaveFailed: It cannot be written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with exclusive(path / ".lock", timeout=0):
            _claim(path, json.loads(json.dumps(manifest)))
            yield RunFolder(path)
    except LockTimeout as error:
        raise EvaluationError(f"process {error.owner} writes to {path}; wait for it, or take another folder") from None
    except (FileExistsError, NotADirectoryError) as error:
        raise SaveFailed(f"{path} is not a folder; choose another --out") from error


def _claim(path: Path, manifest: dict[str, Any]) -> None:
    """Compare the manifest with the one that is there, or write it."""
    try:
        there = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        others = [name for name in (ROWS, LEFT_OUT, TEXTS, *_REPORTS) if (path / name).exists()]
        if others:
            raise EvaluationError(
                f"{path} holds {', '.join(others)} without the {MANIFEST} of a run, so it is somebody else's; "
                "take another folder"
            ) from None
        write_files(path, {MANIFEST: (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode()})
        return
    except ValueError as error:
        raise FileCorrupt(f"{path / MANIFEST} is damaged ({error}); take another folder") from error
    if there != manifest:
        raise OtherRun(
            f"{path} holds the results of a run with other settings: {'; '.join(_differences(there, manifest))}. "
            "Use the same settings to resume it, or take another folder"
        )


def _differences(there: object, wanted: object, place: str = "") -> list[str]:
    if isinstance(there, dict) and isinstance(wanted, dict):
        keys = [*there, *(key for key in wanted if key not in there)]
        differences = [_differences(there.get(key), wanted.get(key), f"{place}.{key}".lstrip(".")) for key in keys]
        return [line for lines in differences for line in lines]
    return [] if there == wanted else [f"{place} was {json.dumps(there)}, now {json.dumps(wanted)}"]


def _read(path: Path, kind: type[Line]) -> list[Line]:
    """All whole lines; the file loses what comes behind the last of them."""
    if not path.exists():
        return []
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.truncate(path, len(whole))
    return [_parsed(line, kind, path, number) for number, line in enumerate(whole.splitlines(), start=1)]


def _parsed(line: bytes, kind: type[Line], path: Path, number: int) -> Line:
    try:
        return kind.model_validate_json(line)
    except ValidationError as error:
        raise FileCorrupt(
            f"line {number} of {path} is damaged; remove the line, and the run computes it again"
        ) from error


def in_order(rows: Mapping[tuple[str, str], Line], cases: Sequence[str], methods: Sequence[str]) -> list[Line]:
    """The rows method by method in the order of the cases, however they came."""
    return [rows[case, method] for method in methods for case in cases if (case, method) in rows]
