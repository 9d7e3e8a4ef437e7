"""Tasks for worker processes: what a worker is made of, how many there are, and what each of them takes up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

Handler = Callable[[Task], Result]
Start = Callable[[], Handler[Task, Result]]
"""Makes the handler of a worker, once in each of them; it goes there by pickle, and so do tasks and results."""


@dataclass(frozen=True)
class WorkerPlan:
    """How many workers there are, and what each takes up.

    Attributes:
        number: Workers.
        threads: Threads in which each computes; the same number gives the same bits.
        gpus: GPUs of each, or a share of one.
    """

    number: int = 2
    threads: int = 1
    gpus: float = 0.0


@dataclass(frozen=True)
class NamedTask(Generic[Task]):
    """A task, and what it is called in the message of an error."""

    name: str
    task: Task


class Workers(Protocol[Task, Result]):
    """Workers that are ready for tasks."""

    def map(self, tasks: Sequence[NamedTask[Task]], *, early: int = 0) -> Iterator[Result]:
        """The result of each task in the order of the tasks, as soon as it and all before it are there.

        Args:
            tasks: Begun in this order.
            early: So many of the last tasks are begun before all others.

        Raises:
            WorkerFailed: A task raised, or lost every worker that took it.
        """
        ...

    def each(self, task: Task) -> list[Result]:
        """The result of one task in every worker that is ready.

        Raises:
            WorkerFailed: It raised in one of them.
        """
        ...
