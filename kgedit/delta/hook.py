"""What deltas put on modules to act in a forward pass, and what takes it off again."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

Detach = Callable[[], None]


class DeltaHook:
    """Base of the hooks whose state changes as deltas come and go.

    `as_before_on_error` notes the attributes of those on a model, so what one holds is replaced, never changed in
    place; or the hook notices that it was.
    """


class Attached:
    """All that one delta put on a model: a call takes it off, and so does a `with` block that fails.

    It can be called again when an error has put back what was off.
    """

    def __init__(self) -> None:
        """Start with nothing."""
        self._removers: list[Detach] = []

    def add(self, remove: Detach) -> None:
        """Count in what `remove` takes off."""
        self._removers.append(remove)

    def __call__(self) -> None:
        """Take all off, the last first."""
        for remove in reversed(self._removers):
            remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self()
