"""Files are wholly there or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kgedit.errors import SaveFailed
from kgedit.io.atomic_files import is_plain_name, write_files


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_files_are_written_and_replaced(tmp_path) -> None:
    write_files(tmp_path / "a" / "b", {"x": b"1", "y": b"2"})
    write_files(tmp_path / "a" / "b", {"x": b"3"})
    assert files(tmp_path / "a" / "b") == {"x": b"3", "y": b"2"}


@pytest.mark.parametrize("failing", range(1, 12))
def test_whichever_call_of_the_system_fails_no_file_is_half_there(tmp_path, monkeypatch, failing) -> None:
    """Every write, flush, chmod and rename in turn; also between two renames each file is a whole one."""
    folder = tmp_path / "folder"
    write_files(folder, {"x": b"old x", "y": b"old y"})
    calls = 0

    def failing_after(real):
        def call(*args, **kwargs):
            nonlocal calls
            calls += 1
            if calls == failing:
                raise OSError(28, "No space left on device")
            return real(*args, **kwargs)

        return call

    for owner, name in [(os, "fsync"), (os, "fdopen"), (Path, "replace"), (Path, "chmod"), (Path, "mkdir")]:
        monkeypatch.setattr(owner, name, failing_after(getattr(owner, name)))
    total = 10  # mkdir, twice (open, flush, chmod), two renames, one flush of the folder
    if failing > total:
        write_files(folder, {"x": b"new x", "y": b"new y"})
        assert calls == total
        return
    with pytest.raises(SaveFailed, match="No space left on device"):
        write_files(folder, {"x": b"new x", "y": b"new y"})
    found = files(folder)
    assert set(found) == {"x", "y"}
    if failing <= 8:
        assert found == {"x": b"old x", "y": b"old y"}
    elif failing == 9:
        assert found == {"x": b"new x", "y": b"old y"}  # what makes files valid goes last


def test_an_interrupt_is_passed_on_and_cleans_up(tmp_path, monkeypatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_files(tmp_path / "new", {"x": b"1"})
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", "a\\b", "C:a", "a\0", "a\nb", "a*"])
def test_names_that_leave_the_folder(tmp_path, name) -> None:
    assert not is_plain_name(name)
    with pytest.raises(ValueError, match="plain file name"):
        write_files(tmp_path / "new", {name: b"1"})
    assert not (tmp_path / "new").exists()


def test_permissions_follow_the_umask(tmp_path) -> None:
    mask = os.umask(0o027)
    try:
        write_files(tmp_path, {"x": b"1"})
        assert os.umask(0o027) == 0o027  # not left changed
    finally:
        os.umask(mask)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o640
