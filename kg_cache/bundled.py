"""The snapshot that comes with the package, as a store: built on first use into the cache folder."""

from __future__ import annotations

import gzip
import hashlib
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from kg_cache.checksum import is_damaged, is_sealed, seal, unseal
from kg_cache.database import SCHEMA_VERSION
from kg_cache.errors import StoreCorrupt, StoreError, StoreLocked
from kg_cache.graph import Entity, Relation, Triple
from kg_cache.lock import LockTimeout, exclusive
from kg_cache.settings import Settings
from kg_cache.store import Store

SNAPSHOT = Path(__file__).parent / "snapshot"
_LONGEST_BUILD = 120.0  # seconds that another process is waited for


def bundled_store(cache_dir: Path | None = None, *, snapshot: Path = SNAPSHOT) -> Store:
    """The bundled slice of Wikidata, read-only.

    The first call builds `snapshot-<hash>.sqlite` in a temporary file and renames it, one process at a time. A file
    that does not have the checksum beside it is moved aside and built again, with a warning.

    Args:
        cache_dir: Folder for the built store; the cache folder of the settings if not given.
        snapshot: Folder with entities.tsv, relations.tsv and triples.tsv.

    Raises:
        StoreError: The cache folder cannot be written, and holds no whole store.
        StoreFull: There is no space for the store (about 15 MB).
    """
    folder = cache_dir or Settings().cache_dir
    digest = snapshot_hash(snapshot)
    path = folder / f"snapshot-{digest[:12]}.sqlite"
    source = f"snapshot {digest}"
    if not path.exists():
        _build_alone(snapshot, path, source)
    elif not is_sealed(path):  # of an earlier version, or copied without its checksum
        with suppress(StoreError):  # in a folder that cannot be written it is read as it is
            _build_alone(snapshot, path, source)
    try:
        return Store(path, read_only=True, name=path.stem)
    except StoreCorrupt as error:
        warnings.warn(f"{error}. It is built anew now", stacklevel=2)
        _build_alone(snapshot, path, source)
    return Store(path, read_only=True, name=path.stem)


def snapshot_hash(snapshot: Path = SNAPSHOT) -> str:
    """SHA-256 over the snapshot's tables and the store version."""
    digest = hashlib.sha256(f"version {SCHEMA_VERSION}\n".encode())
    for table in ("entities", "relations", "triples"):
        digest.update(f"{table}\n".encode())
        digest.update(_read(snapshot, table))
    return digest.hexdigest()


def _build_alone(snapshot: Path, path: Path, source: str) -> None:
    """Build the file, unless another process has done so meanwhile; a damaged one is moved aside."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(path.with_suffix(".lock"), timeout=_LONGEST_BUILD):
            if is_sealed(path) and not is_damaged(path):
                return
            if is_damaged(path):
                path.replace(path.with_suffix(".damaged"))
            unseal(path)
            _build(snapshot, path, source)
            seal(path)
    except LockTimeout as error:
        raise StoreLocked(f"process {error.owner} is building {path}; let it finish") from error
    except OSError as error:
        raise StoreError(
            f"cannot write to {path.parent} ({error}); set KGEDIT_CACHE_DIR to a writable folder"
        ) from error


def _build(snapshot: Path, path: Path, source: str) -> None:
    handle, name = tempfile.mkstemp(prefix=path.stem, suffix=".partial", dir=path.parent)
    os.close(handle)
    partial = Path(name)
    try:
        with Store(partial, wal=False) as store:
            store.add(
                (Triple(*row) for row in _rows(snapshot, "triples")),
                (_entity(*row) for row in _rows(snapshot, "entities")),
                source,
                relations=(Relation(id=row[0], label=row[1]) for row in _rows(snapshot, "relations")),
            )
        partial.replace(path)
    finally:
        for leftover in path.parent.glob(f"{partial.name}*"):
            with suppress(OSError):
                leftover.unlink()


def _entity(id: str, label: str, aliases: str = "") -> Entity:
    return Entity.model_construct(id=id, label=label, aliases=tuple(filter(None, aliases.split("|"))))


def _rows(snapshot: Path, table: str) -> Iterator[list[str]]:
    for line in _read(snapshot, table).decode("utf-8").split("\n"):
        if line:
            yield line.split("\t")


def _read(snapshot: Path, table: str) -> bytes:
    packed = snapshot / f"{table}.tsv.gz"
    return gzip.decompress(packed.read_bytes()) if packed.exists() else (snapshot / f"{table}.tsv").read_bytes()
