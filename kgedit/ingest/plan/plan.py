"""The plan of a feed: every record in exactly one class, with the reason; saved as JSON lines and read back."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from enum import StrEnum
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from kgedit.edit import Edit
from kgedit.errors import FileCorrupt, PlanError
from kgedit.ingest.change import Change, MalformedChange
from kgedit.ingest.plan.policy import Policy
from kgedit.io.atomic_files import write_files
from kgedit.io.existing import refuse_foreign

_END = b'{"records":'
_LONGEST = 1 << 17  # bytes of a line; what a change may hold stays far below


class Verdict(StrEnum):
    """The class of a record.

    Attributes:
        NEW: To be applied.
        UNFAMILIAR: The model knows none of the graph's facts about the subject.
        KNOWN: The model answers it already, in every wording asked.
        DUPLICATE: An earlier record, or the journal, has the same change.
        CONFLICT: Another record, or the change that is in force, gives the same fact another object, and the policy
            does not favour this one.
        IMPLAUSIBLE: The graph says that it cannot be meant: no name, the wrong kind of thing, too general a subject.
        UNRESOLVED: A name means nothing or several things, or the wording does not fit.
        MALFORMED: The record cannot be read.
    """

    NEW = "new"
    UNFAMILIAR = "unfamiliar"
    KNOWN = "known"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    IMPLAUSIBLE = "implausible"
    UNRESOLVED = "unresolved"
    MALFORMED = "malformed"


class Planned(BaseModel):
    """One record of a plan.

    Attributes:
        number: Place in the feed, from 1.
        verdict: Its class.
        reason: Why, for a reader.
        change: The change as the feed gave it; None for a malformed record.
        malformed: The malformed record; None otherwise.
        key: Idempotence key with names replaced by ids; None where there is no change or a name is unresolved.
        edit: The edit to apply, with ids for the names that the graph knows; None as for `key`.
        of: Number of the record that this one repeats or is in conflict with.
        newest: The newest date that any record gives for this change, where it is newer than its own.
        labels: Ids of the edit -> their labels in the graph.
        notes: Which item a name was taken for, where several have it, and what was done with free text.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int = Field(ge=1)
    verdict: Verdict
    reason: str
    change: Change | None = None
    malformed: MalformedChange | None = None
    key: str | None = None
    edit: Edit | None = None
    of: int | None = None
    newest: AwareDatetime | None = None
    labels: dict[str, str] = {}
    notes: tuple[str, ...] = ()

    @property
    def dated(self) -> AwareDatetime | None:
        """The newest date that speaks for it; None if there is none."""
        return self.newest or (self.change.provenance.dated if self.change else None)

    @property
    def where(self) -> str:
        """Feed and position of the record."""
        return self.change.provenance.where if self.change else self.malformed.where if self.malformed else ""


class PlanHeader(BaseModel):
    """The model, graph and policy that a plan was made for.

    Attributes:
        kgedit_plan: Version of the file's layout.
        model: Name of the model that was asked.
        graph: Name of the graph that resolved the names.
        policy: Which record counts when several disagree about a fact.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kgedit_plan: Literal[1] = 1
    model: str
    graph: str
    policy: Policy


class Plan(Iterable[Planned]):
    """A plan on disk, read record by record however many there are.

    Attributes:
        header: Model, graph and policy that it was made for.
        counts: Number of records in each class; all classes are there.
    """

    def __init__(self, header: PlanHeader, items: Iterable[Planned]) -> None:
        """Write the records down in a temporary file that lives as long as the plan; `plan()` calls this."""
        self.header, self.counts = header, {verdict: 0 for verdict in Verdict}
        self._folder = TemporaryDirectory(prefix="kgedit-plan-")
        self._path = Path(self._folder.name) / "plan.jsonl"
        counts: Counter[Verdict] = Counter()
        with self._path.open("wb") as file:
            for item in items:
                counts[item.verdict] += 1
                file.write(_line(item))
        self.counts.update(counts)

    def __iter__(self) -> Iterator[Planned]:
        """Every record, in the order of the feed."""
        with self._path.open("rb") as file:
            for line in file:
                yield Planned.model_validate_json(line)

    def __len__(self) -> int:
        """Number of records."""
        return sum(self.counts.values())

    def of(self, *verdicts: Verdict) -> Iterator[Planned]:
        """The records of some classes, in the order of the feed."""
        return (item for item in self if item.verdict in verdicts)

    def save(self, path: Path) -> None:
        """Write the plan as JSON lines: header, records, and a last line with number and hash; all or nothing.

        Raises:
            SaveFailed: Disk full, read-only folder and the like.
        """
        write_files(path.absolute().parent, {path.name: self._lines()})

    @classmethod
    def load(cls, path: Path) -> Plan:
        """Read a plan that `save` wrote; every record is checked.

        Raises:
            PlanError: There is no such file, or it is no plan.
            FileCorrupt: It is damaged or cut off.
        """
        try:
            with path.open("rb") as file:
                first = file.readline(_LONGEST)
                lines = iter(lambda: file.readline(_LONGEST), b"")
                return cls(_header(first, path), _records(first, lines, path))
        except OSError as error:
            raise PlanError(
                f"the plan {str(path)!r} cannot be read ({error.strerror or error}); check the path"
            ) from error

    @staticmethod
    def check_free(path: Path, *, force: bool = False) -> None:
        """Refuse, before any work, to save a plan over something else.

        Raises:
            SaveFailed: The file is there and is no plan, or cannot be written.
        """

        def is_plan(content: bytes) -> bool:
            try:
                return bool(_header(content.partition(b"\n")[0], path))
            except PlanError:
                return False

        refuse_foreign(path, ours=is_plan, force=force)

    def _lines(self) -> Iterator[bytes]:
        sha = hashlib.sha256()
        with self._path.open("rb") as file:
            for line in chain([_line(self.header)], file):
                sha.update(line)
                yield line
        yield _end(len(self), sha.hexdigest())


def _line(model: BaseModel) -> bytes:
    return model.model_dump_json(exclude_none=True).encode() + b"\n"


def _header(line: bytes, path: Path) -> PlanHeader:
    try:
        return PlanHeader.model_validate_json(line)
    except ValidationError as error:
        raise PlanError(
            f"{str(path)!r} is no plan of this version of kgedit; make it with `kgedit ingest plan`"
        ) from error


def _end(number: int, sha256: str | None = None) -> bytes:
    """The last line of a plan; kgedit 0.1 wrote no hash."""
    return json.dumps({"records": number} | ({"sha256": sha256} if sha256 else {})).encode() + b"\n"


def _records(header: bytes, lines: Iterator[bytes], path: Path) -> Iterator[Planned]:
    number, sha = 0, hashlib.sha256(header)
    for line in lines:
        # The last line: number and hash of all before it.
        if line.startswith(_END):
            if line not in (_end(number), _end(number, sha.hexdigest())):
                raise FileCorrupt(f"the plan {str(path)!r} was changed after it was written; make it again")
            if next(lines, None) is not None:
                raise FileCorrupt(f"the plan {str(path)!r} continues after its end; make it again")
            return
        sha.update(line)
        number += 1
        try:
            item = Planned.model_validate_json(line)
        except ValidationError as error:
            raise FileCorrupt(f"record {number} of the plan {str(path)!r} is damaged; make the plan again") from error
        if item.number != number:
            raise FileCorrupt(
                f"the plan {str(path)!r} has record {item.number} in the place of {number}; make it again"
            )
        yield item
    raise FileCorrupt(f"the plan {str(path)!r} is cut off after {number} records; make it anew")
