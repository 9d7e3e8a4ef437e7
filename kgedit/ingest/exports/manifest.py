"""The record of an export folder, `kgedit_export.json`: its changes, their questions, and the hash of every file."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from kgedit.errors import FileCorrupt

RECORD = "kgedit_export.json"
CARD = "README.md"
_LONGEST = 256 * 2**20  # bytes; one change takes about one kB


class ExportKind(StrEnum):
    """Kinds of exports."""

    ADAPTER = "adapter"
    CHECKPOINT = "checkpoint"
    DELTA = "delta"


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True)


class ExportCheck(_Plain):
    """A question about a change.

    Attributes:
        change: Number of the change in the journal.
        kind: "efficacy" for the edit prompt, "wordings" for the fact in other words.
        question: The prompt.
        answer: The right answer.
        answered: Whether the store's weights gave it when the export was made; "held" in the file.
    """

    change: int
    kind: Literal["efficacy", "wordings"]
    question: str
    answer: str
    answered: bool = Field(alias="held")

    @property
    def due(self) -> bool:
        """Whether a sound export answers right: always to the edit prompt, else where the store's weights did."""
        return self.answered or self.kind == "efficacy"


class ExportedChange(_Plain):
    """A change that the export carries.

    Attributes:
        id: Its number in the journal.
        subject: As the edit names it.
        relation: As the edit names it; None for an edit by prompt.
        target_new: The new object as the edit names it.
        delta: Id of its delta.
        source: Feed and place in it.
        dated: When the source says that the fact or its evidence is of.
        evidence: What the source gives for it.
        checks: What is asked about it, the edit prompt first.
    """

    id: int
    subject: str
    relation: str | None
    target_new: str
    delta: str
    source: str
    dated: AwareDatetime | None = None
    evidence: str | None = None
    checks: tuple[ExportCheck, ...]


class ExportRecord(_Plain):
    """An export.

    Attributes:
        kind: What it is.
        model: Name of the unedited model: a hub id, a name of `kgedit models`, or the last part of its folder.
        loading: Precision and revision of the unedited model, where they were asked for.
        base_hash: `model_hash` of the unedited model.
        weights_hash: The same of the edited model; a checkpoint has these weights bit for bit.
        ranks: Parameter name -> rank of its change; empty for a checkpoint.
        errors: Parameter name -> relative error of the compression; empty without one.
        changes: The changes, in the order in which they were applied.
        files: Name -> SHA-256 of every file but this one and the card.
        card: SHA-256 of the card, which may be changed without harm; empty in exports of kgedit 0.1.
    """

    format: Literal["kgedit-export"] = "kgedit-export"
    version: Literal[1] = 1
    kind: ExportKind
    model: str
    loading: dict[str, str] = {}
    base_hash: str
    weights_hash: str
    ranks: dict[str, int] = {}
    errors: dict[str, float] = {}
    changes: tuple[ExportedChange, ...] = Field(min_length=1)
    files: dict[str, str]
    card: str = ""


def own_files(folder: Path) -> set[str]:
    """Names of the files of an export, relative to its folder, that are as they were written; empty for any other."""
    try:
        record = ExportRecord.model_validate_json((folder / RECORD).read_bytes())
        card = hashlib.sha256((folder / CARD).read_bytes()).hexdigest()
    except (OSError, ValidationError):
        return set()
    present = hashes(folder)
    own = {name for name, digest in record.files.items() if present.get(name) == digest}
    return own | {RECORD} | ({CARD} if record.card in ("", card) else set())


def hashes(folder: Path) -> dict[str, str]:
    """Name -> SHA-256 of the files of a folder, without record and card."""
    hashed = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in (RECORD, CARD):
            with path.open("rb") as file:
                hashed[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashed


def read_record(folder: Path) -> ExportRecord:
    """The record of an export folder, after a check of every file that it names.

    Raises:
        FileCorrupt: There is none, or it or a file is damaged.
    """
    path = folder / RECORD
    try:
        if path.stat().st_size > _LONGEST:
            raise FileCorrupt(f"{path} is larger than any record of an export; restore the folder from a copy")
        record = ExportRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        raise FileCorrupt(
            f"{folder} is no export: {RECORD} cannot be read ({error.strerror or error}); "
            "check the path, or make the export with `kgedit export`"
        ) from error
    except ValidationError as error:
        raise FileCorrupt(f"{path} is damaged or of another version; export it again") from error
    present = hashes(folder)
    for name, digest in record.files.items():
        if present.get(name) != digest:
            what = "is damaged" if name in present else "is missing"
            raise FileCorrupt(f"{folder / name} {what}; restore it from a copy, or export it again")
    return record
