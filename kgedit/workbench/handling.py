"""What every handler of the page does: progress on the page, and errors in words where the result would stand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from kg_cache.errors import KnowledgeGraphError
from kgedit.errors import KgeditError
from kgedit.progress import Progress
from kgedit.workbench.shown import problem

# All that uses the model waits in one queue, whichever window it comes from.
MODEL: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "model", "api_visibility": "private"}


def attempt(work: Callable[[], str]) -> str:
    """What the work shows; what it raised in words, if somebody can do something about it."""
    try:
        return work()
    except ValidationError as error:
        first, *_ = error.errors(include_url=False)
        where = f"{first['loc'][0]}: " if first["loc"] else ""
        return problem(where + str(first["msg"]).removeprefix("Value error, "))
    except (KgeditError, KnowledgeGraphError) as error:
        return problem(str(error))
    except OSError as error:
        return problem(f"cannot read or write {str(error.filename or '')!r}: {error.strerror or error}")


def stops(button: Any, sitting: Any) -> None:
    """Have a button end the work under way of its own window, without a wait in the queue."""
    button.click(
        lambda sitting: setattr(sitting, "stopping", True), sitting, None, queue=False, api_visibility="private"
    )


def on_page(progress: Any) -> Progress:
    """Progress of the interface as progress of the page, a `gradio.Progress`."""

    def told(what: str, done: int, total: int) -> None:
        progress((done, total) if total else None, desc=what if total or not done else f"{what}: {done}")

    return told
