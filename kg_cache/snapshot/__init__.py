"""The bundled slice of Wikidata as text; README.md tells where it is from."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources


def rows(name: str) -> Iterator[list[str]]:
    """Read one table of the snapshot.

    Args:
        name: "entities" (id, label, aliases joined by a bar, if any), "relations" (id, label) or "triples".
    """
    with resources.files(__name__).joinpath(f"{name}.tsv").open(encoding="utf-8") as lines:
        for line in lines:
            yield line.rstrip("\n").split("\t")


def labels() -> dict[str, str]:
    """Item id -> its label."""
    return {id: label for id, label, *_ in rows("entities")}
