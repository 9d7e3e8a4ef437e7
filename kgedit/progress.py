"""The callback by which long work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is being done, the steps done, and the steps in all (0 where that is not known)."""


def steps_of(progress: Progress | None, what: str) -> Callable[[int, int], None] | None:
    """The callback for work that knows its steps but not its name: called with the steps done and in all."""
    return None if progress is None else lambda done, total: progress(what, done, total)
