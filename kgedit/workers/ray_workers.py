"""Workers on Ray: processes of this machine, or of the machines of a cluster; a lost one is replaced.

Only the machine of the command is used unless RAY_ADDRESS names a cluster. No usage is reported to anybody, and there
is no dashboard; the folder of a local session is deleted when the work is done.
"""

from __future__ import annotations

import os
import socket
import tempfile
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from kgedit.errors import KgeditError, MissingExtra, WorkerFailed
from kgedit.io.environment import environment
from kgedit.workers.pool import Handler, NamedTask, Result, Start, Task, WorkerPlan

_REACHED_WITHIN = 10.0  # seconds
_MOST_LOST = 3  # workers that one task may lose: it is the task then
_STORE_BYTES = 256 * 2**20  # results are rows of text
Returned = TypeVar("Returned")
_LONGEST_FOLDER = 40  # of the session: the path of a socket in it may have 107 characters


@contextmanager
def ray_workers(start: Start[Task, Result], plan: WorkerPlan) -> Iterator[RayWorkers[Task, Result]]:
    """Workers for the length of a `with` block; however it ends, none is left.

    Args:
        start: Makes the handler of each worker.
        plan: How many, and what each takes up.

    Raises:
        MissingExtra: Ray is not installed.
        WorkerFailed: This machine has fewer GPUs than the workers take, or the cluster cannot be reached.
    """
    # Read when Ray is imported: that a worker was lost is told here, in an error or not at all, never on stdout.
    with environment(RAY_USAGE_STATS_ENABLED="0", RAY_DEDUP_LOGS_SKIP_REGEX="."):
        try:
            import ray
        except ImportError as error:
            raise MissingExtra("workers need Ray; install it with pip install 'kgedit[ray]'") from error
        with _connected(ray, plan):
            workers = RayWorkers[Task, Result](ray, start, plan)
            try:
                yield workers
            finally:
                workers.end()


@dataclass(frozen=True)
class _Raised:
    """What a handler raised, as text: not every exception goes through a pickle."""

    line: str
    trace: str
    ours: bool


class _Worker(Generic[Task, Result]):
    """Lives in a process of its own."""

    _handler: Handler[Task, Result]

    def begin(self, start: Start[Task, Result], threads: int) -> _Raised | None:
        import torch

        torch.set_num_threads(threads)
        return self._guarded(lambda: setattr(self, "_handler", start()))

    def run(self, task: Task) -> Result | _Raised | None:
        return self._guarded(lambda: self._handler(task))

    @staticmethod
    def _guarded(work: Callable[[], Returned]) -> Returned | _Raised:
        try:
            return work()
        except Exception as error:  # noqa: BLE001 - it is raised where the work was asked for
            ours = isinstance(error, KgeditError)
            told = " ".join([str(error) if ours else f"{type(error).__name__}: {error}", *_notes(error)])
            return _Raised(told, traceback.format_exc(), ours)


class RayWorkers(Generic[Task, Result]):
    """See `pool.Workers`."""

    def __init__(self, ray: Any, start: Start[Task, Result], plan: WorkerPlan) -> None:
        """Ask for the workers; none is waited for.

        Args:
            ray: The package, connected.
            start: Makes the handler of each worker.
            plan: How many, and what each takes up.
        """
        self._ray, self._start, self._plan = ray, start, plan
        self._kind = ray.remote(num_cpus=plan.threads, num_gpus=plan.gpus, max_restarts=0)(_Worker)
        self._beginning: dict[Any, Any] = {}  # what tells that a worker is ready -> the worker
        self._alive: list[Any] = []
        self._idle: list[Any] = []
        self._lost = 0  # workers that were lost before they were ready
        for _ in range(plan.number):
            self._add()

    def map(self, tasks: Sequence[NamedTask[Task]], *, early: int = 0) -> Iterator[Result]:
        """See `pool.Workers.map`."""
        waiting = deque(enumerate(tasks))
        waiting.rotate(early)
        running: dict[Any, tuple[int, Any]] = {}  # what tells that a result is there -> task, worker
        done: dict[int, Result] = {}
        lost: Counter[int] = Counter()
        told = 0
        while told < len(tasks):
            while waiting and self._idle:
                number, named = waiting.popleft()
                worker = self._idle.pop()
                running[worker.run.remote(named.task)] = number, worker
            (ready, *_), _ = self._ray.wait([*running, *self._beginning], num_returns=1)
            if ready in self._beginning:
                self._take_begun(ready)
                continue
            number, worker = running.pop(ready)
            try:
                result = _checked(self._ray.get(ready), tasks[number].name)
            except self._ray.exceptions.RayError as error:
                # The process is gone, or the machine, or the result with it: the same task once more, elsewhere.
                lost[number] += 1
                if lost[number] >= _MOST_LOST:
                    raise _gone(tasks[number].name, _MOST_LOST, error) from error
                self._replace(worker)
                waiting.appendleft((number, tasks[number]))
                continue
            self._idle.append(worker)
            done[number] = result
            while told in done:
                yield done.pop(told)
                told += 1

    def each(self, task: Task) -> list[Result]:
        """See `pool.Workers.each`."""
        results = []
        for asked in [worker.run.remote(task) for worker in self._idle]:
            with suppress(self._ray.exceptions.RayError):  # a worker that is lost has nothing to tell
                results.append(self._ray.get(asked))
        return [_checked(result, str(task)) for result in results]

    def end(self) -> None:
        """Kill all workers."""
        for worker in self._alive:
            self._ray.kill(worker)

    def _add(self) -> None:
        worker = self._kind.remote()
        self._alive.append(worker)
        self._beginning[worker.begin.remote(self._start, self._plan.threads)] = worker

    def _replace(self, worker: Any) -> None:
        self._alive.remove(worker)
        self._ray.kill(worker)
        self._add()

    def _take_begun(self, ready: Any) -> None:
        worker = self._beginning.pop(ready)
        try:
            _checked(self._ray.get(ready), "starting a worker")
        except self._ray.exceptions.RayError as error:
            self._lost += 1
            if self._lost >= _MOST_LOST * self._plan.number:
                raise _gone("starting a worker", self._lost, error) from error
            self._replace(worker)
            return
        self._idle.append(worker)


def _notes(error: Exception) -> list[str]:
    return list(getattr(error, "__notes__", ()))


def _checked(result: Any, name: str) -> Any:
    if not isinstance(result, _Raised):
        return result
    if result.ours:
        raise WorkerFailed(f"{name}: {result.line}")
    raise RuntimeError(f"{name}: {result.line}\nin a worker:\n{result.trace}")


def _gone(name: str, times: int, error: Exception) -> WorkerFailed:
    reason = str(error).strip().splitlines()
    return WorkerFailed(
        f"{name}: {times} workers in turn ended while they did it ({type(error).__name__}: "
        f"{reason[0] if reason else 'no reason given'}); memory is the usual cause: take fewer --workers to a machine"
    )


@contextmanager
def _connected(ray: Any, plan: WorkerPlan) -> Iterator[None]:
    """Connected to the cluster that RAY_ADDRESS names, or to one of this machine alone, which ends with the block."""
    quiet: dict[str, Any] = {
        "include_dashboard": False, "log_to_driver": False, "configure_logging": True, "logging_level": "ERROR",
    }  # fmt: skip
    with ExitStack() as stack:
        if "RAY_ADDRESS" in os.environ:
            quiet.pop("include_dashboard")
            _check_reachable(os.environ["RAY_ADDRESS"])
            _initialised(ray, quiet)
        else:
            folder = stack.enter_context(_session_folder())
            cpus = plan.number * plan.threads
            _initialised(
                ray,
                quiet
                | {"address": "local", "num_cpus": cpus, "object_store_memory": _STORE_BYTES, "_temp_dir": folder},
            )
        stack.callback(ray.shutdown)
        if "RAY_ADDRESS" not in os.environ and plan.gpus * plan.number > (
            has := ray.cluster_resources().get("GPU", 0)
        ):
            raise WorkerFailed(
                f"{plan.number} workers with {plan.gpus:g} GPUs each are asked for, and this machine has {has:g}; "
                "take fewer --workers, or a share of a GPU for each (--gpus-per-worker 0.5)"
            )
        yield


def _check_reachable(address: str) -> None:
    """Look whether anybody answers at HOST:PORT; Ray itself tries for a quarter of an hour.

    Raises:
        WorkerFailed: Nobody does.
    """
    host, _, port = address.rpartition("://")[2].rstrip("/").rpartition(":")
    if not host or not port.isdigit():  # such as "auto": Ray finds out
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACHED_WITHIN).close()
    except (OSError, OverflowError) as error:
        raise WorkerFailed(
            f"nobody answers at RAY_ADDRESS={address} ({error}); start the cluster, correct the address, or unset it "
            "to run on this machine"
        ) from error


def _initialised(ray: Any, given: dict[str, Any]) -> None:
    try:
        ray.init(**given)
    except (ConnectionError, OSError, ValueError, RuntimeError) as error:
        where = os.environ.get("RAY_ADDRESS", "this machine")
        raise WorkerFailed(f"Ray could not be reached or started ({where}): {error}") from error


@contextmanager
def _session_folder() -> Iterator[str]:
    base = tempfile.gettempdir() if len(tempfile.gettempdir()) <= _LONGEST_FOLDER else "/tmp"  # noqa: S108
    with tempfile.TemporaryDirectory(prefix="kgedit-", dir=base, ignore_cleanup_errors=True) as folder:
        yield str(Path(folder))
