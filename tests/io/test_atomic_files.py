"""Files are wholly there or not at all."""

from __future__ import annotations

import os
import tempfile
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


def failing_call(patch: pytest.MonkeyPatch, number: int) -> list[str]:
    """Let the n-th write, flush, rename or new folder fail; returns the names of the calls made."""
    calls: list[str] = []

    def counted(name, real):
        def call(*args, **kwargs):
            calls.append(name)
            if len(calls) == number:
                raise OSError(28, "No space left on device")
            return real(*args, **kwargs)

        return call

    for owner, name in [(os, "fsync"), (Path, "open"), (Path, "replace"), (Path, "mkdir"), (tempfile, "mkdtemp")]:
        patch.setattr(owner, name, counted(name, getattr(owner, name)))
    return calls


def test_whichever_call_of_the_system_fails_no_file_is_half_there(tmp_path, monkeypatch) -> None:
    """Also between two renames each file is a whole one."""
    with monkeypatch.context() as patch:
        calls = failing_call(patch, 0)
        write_files(tmp_path / "calm", {"x": b"new x", "y": b"new y"})
    assert calls.count("replace") == 2
    folder = tmp_path / "folder"
    write_files(folder, {"x": b"old x", "y": b"old y"})
    for number in range(1, 30):
        write_files(folder, {"x": b"old x", "y": b"old y"})
        told = ""
        with monkeypatch.context() as patch:
            calls = failing_call(patch, number)
            try:
                write_files(folder, {"x": b"new x", "y": b"new y"})
            except SaveFailed as error:
                told = str(error)
        if not told:
            assert files(folder) == {"x": b"new x", "y": b"new y"}
            if len(calls) < number:
                return
            continue
        assert "No space left on device" in told
        found, renamed = files(folder), calls.count("replace") - (calls[-1] == "replace")
        assert set(found) == {"x", "y"}, f"call {number}, {calls[-1]}"
        assert found == {"x": b"new x" if renamed > 0 else b"old x", "y": b"new y" if renamed > 1 else b"old y"}
    pytest.fail("it never succeeded")


def test_a_new_folder_is_flushed_to_the_disk_with_those_above_it(tmp_path, monkeypatch) -> None:
    flushed, plain = [], os.fsync

    def fsync(handle: int) -> None:
        flushed.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        plain(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    write_files(tmp_path / "deltas" / "id", {"x": b"1"})
    assert {str(tmp_path), str(tmp_path / "deltas"), str(tmp_path / "deltas" / "id")} <= set(flushed)


def test_a_file_that_is_a_link_stays_one(tmp_path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "page").write_bytes(b"old")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report").symlink_to(tmp_path / "site" / "page")
    write_files(tmp_path / "out", {"report": b"new"})
    assert (tmp_path / "out" / "report").is_symlink()
    assert (tmp_path / "site" / "page").read_bytes() == b"new"


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
