"""All commands of the command line, for tests that look at each of them."""

from __future__ import annotations

from collections.abc import Iterator

import typer

from kgedit.cli import app


def commands(group: object = None, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """Every command and group of the command line, with the words that name it."""
    group = typer.main.get_command(app) if group is None else group
    yield words, group
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*words, name))
