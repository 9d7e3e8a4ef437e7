"""A folder is replaced whole: whatever ends the exchange, the old one or the new one is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from kgedit.errors import SaveFailed
from kgedit.io.atomic_folder import whole_folder

MARK = "manifest.json"


def ours(folder: Path) -> set[str]:
    return {MARK} if (folder / MARK).is_file() else set()


def write(target: Path, text: str, *, force: bool = False) -> None:
    with whole_folder(target, ours, force=force) as folder:
        (folder / MARK).write_text(text)


@pytest.mark.parametrize("ends", [KeyboardInterrupt, OSError("disk gone"), SystemExit])
@pytest.mark.parametrize("rename", [1, 2])
def test_an_exchange_that_is_interrupted_leaves_the_old_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: BaseException, rename: int
) -> None:
    target = tmp_path / "export"
    write(target, "old")
    count, plain = 0, Path.rename

    def interrupted(path: Path, to: Path) -> Path:
        nonlocal count
        count += 1
        if count == rename:
            raise ends
        return plain(path, to)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises((KeyboardInterrupt, SystemExit, Exception)):
        write(target, "new")
    assert (target / MARK).read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["export"]


def test_an_interruption_right_after_the_old_folder_was_moved_away_brings_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Ctrl-C does it: the rename has happened, and the next line is never reached."""
    target = tmp_path / "export"
    write(target, "old")
    plain = Path.rename

    def moved_then_interrupted(path: Path, to: Path) -> Path:
        plain(path, to)
        monkeypatch.setattr(Path, "rename", plain)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", moved_then_interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(target, "new")
    assert (target / MARK).read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["export"]


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    link = tmp_path / "out"
    link.symlink_to(tmp_path / "disk")
    write(link, "one")
    write(link, "two")
    assert link.is_symlink()
    assert (tmp_path / "disk" / MARK).read_text() == "two"


def content(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_what_a_person_put_there_is_neither_deleted_nor_replaced(tmp_path: Path) -> None:
    target = tmp_path / "export"
    write(target, "old")
    (target / "notes").mkdir()
    (target / "notes" / "mine.txt").write_text("mine")
    (target / "empty").mkdir()
    (target / "link").symlink_to("/nowhere")
    with pytest.raises(SaveFailed, match=r"empty, link, notes/mine\.txt") as refused:
        write(target, "new")
    assert "--force" in str(refused.value)
    assert content(target) == {MARK: "old", "notes/mine.txt": "mine"}
    write(target, "new", force=True)
    assert content(target) == {MARK: "new", "notes/mine.txt": "mine"}
    assert (target / "link").is_symlink()
    assert (target / "empty").is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["export"]


def test_another_folder_and_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x").write_text("x")
    (tmp_path / "file").write_text("x")
    for name, force in (("other", False), ("file", False), ("file", True)):
        with pytest.raises(SaveFailed):
            write(tmp_path / name, "new", force=force)
    assert content(tmp_path) == {"other/x": "x", "file": "x"}
