"""Workers on Ray: results in order, the task of a lost worker done again, errors told with their task."""

from __future__ import annotations

import os
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from kgedit.errors import MissingExtra, SettingError, WorkerFailed
from kgedit.workers.pool import NamedTask, WorkerPlan
from kgedit.workers.ray_workers import ray_workers


@dataclass(frozen=True)
class Doubling:
    """Doubles numbers; dies once at 3, raises at a text."""

    folder: Path

    def __call__(self):
        return self.double

    def double(self, task: int | str) -> tuple[int, int]:
        if isinstance(task, str):
            raise SettingError("no such number") if task == "ours" else KeyError(task)
        if task == 3 and not (self.folder / "died").exists():
            (self.folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        with (self.folder / "begun").open("a") as begun:
            begun.write(f"{task}\n")
        time.sleep(0.2 if task == 0 else 0)
        return 2 * task, os.getpid()


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.timeout(300)
def test_a_lost_worker_is_replaced_and_results_keep_their_order(tmp_path: Path) -> None:
    ray = pytest.importorskip("ray", reason="Ray is not installed (the extra `ray`)")
    with ray_workers(Doubling(tmp_path), WorkerPlan(2)) as workers:
        found = list(workers.map([NamedTask(f"number {n}", n) for n in range(8)]))
        assert [value for value, _ in found] == [2 * n for n in range(8)]
        assert (tmp_path / "died").exists()
        (tmp_path / "begun").unlink()
        assert [value for value, _ in workers.map([NamedTask(f"number {n}", n) for n in range(8)], early=1)] == [
            2 * n for n in range(8)
        ]
        assert "7" in (tmp_path / "begun").read_text().split()[:2]  # two workers, of which one begins with the last
        assert len({process for _, process in workers.each(1)}) in (1, 2)
        with pytest.raises(WorkerFailed, match=r"the third: no such number"):
            list(workers.map([NamedTask("the third", "ours")]))
        with pytest.raises(RuntimeError, match=r"(?s)the fourth: KeyError: 'odd'.*in a worker.*double"):
            list(workers.map([NamedTask("the fourth", "odd")]))
    assert not ray.is_initialized()
    assert "RAY_USAGE_STATS_ENABLED" not in os.environ
    # Ray ends its workers while it shuts down, and a busy machine takes a while for that.
    end = time.monotonic() + 60
    while (left := [process for _, process in found if _lives(process)]) and time.monotonic() < end:
        time.sleep(0.1)
    assert not left


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"kgedit\[ray\]"), ray_workers(Doubling(tmp_path), WorkerPlan(2)):
        pass


def test_a_cluster_that_does_not_answer_is_told_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed (the extra `ray`)")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        told = pytest.raises(WorkerFailed, match=f"nobody answers at RAY_ADDRESS={address}")
        with told, ray_workers(Doubling(tmp_path), WorkerPlan(2)):
            pass
