"""A store of ingested changes: the journal, the deltas that it names, and a manifest that names the model.

    DIR/journal.sqlite    the state of every change
    DIR/deltas/ID/        one folder per delta, named by the delta's id (its hash)
    DIR/plans/            the plan of each file that was run over
    DIR/manifest.json     model and hash of its unedited weights, for readers without SQLite

The edited weights are the unedited ones with the live deltas applied one after another.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import cast

from kg_cache.lock import LockTimeout, exclusive
from kgedit.delta import Delta
from kgedit.errors import FileCorrupt, JournalError, SaveFailed, StoreBusy, WrongBase
from kgedit.ingest.store.entry import Entry, State
from kgedit.ingest.store.journal import Journal
from kgedit.ingest.store.tables import no_journal
from kgedit.io.atomic_files import write_files
from kgedit.io.staging import sweep
from kgedit.lm.chat import ChatChoice

# What of `lm.loading.Loading` belongs to a store: its weights depend on it, unlike on the device.
LOADING = ("dtype", "revision")
JOURNAL, DELTAS, PLANS, MANIFEST, LOCK = "journal.sqlite", "deltas", "plans", "manifest.json", ".lock"

_ID = re.compile("[0-9a-f]{64}")


class IngestStore:
    """An open store; `open_store` makes it.

    Attributes:
        directory: Its folder.
        journal: Its journal.
    """

    def __init__(self, directory: Path, journal: Journal, stack: ExitStack) -> None:
        """Made by `open_store`; `stack` holds what is to be closed."""
        self.directory, self.journal, self._stack = directory, journal, stack

    def __enter__(self) -> IngestStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the journal and let other writers in."""
        self._stack.close()

    @property
    def model(self) -> str:
        """Name of the model that the store belongs to."""
        return self.journal.about("model") or ""

    @property
    def graph(self) -> str | None:
        """File of the graph that names are resolved against; None for the bundled one."""
        return self.journal.about("graph")

    @property
    def loading(self) -> dict[str, str]:
        """Precision and revision of the model, where they were asked for."""
        return {name: value for name in LOADING if (value := self.journal.about(name))}

    @property
    def chat(self) -> tuple[ChatChoice, str | None]:
        """Whether changes are made in the model's chat form, too, and its system prompt, where they were asked for."""
        return cast("ChatChoice", self.journal.about("chat") or "never"), self.journal.about("system") or None

    @property
    def base_hash(self) -> str:
        """`model_hash` of the unedited model."""
        return self.journal.about("base_hash") or ""

    @property
    def weights_hash(self) -> str:
        """`model_hash` of the edited weights, as the journal noted it."""
        return self.journal.about("weights_hash") or self.base_hash

    def entries(self, *states: State) -> Iterator[Entry]:
        """The changes in order of receipt; those of some states only if any are named."""
        return self.journal.entries(*states)

    def live(self) -> dict[str, list[Entry]]:
        """Id of each live delta -> the changes that it makes or counters, in the order in which deltas are applied."""
        changes_of: dict[str, list[Entry]] = {}
        placed = [(place, entry.id, id, entry) for entry in self.journal.carried() for place, id in entry.parts]
        for _, _, id, entry in sorted(placed, key=lambda part: part[:2]):
            changes_of.setdefault(id, []).append(entry)
        return changes_of

    def live_deltas(self) -> list[Delta]:
        """The live deltas, in the order in which they are applied to the unedited model.

        Raises:
            FileCorrupt: One is damaged; it is named together with its changes.
        """
        deltas = []
        for id, entries in self.live().items():
            try:
                deltas.append(self.delta(id))
            except FileCorrupt as error:
                numbers = ", ".join(str(entry.id) for entry in entries)
                undo = f"undo it with `kgedit journal undo --store {self.directory} {entries[0].id}`"
                anew = f"train them again with `kgedit ingest consolidate --store {self.directory} --anew`"
                raise FileCorrupt(
                    f"{error} It belongs to change {numbers} of the journal; without a copy, "
                    f"{anew if len(entries) > 1 else undo}."
                ) from error
        return deltas

    def live_with_entries(self) -> list[tuple[Delta, list[Entry]]]:
        """The live deltas, each with the changes that it makes; see `live_deltas`."""
        return list(zip(self.live_deltas(), self.live().values(), strict=True))

    def changing(self) -> StoreBusy:
        """The error of a reader who finds that a run has changed the store since it began to read."""
        return StoreBusy(f"a run changes the store {self.directory} just now; let it finish and try again")

    def plan_file(self, fingerprint: str) -> Path:
        """File of the plan of a run."""
        return self.directory / PLANS / f"{fingerprint[:16]}.jsonl"

    def delta(self, id: str) -> Delta:
        """One delta by its id.

        Raises:
            FileCorrupt: It is missing or damaged, or another delta lies in its place.
        """
        delta = Delta.load(self.directory / DELTAS / id)
        if delta.id != id:
            raise FileCorrupt(f"{self.directory / DELTAS / id} holds the delta {delta.id}; restore it from a copy.")
        return delta

    def save_delta(self, delta: Delta) -> None:
        """Write a delta and flush it to disk.

        Raises:
            SaveFailed: Disk full or read-only folder.
        """
        folder = self.directory / DELTAS / delta.id
        try:
            self.delta(delta.id)
        except FileCorrupt:  # none, or what is left of one that is computed again
            shutil.rmtree(folder, ignore_errors=True)
        delta.save(folder)

    def remove_unnamed(self) -> int:
        """Delete deltas that no applied or waiting change names; returns how many there were.

        What has no delta's name was put there by somebody else and stays.
        """
        named = {*self.live(), *(entry.delta for entry in self.journal.entries(State.PREPARED, State.APPLIED))}
        folder = self.directory / DELTAS
        present = [path for path in folder.iterdir() if _ID.fullmatch(path.name)] if folder.is_dir() else []
        unnamed = [path for path in present if path.name not in named]
        for path in unnamed:
            shutil.rmtree(path, ignore_errors=True)
        return len(unnamed)

    def bind(self, model: str, base_hash: str) -> None:
        """Make sure that the store belongs to this model; a new store does from now on.

        Raises:
            WrongBase: It belongs to another one.
        """
        if not self.base_hash:
            write_files(self.directory, {MANIFEST: _manifest(model, base_hash)})
            self.journal.set_about({"model": model, "base_hash": base_hash})
        elif self.base_hash != base_hash:
            raise WrongBase(
                f"the store {self.directory} belongs to {self.model!r} with weights of hash {self.base_hash}, but "
                f"{model!r} has hash {base_hash}: another model, or not its unedited weights. "
                "Load the model that the store names, or begin a new store."
            )
        elif not self.journal.read_only and not (self.directory / MANIFEST).exists():
            write_files(self.directory, {MANIFEST: _manifest(self.model, self.base_hash)})


def open_store(
    directory: str | Path,
    *,
    write: bool = False,
    create: bool = True,
    clock: Callable[[], datetime] | None = None,
    wait: float = 0.5,
) -> IngestStore:
    """Open a store, to read it or as its only writer.

    Args:
        directory: Its folder.
        write: Take the lock and allow changes.
        create: With `write`, make a store that is not there.
        clock: Gives the time of each step; nothing is decided by it.
        wait: Seconds to wait for another writer.

    Raises:
        JournalError: There is no store, or one whose journal is lost.
        StoreBusy: Another process writes to it; its process id is named.
        FileCorrupt: The journal is damaged.
        SaveFailed: Disk full or read-only folder.
    """
    directory = Path(directory)
    with ExitStack() as stack:
        # 1. The lock comes first: nothing of a store is made or changed without it.
        there = (directory / JOURNAL).exists()
        if write and not there and not create:
            raise no_journal(directory / JOURNAL)
        if write:
            _lock(directory, wait, stack)
            for folder in (directory, directory / PLANS, *(directory / DELTAS).glob("*")):
                sweep(folder)
        # 2. A store that lost its journal is no new one.
        if not _has_content(directory / JOURNAL) and (directory / MANIFEST).exists():
            if b'"kgedit-store"' not in (directory / MANIFEST).read_bytes():
                raise JournalError(
                    f"{directory} is no store: its {MANIFEST} belongs to something else, such as a delta of "
                    "`kgedit edit`; choose another --store"
                )
            raise JournalError(
                f"{directory} holds a store without its {JOURNAL}; restore that from a copy, or begin a new store"
            )
        # 3. The journal, row by row against its checksums, and what it says against the manifest.
        journal = Journal(directory / JOURNAL, read_only=not write, clock=clock)
        stack.callback(journal.close)
        _check_manifest(directory, journal)
        return IngestStore(directory, journal, stack.pop_all())


def _manifest(model: str, base_hash: str) -> bytes:
    about = {"format": "kgedit-store", "version": 1, "model": model, "base_hash": base_hash}
    return json.dumps(about, indent=1).encode()


def _check_manifest(directory: Path, journal: Journal) -> None:
    """Compare the manifest, which readers without SQLite go by, with the journal."""
    path, model, base_hash = directory / MANIFEST, journal.about("model"), journal.about("base_hash")
    if model and base_hash and path.exists() and path.read_bytes() != _manifest(model, base_hash):
        raise FileCorrupt(
            f"{path} is damaged: it does not say what the journal says, that the store belongs to {model!r}; "
            "delete it, and the next run writes it again"
        )


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def _lock(directory: Path, wait: float, stack: ExitStack) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        stack.enter_context(exclusive(directory / LOCK, timeout=wait))
    except LockTimeout as error:
        raise StoreBusy(
            f"process {error.owner} is writing to the store {directory}; let it finish, or end it, and try again"
        ) from error
    except OSError as error:
        raise SaveFailed(
            f"the store {directory} cannot be written: {error.strerror or error} "
            "(disk full, read-only folder, or not a folder); choose another folder or fix its rights"
        ) from error
