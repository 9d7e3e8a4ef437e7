"""What every handler of the page does: progress on the page, and errors in words where the result would stand."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kg_cache.errors import KnowledgeGraphError
from kgedit.errors import KgeditError, SettingError
from kgedit.progress import Progress
from kgedit.workbench.desk import Sitting
from kgedit.workbench.shown import problem

_BETWEEN = 0.2  # seconds between two messages of progress of one kind
# All that uses the model waits in one queue, whichever window it comes from.
MODEL: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "model", "api_visibility": "private"}


_TOLD = (ValidationError, KgeditError, KnowledgeGraphError, OSError)


def attempt(work: Callable[[], str]) -> str:
    """What the work shows; what it raised in words, if somebody can do something about it."""
    try:
        return work()
    except _TOLD as error:
        return problem(_words(error))


def attempt_each(work: Iterable[str]) -> Iterator[str]:
    """All that the work shows, one instead of the other; what it raised in words, below the last."""
    last = ""
    try:
        for last in work:
            yield last
    except _TOLD as error:
        yield last + problem(_words(error))


def _words(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first, *_ = error.errors(include_url=False)
        where = f"{first['loc'][0]}: " if first["loc"] else ""
        return where + str(first["msg"]).removeprefix("Value error, ")
    if isinstance(error, OSError):
        return f"cannot read or write {str(error.filename or '')!r}: {error.strerror or error}"
    return str(error)


def named_path(text: str) -> Path:
    """The path that somebody wrote into a field.

    Raises:
        SettingError: It begins with the home of a user whom this machine does not have.
    """
    try:
        return Path(text.strip()).expanduser()
    except RuntimeError as error:
        raise SettingError(f"{text.strip()}: this machine has no such user; write the whole path") from error


def queued(trigger: Callable[..., Any], sitting: Any, handler: Any, given: Any, shown: Any, **more: Any) -> Any:
    """Have an event of the page begin work with the model, which a window can stop from that moment on.

    Args:
        trigger: What registers a handler of the event, such as the `click` of a button.
        sitting: The page's state of one window.
        handler: The work.
        given: Components that it reads.
        shown: Components that it writes.
        **more: What else gradio is told of it.

    Returns:
        The event of gradio, for what follows it.
    """
    begun = trigger(_begin, sitting, None, queue=False, show_progress="hidden", api_visibility="private")
    return begun.then(handler, given, shown, **MODEL, **more)


def _begin(sitting: Sitting) -> None:
    sitting.stopping = False


def _stop(sitting: Sitting) -> None:
    sitting.stopping = True


def stops(button: Any, sitting: Any) -> None:
    """Have a button end the work of its own window, under way or waiting, without a wait in the queue."""
    button.click(_stop, sitting, None, queue=False, show_progress="hidden", api_visibility="private")


def on_page(progress: Any) -> Progress:
    """Progress of the interface as progress of the page, a `gradio.Progress`; a few times a second at most.

    Each message to a browser takes longer than many a step.
    """
    told_at: dict[str, float] = {}

    def told(what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - told_at.get(what, -_BETWEEN) < _BETWEEN:
            return
        told_at[what] = now
        progress((done, total) if total else None, desc=what if total or not done else f"{what}: {done}")

    return told
