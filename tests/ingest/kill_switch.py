"""Run by test_consolidate: consolidates copies of a store, in processes that are killed before the n-th write each."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from itertools import count
from pathlib import Path

import pytest

from ingest.cheap import consolidate_cheaply, reopen
from ingest.test_recovery import Crash, crash_at

source, folder = Path(sys.argv[1]), Path(sys.argv[2])


def die_at(number: int) -> None:
    store, weights = reopen(folder / str(number))
    with store, crash_at(number, pytest.MonkeyPatch()):
        try:
            consolidate_cheaply(store, weights)
        except Crash:
            os.kill(os.getpid(), signal.SIGKILL)
    os._exit(0)


for number in count(1):
    shutil.copytree(source, folder / str(number))
    child = os.fork()
    if not child:
        die_at(number)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        assert os.WEXITSTATUS(status) == 0
        break
