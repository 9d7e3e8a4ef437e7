"""The changes of a store as the page lists them: read once, and again when the journal's files have changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from kg_cache.ids import is_entity_id, is_relation_id
from kg_cache.store import Store
from kg_cache.text import fold
from kgedit.errors import JournalError
from kgedit.ingest.store.entry import Entry
from kgedit.ingest.store.store import JOURNAL, IngestStore, open_store
from kgedit.workbench.journal_html import STATES

_Stamp = tuple[tuple[int, int] | None, ...]


@dataclass(frozen=True)
class _Listed:
    entry: Entry
    searched: str  # all that is searched in, folded


class Listing:
    """Every change of a store with labels, the newest first.

    A journal is checked row by row when it is opened, which is too long for each key of a search.

    Args:
        directory: Folder of the store.
        graph: Where labels come from that a plan did not note.
    """

    def __init__(self, directory: Path, graph: Store) -> None:
        self._directory, self._graph, self._lock = directory, graph, Lock()
        self._stamp: _Stamp = ()
        self._listed: tuple[_Listed, ...] = ()

    def fitting(self, state: str, text: str) -> list[Entry]:
        """The changes in a state, in its plain words, that have all these words.

        Raises:
            JournalError, FileCorrupt: There is no store, or a damaged one.
        """
        states = {known for known, words in STATES.items() if words == state} or {*STATES}
        wanted = fold(text).split()
        return [
            listed.entry
            for listed in self._read()
            if listed.entry.state in states and all(word in listed.searched for word in wanted)
        ]

    def _read(self) -> tuple[_Listed, ...]:
        with self._lock:
            stamp = self._files()  # before it is read: what is written meanwhile is read the next time
            if stamp != self._stamp:
                with reading(self._directory) as store:
                    entries = labelled(self._graph, list(store.entries()))
                self._listed = tuple(_Listed(entry, _searched(entry)) for entry in reversed(entries))
                self._stamp = stamp
            return self._listed

    def _files(self) -> _Stamp:
        """Time and size of the journal, and of what SQLite has written beside it."""
        found: list[tuple[int, int] | None] = []
        for name in (JOURNAL, f"{JOURNAL}-wal"):
            try:
                stat = (self._directory / name).stat()
                found.append((stat.st_mtime_ns, stat.st_size))
            except OSError:
                found.append(None)
        return tuple(found)


def labelled(graph: Store, entries: list[Entry]) -> list[Entry]:
    """The changes with labels of the graph where their plans noted none."""
    named = [[*filter(_is_id, (e.edit.subject, e.edit.relation or "", e.edit.target_new))] for e in entries]
    labels = graph.labels(sorted({id for ids in named for id in ids}))
    return [
        entry.model_copy(
            update={
                "change": entry.change.model_copy(
                    update={"labels": {id: labels[id] for id in ids} | entry.change.labels}
                )
            }
        )
        for entry, ids in zip(entries, named, strict=True)
    ]


def reading(directory: Path) -> IngestStore:
    """A store, to be read.

    Raises:
        JournalError, FileCorrupt: There is none, or a damaged one.
    """
    try:
        return open_store(directory)
    except JournalError as error:
        raise JournalError(f"{error}; receive a feed on this page to begin one") from error


def _searched(entry: Entry) -> str:
    return fold(" ".join([str(entry.id), *entry.change.words, entry.reason, entry.change.evidence]))


def _is_id(name: str) -> bool:
    return is_entity_id(name) or is_relation_id(name)
