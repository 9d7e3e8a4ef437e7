"""Options that several commands share, with the same name, help text and checks everywhere."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

# Whole numbers beyond these are refused on the command line: a generator, SQLite or an index takes 64 bits at most.
MOST, MOST_SEED = 10**9, 2**32 - 1

# Bytes 68 to 71 of an SQLite file hold an id that says what application it belongs to.
_SQLITE = b"SQLite format 3\x00"
_KINDS = {b"kgca": "a knowledge graph", b"kgjr": "a journal"}


def sqlite_kind(path: Path) -> str | None:
    """What a file holds, told by its header: "a knowledge graph", "a journal", or None for anything else."""
    try:
        with path.open("rb") as file:
            header = file.read(72)
    except OSError:
        return None
    return _KINDS.get(header[68:72]) if header.startswith(_SQLITE) else None


def graph_file(path: Path | None) -> Path | None:
    """Refuses a journal, or a folder, where a graph is meant.

    Raises:
        typer.BadParameter: The path is a folder or the file of a journal.
    """
    if path is None:
        return None
    if (path / "journal.sqlite").is_file():
        raise typer.BadParameter(
            f"{path} is a folder with a journal (what --store takes); --graph takes a SQLite file of facts, "
            "as `kgedit graph fetch` or `kgedit graph import` writes it"
        )
    if path.is_dir():
        raise typer.BadParameter(f"{path} is a folder; --graph takes a SQLite file of facts")
    if sqlite_kind(path) == "a journal":
        raise typer.BadParameter(
            f"{path} is a journal; --graph takes a SQLite file of facts, and --store the folder of a journal"
        )
    return path


def store_folder(path: Path | None) -> Path | None:
    """Refuses a graph, or any other file, where a folder with a journal is meant.

    Raises:
        typer.BadParameter: The path is a file.
    """
    if path is None or not path.is_file():
        return path
    held = sqlite_kind(path)
    if held == "a journal":
        raise typer.BadParameter(f"{path} is the journal itself; --store takes its folder, {path.parent}")
    if held is not None:
        raise typer.BadParameter(
            f"{path} is {held} (what --graph takes); --store takes the folder that `kgedit ingest run` wrote"
        )
    raise typer.BadParameter(f"{path} is a file; --store takes the folder that `kgedit ingest run` wrote")


AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Model = Annotated[
    str,
    typer.Option(
        "--model", help="mini (bundled), smollm2 (see `kgedit models`), a GGUF file, a folder, or a Hugging Face id."
    ),
]
Chat = Annotated[
    Literal["auto", "always", "never"],
    typer.Option(help="Make edits hold in the model's chat form, too: auto where it has a chat template."),
]
StoreChat = Annotated[
    Literal["auto", "always", "never"] | None,
    typer.Option(
        "--chat",
        help="Make changes hold in the model's chat form, too; as the store notes it, at first never.",
    ),
]
System = Annotated[str | None, typer.Option(help="System prompt of the chat; the template's own by default.")]
Method = Annotated[
    str,
    typer.Option("--method", help="Method and settings: rome:layer=2, memit:layers=1-3; see `kgedit models`."),
]
Graph = Annotated[
    Path | None,
    typer.Option(
        "--graph", callback=graph_file, help="SQLite file of facts; the bundled slice of Wikidata by default."
    ),
]
Store = Annotated[
    Path,
    typer.Option(
        "--store", callback=store_folder, help="Folder with the journal and its deltas; `ingest run` makes it."
    ),
]
Moments = Annotated[
    str | None,
    typer.Option(
        "--moments",
        help='Second moments of the keys: a folder that `kgedit moments` wrote, "identity", or "collect" (from the '
        "graph's facts, once, where nothing was collected); by default what was collected.",
    ),
]


def moments_source(given: str | None) -> Literal["auto", "collect", "identity"] | Path:
    """The editor's argument `moments` for a value of `--moments`."""
    if given is None:
        return "auto"
    if given == "identity":
        return "identity"
    return "collect" if given == "collect" else Path(given)


Force = Annotated[
    bool,
    typer.Option("--force", help="Write over files of the same names that are there; all others stay as they are."),
]


class GuardMode(StrEnum):
    """What happens to a change that fails a guard."""

    REFUSE = "refuse"
    WARN = "warn"


GuardOption = Annotated[
    GuardMode,
    typer.Option(
        "--guard", help="What happens to a change that fails a guard: it is refused, or accepted with a warning."
    ),
]
