"""Questions of what a model knows, put in pieces by this process or by several workers.

A verdict may depend, in the last bits, on what shares a batch with its question. So both ways cut alike, and a
benchmark that is made by workers is byte for byte that of one process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from kgedit.ingest.decide.known_facts import ask_all
from kgedit.lm.load import load_model
from kgedit.lm.loading import Loading
from kgedit.workers.pool import NamedTask, WorkerPlan, Workers
from kgedit.workers.ray_workers import ray_workers

Question = tuple[str, str]  # prompt and answer
Ask = Callable[[Sequence[Question]], list[bool]]


@dataclass(frozen=True)
class StartAsking:
    """Makes a worker, with a model of its own.

    Attributes:
        model: Name of the model.
        loading: How it is loaded.
    """

    model: str
    loading: Loading = field(default_factory=Loading)

    def __call__(self) -> Ask:
        """Load the model; the handler says which questions it answers right."""
        model, tokenizer = load_model(self.model, **self.loading)
        return lambda piece: ask_all(model, tokenizer, piece)


class AskingWorkers:
    """Workers that ask."""

    def __init__(self, workers: Workers[Sequence[Question], list[bool]]) -> None:
        """Take the workers."""
        self._workers = workers

    def answers(self, pieces: Sequence[Sequence[Question]]) -> Iterator[list[bool]]:
        """The verdicts of each piece, in order.

        Raises:
            WorkerFailed: A worker raised, or a piece lost every worker that took it.
        """
        return self._workers.map([NamedTask(f"the question {piece[0][0]!r}", piece) for piece in pieces])


@contextmanager
def asking_workers(start: StartAsking, plan: WorkerPlan | None) -> Iterator[AskingWorkers | None]:
    """Workers for the length of a `with` block; None where no plan is given."""
    if plan is None:
        yield None
        return
    with ray_workers(start, plan) as workers:
        yield AskingWorkers(workers)


def in_pieces(
    questions: Sequence[Question], size: int, ask: Ask, workers: AskingWorkers | None = None
) -> Iterator[tuple[int, list[bool]]]:
    """Put questions in pieces of a size, here or by workers.

    Yields:
        How many were put so far, and the verdicts of the piece.
    """
    pieces = [questions[start : start + size] for start in range(0, len(questions), size)]
    told = 0
    for verdicts in workers.answers(pieces) if workers else map(ask, pieces):
        told += len(verdicts)
        yield told, verdicts
