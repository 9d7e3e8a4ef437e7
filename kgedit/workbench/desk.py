"""What all windows of the workbench share, one model above all, and what each has of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kg_cache.store import Store
from kgedit.delta import Delta
from kgedit.editor import Editor
from kgedit.errors import Stopped
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.loading import Loading
from kgedit.lm.second_moment.find import MomentSource
from kgedit.methods.before_loading import check_before_loading
from kgedit.methods.registry import method_for
from kgedit.progress import Progress
from kgedit.trials.effect import Effect


@dataclass
class Sitting:
    """One window: the edits that it keeps, and the one that it tries.

    Attributes:
        kept: The edits that later ones are made on top of, in order.
        tried: The last edit that was tried and is neither kept nor taken back.
        stopping: Whether the work that was asked for last, under way or still waiting, shall stop.
        store: Folder of the store that it has opened; None for the desk's.
    """

    kept: list[Effect] = field(default_factory=list)
    tried: Effect | None = None
    stopping: bool = False
    store: Path | None = None

    @property
    def deltas(self) -> tuple[Delta, ...]:
        """The changes that the window sees: those it keeps, and the one it tries on top of them."""
        return tuple(effect.delta for effect in (*self.kept, *([self.tried] if self.tried else [])))


@dataclass
class Desk:
    """What all windows share.

    Attributes:
        editor: Editor of the unedited model; each window's edits are on it only while it works for that window.
        model: Name of the model, as it was given.
        method: Name and settings of the method that is set.
        journal_method: Those of the method that makes the changes of the journal; None for the one of the preset.
        graph: The local graph that is searched.
        graph_file: Its file; None for the bundled one.
        moments: Second moments, see `Editor.from_pretrained`.
        store: Folder of a store of changes, which need not be there yet.
        files: Folder for what is exported; it is deleted at the end.
        loading: Device and the like, for what opens the store with its model.
        own_machine: Whether only this machine can reach the page, so that it may name folders.
    """

    editor: Editor
    model: str
    method: str
    graph: Store
    graph_file: Path | None
    moments: MomentSource
    store: Path
    files: Path
    loading: Loading
    own_machine: bool = True
    journal_method: str | None = None

    def folder(self, sitting: Sitting) -> Path:
        """Folder of the store of a window."""
        return sitting.store or self.store

    def use(self, method: str) -> tuple[str, ...]:
        """Set the method by its name, with settings behind it; returns notes about settings that are guesses.

        Raises:
            UnknownMethod, SettingError: There is no such method or setting.
        """
        check_before_loading(self.model, method)
        depth = anatomy_of(self.editor.model).n_layers(self.editor.model)
        self.editor.method, notes = method_for(self.model, method, depth)
        return notes

    @contextmanager
    def seated(self, sitting: Sitting, progress: Progress | None = None, *, edited: bool = True) -> Iterator[Editor]:
        """The editor with exactly a window's kept edits on it for the length of a `with` block.

        Other windows wait; afterwards the weights are bit for bit the unedited ones.

        Args:
            sitting: The window.
            progress: Called with (what, done, total).
            edited: Whether its edits are on the model; else it is unedited.

        Raises:
            Stopped: The window asked to stop.
        """
        told_by = stoppable(sitting, progress)
        told_by("waiting", 0, 0)
        with self.editor.turn(), self.editor.trial(*(effect.delta for effect in sitting.kept if edited)):
            self.editor.progress = told_by
            try:
                yield self.editor
            finally:
                self.editor.progress = None


def stoppable(sitting: Sitting, progress: Progress | None) -> Progress:
    """Progress of work that ends it at its next step once the window asks to stop."""

    def told(what: str, done: int, total: int) -> None:
        if sitting.stopping:
            sitting.stopping = False
            raise Stopped("stopped; nothing was changed")
        if progress:
            progress(what, done, total)

    return told
