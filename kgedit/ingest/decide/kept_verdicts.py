"""Keeps in the cache folder which facts an unedited model recalls, so that each is asked once per model and graph."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kgedit.errors import SaveFailed
from kgedit.io.atomic_files import write_files
from kgedit.progress import Progress

_FORMAT = "kgedit recalled facts 1"  # changes with the way in which answers are matched or facts ordered


@dataclass(frozen=True)
class KeptVerdicts:
    """One file per model and walk, named for all that its verdicts depend on.

    Attributes:
        folder: The cache's folder.
        model_hash: Hash of the unedited weights.
        progress: Told when a file is damaged.
    """

    folder: Path
    model_hash: str
    progress: Progress | None = None

    def verdicts(self, name: str) -> list[bool]:
        """What is kept of a walk; nothing if there is no file, or if it is damaged, in which case that is said."""
        path = self.folder / self._file(name)
        try:
            content = path.read_bytes()
        except OSError:
            return []
        head, _, signs = content.partition(b"\n")
        with suppress(ValueError, TypeError, KeyError):
            if json.loads(head)["sha256"] == self._sum(name, signs) and set(signs) <= set(b"01"):
                return [sign == ord("1") for sign in signs]
        if self.progress:
            self.progress(f"{path} is damaged; the facts are asked again", 0, 0)
        return []

    def keep(self, name: str, verdicts: Sequence[bool]) -> None:
        """Keep the verdicts of a walk; a folder that cannot be written keeps nothing."""
        signs = b"".join(b"1" if right else b"0" for right in verdicts)
        head = json.dumps({"format": _FORMAT, "name": name, "sha256": self._sum(name, signs)}).encode()
        with suppress(SaveFailed):  # only the next run would have gained
            write_files(self.folder, {self._file(name): head + b"\n" + signs})

    def _file(self, name: str) -> str:
        return hashlib.sha256(f"{_FORMAT}\n{self.model_hash}\n{name}".encode()).hexdigest() + ".txt"

    def _sum(self, name: str, signs: bytes) -> str:
        return hashlib.sha256(f"{_FORMAT}\n{self.model_hash}\n{name}\n".encode() + signs).hexdigest()
