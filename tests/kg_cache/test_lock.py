"""The lock file: one holder at a time, named to those who wait, freed by death."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from kg_cache.lock import LockTimeout, exclusive

HOLDER = """
import sys
from pathlib import Path
from kg_cache.lock import exclusive
with exclusive(Path(sys.argv[1]), timeout=1):
    print("locked", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that holds the lock until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / ".lock")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.communicate()


def test_every_waiter_is_told_who_holds_it(holder, tmp_path: Path) -> None:
    for _ in range(2):  # the first one to wait does not wipe the name out
        with pytest.raises(LockTimeout) as caught, exclusive(tmp_path / ".lock", timeout=0):
            pass
        assert caught.value.owner == str(holder.pid)


def test_a_killed_process_frees_its_lock(holder, tmp_path: Path) -> None:
    holder.kill()
    holder.wait()
    with exclusive(tmp_path / ".lock", timeout=0):
        assert (tmp_path / ".lock").read_text() == str(os.getpid())


def test_threads_of_one_process_wait_for_each_other(tmp_path: Path) -> None:
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(20):
            with exclusive(tmp_path / ".lock", timeout=60):
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_an_error_inside_frees_it(tmp_path: Path) -> None:
    with pytest.raises(KeyError), exclusive(tmp_path / ".lock", timeout=0):
        raise KeyError
    with exclusive(tmp_path / ".lock", timeout=0):
        pass


def test_a_lock_file_that_cannot_be_opened_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match="file"), exclusive(tmp_path / "file" / ".lock", timeout=0):
        pass
