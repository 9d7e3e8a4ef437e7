"""Where a command reads its texts from: a file, a folder of them, or a data set on the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import typer

from kgedit.evaluate.benchmarks.hub import HubId, parse_id, rows

_ENDINGS = (".txt", ".md", ".text")
_COLUMN = "text"


class Passages:
    """The passages of a text; read anew each time they are gone through."""

    def __init__(self, source: str, option: str = "--text") -> None:
        """Look at the source.

        Args:
            source: A UTF-8 file with one passage per line; a folder, whose text files are read in the order of their
                names; or the id of a data set with a column "text", see `hub.HubId`.
            option: The option that gave it, for messages.

        Raises:
            typer.BadParameter: It is none of these.
        """
        self.files: list[Path] = []
        self._option = option
        self._hub: HubId | None = None
        path = Path(source)
        if path.is_dir():
            self.files = sorted(file for file in path.rglob("*") if file.is_file() and file.suffix in _ENDINGS)
            if not self.files:
                raise typer.BadParameter(f"{path} holds no text file ({', '.join(_ENDINGS)})", param_hint=option)
        elif path.is_file():
            self.files = [path]
        else:
            self._hub = parse_id(source)
            if self._hub is None:
                raise typer.BadParameter(
                    f"{source!r} is no file or folder here, and no data set such as owner/name:config#split",
                    param_hint=option,
                )

    def __iter__(self) -> Iterator[str]:
        """The passages, without empty ones."""
        texts: Iterable[str] = (
            self._column(self._hub) if self._hub else chain.from_iterable(map(self._lines, self.files))
        )
        yield from (passage for text in texts if (passage := text.strip()))

    def _lines(self, path: Path) -> Iterator[str]:
        with path.open(encoding="utf-8-sig") as file:
            try:
                yield from file
            except UnicodeDecodeError as error:
                raise typer.BadParameter(f"{path} is no UTF-8 text ({error})", param_hint=self._option) from error

    def _column(self, wanted: HubId) -> Iterator[str]:
        for row in rows(wanted):
            if not isinstance(row.get(_COLUMN), str):
                columns = ", ".join(row)
                raise typer.BadParameter(
                    f"{wanted.name} has no column {_COLUMN!r} with text (it has {columns}); write the texts into a "
                    "file",
                    param_hint=self._option,
                )
            yield row[_COLUMN]


@dataclass(frozen=True)
class PassageSource:
    """What second moments are collected over: texts of the model's own making, then a text or the facts of a graph.

    Attributes:
        given: The text; the facts of the graph without one.
        graph: File of the graph; the bundled slice by default.
        sampled: How many texts the model samples itself.
    """

    given: Passages | None
    graph: Path | None
    sampled: int

    def __call__(self, model: Any, tokenizer: Any) -> Callable[[], Iterable[str]]:
        """What gives the passages, each time from the beginning."""
        from kg_cache.bundled import bundled_store
        from kg_cache.store import Store
        from kgedit.graph.passages import fact_passages
        from kgedit.graph.verbalize import Verbalizer
        from kgedit.lm.generation.sampling import sample_texts
        from kgedit.lm.prefixes import SEEDS

        opened = None
        if self.given is None:
            opened = bundled_store() if self.graph is None else Store.open(self.graph, read_only=True)
        elif self.graph is not None:
            raise typer.BadParameter(
                "the facts of a graph are read in the place of a text; leave --text or --graph out"
            )
        seeds = [SEEDS[i % len(SEEDS)] for i in range(self.sampled)]
        own = sample_texts(model, tokenizer, seeds) if seeds else []

        def passages() -> Iterable[str]:
            yield from own
            yield from fact_passages(opened, Verbalizer.bundled()) if opened is not None else self.given or ()

        return passages
