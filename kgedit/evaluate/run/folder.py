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
from kgedit.evaluate.results import CaseAnswers, CaseTexts, LeftOut, LengthRow, Row, SaidText
from kgedit.evaluate.run.more import extended, fits
from kgedit.io.atomic_files import write_files
from kgedit.io.durable import append
from kgedit.io.staging import sweep
from kgedit.io.text import short

MANIFEST, ROWS, LEFT_OUT, TEXTS, ANSWERS, LENGTHS = (
    "manifest.json", "rows.jsonl", "left_out.jsonl", "texts.jsonl", "answers.jsonl", "lengths.jsonl",
)  # fmt: skip
_REPORTS = ("report.json", "report.md", "report.csv", "report.html", "cases.html")

Line = TypeVar("Line", bound=BaseModel)
OfCase = TypeVar("OfCase", Row, CaseTexts, CaseAnswers)
Scored = tuple[Row, tuple[SaidText, ...], CaseAnswers | None]
"""A row, the texts that it rests on, and everything that was asked."""


class RunFolder:
    """Results of one run, on disk before the next case begins; `open_folder` makes it.

    Attributes:
        path: The folder.
        manifest: All that its results depend on, those of earlier commands included.
        rows: (case, method) -> its row.
        left_out: (case, method) -> why it has none; method None where the case is left out altogether.
        texts: (case, method) -> what the model said, where texts are kept.
        answers: (case, method) -> everything it was asked.
        lengths: (method, length) -> the model as a whole at that length of a sequence, which is finished with it.
    """

    def __init__(self, path: Path, manifest: Mapping[str, Any], *, mend: bool = True) -> None:
        """Read what is there.

        Args:
            path: The folder.
            manifest: Its manifest.
            mend: Drop a last line that a killed run did not finish from the file; it is never read.
        """
        self.path, self.manifest = path, manifest
        self.rows = {(row.case, row.method): row for row in _read(path / ROWS, Row, mend)}
        self.left_out = {(item.case, item.method): item for item in _read(path / LEFT_OUT, LeftOut, mend)}
        self.texts = {(item.case, item.method): item for item in _read(path / TEXTS, CaseTexts, mend)}
        self.answers = {(item.case, item.method): item for item in _read(path / ANSWERS, CaseAnswers, mend)}
        self.lengths = {(row.method, row.length): row for row in _read(path / LENGTHS, LengthRow, mend)}

    def add_all(self, scored: Sequence[Scored]) -> None:
        """Keep the rows of some cases; what is there already stays as it is.

        All at once, since to wait for the disk takes milliseconds, for a thousand rows as for one.
        """
        answers = [answers for _, _, answers in scored if answers is not None]
        texts = [CaseTexts(case=row.case, method=row.method, texts=said) for row, said, _ in scored if said]
        # The rows last: a case with a row is done, so its texts must be on disk by then.
        self._keep(ANSWERS, self.answers, answers)
        self._keep(TEXTS, self.texts, texts)
        self._keep(ROWS, self.rows, [row for row, _, _ in scored])

    def _keep(self, name: str, kept: dict[tuple[str, str], OfCase], items: Sequence[OfCase]) -> None:
        """Those items of (case, method) that are not there yet, in one write."""
        new: dict[tuple[str, str], OfCase] = {}
        for item in items:
            if (item.case, item.method) not in kept:
                new.setdefault((item.case, item.method), item)
        if new:
            append(self.path / name, b"".join(item.model_dump_json().encode() + b"\n" for item in new.values()))
            kept.update(new)

    def finish_length(self, row: LengthRow) -> None:
        """Keep what a whole length of a sequence gave; the rows of its cases come before it."""
        append(self.path / LENGTHS, row.model_dump_json().encode() + b"\n")
        self.lengths[row.method, row.length] = row

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
def open_folder(path: Path, manifest: Mapping[str, Any], cases: Sequence[str] = ()) -> Iterator[RunFolder]:
    """The folder of a new run, or of one to be resumed or to be given more; nobody else may write to it meanwhile.

    Args:
        path: Made if it is not there.
        manifest: Everything that the results depend on, as plain JSON values.
        cases: Ids of the cases, in order.

    Raises:
        OtherRun: The folder holds results of a run with another manifest, and cannot take what is asked for as well.
        EvaluationError: Another process works in it, or it holds something else.
        SaveFailed: It cannot be written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with exclusive(path / ".lock", timeout=0):
            sweep(path)
            yield RunFolder(path, _claim(path, json.loads(json.dumps(manifest)), cases))
    except LockTimeout as error:
        raise EvaluationError(f"process {error.owner} writes to {path}; wait for it, or take another folder") from None
    except (FileExistsError, NotADirectoryError) as error:
        raise SaveFailed(f"{path} is not a folder; choose another --out") from error


def read_folder(path: Path) -> RunFolder:
    """The results of a run, of which nothing is changed.

    Raises:
        EvaluationError: There is no run.
        FileCorrupt: A file of it is damaged.
    """
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except OSError as error:
        raise EvaluationError(
            f"{path} is no folder of a run: {MANIFEST} cannot be read ({error.strerror}); name what --out named"
        ) from error
    except ValueError as error:
        raise FileCorrupt(f"{path / MANIFEST} is damaged ({error}); restore it from a copy") from error
    if not isinstance(manifest, dict) or not {"suite", "model", "cases", "mode", "methods", "seed"} <= manifest.keys():
        raise EvaluationError(f"{path / MANIFEST} is not the manifest of a run; name a folder that --out named")
    return RunFolder(path, manifest, mend=False)


def _claim(path: Path, manifest: dict[str, Any], cases: Sequence[str]) -> dict[str, Any]:
    """Compare the manifest with the one that is there, and write what is new of it."""
    try:
        there = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        others = [name for name in (ROWS, LEFT_OUT, TEXTS, ANSWERS, LENGTHS, *_REPORTS) if (path / name).exists()]
        if others:
            raise EvaluationError(
                f"{path} holds {', '.join(others)} without the {MANIFEST} of a run, so it is somebody else's; "
                "take another folder"
            ) from None
        return _write(path, manifest)
    except ValueError as error:
        raise FileCorrupt(f"{path / MANIFEST} is damaged ({error}); take another folder") from error
    made = extended(there, manifest, cases)
    if not fits(made, manifest):
        # Methods that only one of the two has are no reason to refuse.
        settings = {**made.get("settings", {}), **manifest.get("settings", {})}
        found = differences(
            {**made, "methods": [], "settings": made.get("settings", {})},
            {**manifest, "methods": [], "settings": settings},
        )
        raise OtherRun(
            f"{path} holds the results of a run with other settings: {'; '.join(found)}. "
            "Use the same settings to resume it, more methods or a higher --limit to go on, or another folder"
        )
    return made if made == there else _write(path, made)


def _write(path: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    write_files(path, {MANIFEST: (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode()})
    return manifest


def differences(there: object, wanted: object, place: str = "") -> list[str]:
    """Where two manifests differ, in words."""
    if isinstance(there, dict) and isinstance(wanted, dict):
        keys = [*there, *(key for key in wanted if key not in there)]
        of_keys = [differences(there.get(key), wanted.get(key), f"{place}.{key}".lstrip(".")) for key in keys]
        return [line for lines in of_keys for line in lines]
    return (
        [] if there == wanted else [f"{place} was {short(json.dumps(there), 80)}, now {short(json.dumps(wanted), 80)}"]
    )


def _read(path: Path, kind: type[Line], mend: bool) -> list[Line]:
    """All whole lines; where it is to be mended, the file loses what comes behind the last of them."""
    if not path.exists():
        return []
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if mend and len(whole) < len(data):
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
