"""What a killed process left is swept away by the next one, what a living one is making stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kgedit.io.atomic_files import write_files
from kgedit.io.atomic_folder import foreign

ROOT = Path(__file__).resolve().parents[2]
CHILD = """
import os, sys, time
from pathlib import Path
from kgedit.io.{module} import {writer}

def stop(*_):
    print("now", flush=True)
    time.sleep(100)

{body}
"""
FILES = """
def pieces():
    yield b"half"
    stop()
write_files(Path(sys.argv[1]), {"x": pieces()})
"""
FOLDER = """
with whole_folder(Path(sys.argv[1]) / "export", lambda folder: {"x"}) as folder:
    (folder / "x").write_text("new")
    Path.rename, plain = (lambda path, to: (plain(path, to), stop())), Path.rename
"""


def stopped_in_the_middle(directory: Path, module: str, writer: str, body: str) -> subprocess.Popen[str]:
    code = CHILD.replace("{module}", module).replace("{writer}", writer).replace("{body}", body)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(
        [sys.executable, "-c", code, directory], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "now\n"
    return child


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_living_process_is_left_in_peace_and_a_killed_one_swept_up(tmp_path: Path) -> None:
    child = stopped_in_the_middle(tmp_path, "atomic_files", "write_files", FILES)
    try:
        write_files(tmp_path, {"y": b"1"})
        assert len(names(tmp_path)) == 2, "the folder of the living process"
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert len(names(tmp_path)) == 2
    write_files(tmp_path, {"y": b"2"})
    assert names(tmp_path) == ["y"]


def test_a_kill_between_two_renames_loses_no_folder(tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "x").write_text("old")
    child = stopped_in_the_middle(tmp_path, "atomic_folder", "whole_folder", FOLDER)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert "export" not in names(tmp_path)
    assert foreign(tmp_path / "export", lambda _: set(), force=True) == [Path("x")], (
        "found before anything is replaced"
    )
    assert (tmp_path / "export" / "x").read_text() == "old"
    assert names(tmp_path) == ["export"]


@pytest.mark.parametrize("name", [".kgedit-x.part", ".kgedit", ".x.part", ".export.abc123"])
def test_only_our_own_leftovers_are_swept(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("a file of this name is nobody's staging folder")
    write_files(tmp_path, {"y": b"1"})
    assert names(tmp_path) == sorted([name, "y"])
