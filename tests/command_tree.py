"""All commands of the command line, for tests that look at each of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import typer

from kgedit.cli import app

Words = tuple[str, ...]


@cache
def commands() -> tuple[tuple[Words, object], ...]:
    """Every command and group of the command line, with the words that name it."""
    return tuple(_below(typer.main.get_command(app), ()))


def _below(group: object, words: Words) -> Iterator[tuple[Words, object]]:
    yield words, group
    for name, command in getattr(group, "commands", {}).items():
        yield from _below(command, (*words, name))
