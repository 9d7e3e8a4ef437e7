"""Progress on stderr: a bar with an estimate on a terminal, and a plain line now and then where there is none."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kg_cache.text import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

WIDE = 100  # columns of a terminal from which on there is room for a bar
FIRST_LINE, LINES = 10.0, 60.0  # seconds until the first line in a log, and between lines


_BAR, _BESIDE = 25, 62  # columns of the bar, and of all beside the description


@dataclass
class Pace:
    """What is done of one kind of work, and the time left by the speed since it began.

    The speed is not that of the last seconds: long steps are the ones whose end one wants to know.
    """

    total: int
    first: int
    began: float
    done: int = 0
    last: float = 0.0
    passes: int = 1

    def advance(self, done: int, now: float) -> None:
        """Note how much is done by now; a resumed run begins with what was done before."""
        if done != self.done:
            self.done, self.last = done, now

    def left(self, now: float) -> float | None:
        """Seconds left; None before the first step is done, or where the length is not known."""
        steps = self.done - self.first
        if not self.total or steps <= 0:
            return None
        per_step = (self.last - self.began) / steps
        return max(0.0, per_step * (self.total - self.done) - (now - self.last))

    def rate(self, now: float) -> float | None:
        """Steps in a second since the work began, for work whose length is not known; None before the first."""
        steps, seconds = self.done - self.first, now - self.began
        return steps / seconds if steps > 0 and seconds > 0 else None


def duration(seconds: float) -> str:
    """A time in words that fit its length: "40 s", "12 min", "3 h 05 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"


class Shown:
    """Progress of a command; called with (what, done, in all or 0).

    Work inside of other work, such as the steps of an optimisation between two cases, keeps the estimate of the outer
    work, which is shown in front of it.
    """

    def __init__(self, what: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin.

        Args:
            what: The first description, e.g. "Loading mini".
            clock: Seconds.
        """
        from rich.console import Console

        self.console: Console = Console(stderr=True, highlight=False)
        self._clock, self._what = clock, what
        self._work: dict[str, Pace] = {}
        self._line = clock() + FIRST_LINE
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show progress; a description keeps its estimate until it is finished or begins anew."""
        now, work = self._clock(), self._work.get(what)
        if work is None or done < work.done or total != work.total:
            work = self._work[what] = Pace(total, done, now, done, now)
        elif what != self._what:
            work.passes += 1
        work.advance(done, now)
        self._what = what
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=printable(self.fitted()), completed=done, total=total or None)
        elif now >= self._line:
            self._line = now + LINES
            sys.stderr.write(f"kgedit: {printable(self.line())}\n")
            sys.stderr.flush()
        if total and done >= total:
            del self._work[what]

    def note(self, text: str) -> None:
        """Print a line above the bar; nothing where there is no terminal."""
        if self.console.is_terminal:
            from rich.text import Text

            self.console.print(Text(printable(text)))

    def text(self) -> str:
        """What is being done, with the work around it in front."""
        outer = self._outer()
        return self._what if outer is None else f"{self._told(outer)}; {self._what}"

    def fitted(self) -> str:
        """The same in the room that the terminal leaves beside counts and time; the outer work is told first."""
        room = self.console.width - (_BESIDE if self.console.width >= WIDE else _BESIDE - _BAR)
        outer = self._outer()
        text = self.text()
        if len(text) > room and outer is not None:
            text = self._told(outer)
        if len(text) > room:
            half = max(room - 1, 2) // 2
            text = f"{text[:half]}…{text[-half:]}"
        return text

    def left(self) -> str:
        """The time left in words, or else how fast it goes; empty while neither can be told."""
        work, now = self._work.get(self._outer() or self._what), self._clock()
        if work is None:
            return ""
        if (seconds := work.left(now)) is not None:
            return f"about {duration(seconds)} left"
        rate = None if work.total else work.rate(now)
        return "" if rate is None else f"{rate:,.0f} a second" if rate >= 10 else f"{rate:.1f} a second"

    def line(self) -> str:
        """All of it on one line."""
        parts = [*([self._told(outer)] if (outer := self._outer()) else []), self._told(self._what), self.left()]
        return ", ".join(part for part in parts if part)

    def _told(self, what: str) -> str:
        work = self._work.get(what)
        if work is None or not (work.done or work.total):
            return what
        return f"{what}: {work.done} of {work.total}" if work.total else f"{what}: {work.done}"

    def _outer(self) -> str | None:
        """The work that was returned to before, and is not finished."""
        names = [name for name, work in self._work.items() if name != self._what and work.passes > 1 and work.total]
        return names[0] if names else None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The bar is gone for the length of a `with` block, so that a question can be asked."""
        bar = self._bar
        if bar is not None:
            bar.stop()
        try:
            yield
        finally:
            if bar is not None:
                bar.start()

    @contextmanager
    def running(self) -> Iterator[Shown]:
        """The bar on a terminal for the length of a `with` block."""
        if not self.console.is_terminal:
            yield self
            return
        from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, SpinnerColumn, TextColumn
        from rich.progress import Progress as RichProgress
        from rich.table import Column
        from rich.text import Text

        shown = self

        class TimeLeft(ProgressColumn):
            max_refresh = 0.5

            def render(self, task: object) -> Text:
                return Text(shown.left(), style="progress.remaining")

        bar = [BarColumn(bar_width=_BAR - 1)] if self.console.width >= WIDE else []
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), *bar, MofNCompleteColumn())
        left = TimeLeft(table_column=Column(no_wrap=True))
        with RichProgress(*columns, left, console=self.console, transient=True) as self._bar:
            self._task = self._bar.add_task(self._what, total=None)
            yield self


@contextmanager
def working(what: str) -> Iterator[Shown]:
    """Shows a bar on a terminal, and a line at intervals elsewhere, with an estimate where the length is known.

    Args:
        what: The first description, e.g. "Loading mini".

    Yields:
        A callback (description, done, in all or 0).
    """
    with Shown(what).running() as shown:
        yield shown
