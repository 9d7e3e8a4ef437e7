"""The page reference/commands.md, written from the command line itself: every command with its options."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from cells import escaped

PAGE = "reference/commands.md"
INTRO = """# Commands

What `kgedit COMMAND --help` says. Every command answers `--json` with one JSON value on stdout. Exit codes: 0 done,
1 a check that was asked for found something, 2 an [error](errors.md) that you can correct, told in one line on stderr,
130 ended by Ctrl-C.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the page to the site."""
    from kgedit.cli import app

    files.append(File.generated(config, PAGE, content=page(typer.main.get_command(app))))
    return files


def page(root: Any) -> str:
    """The page of a command line, given its root command."""
    context = root.make_context("kgedit", ["demo"])
    return INTRO + "".join(_section(words, command, context) for words, command in _commands(root, ()))


def _commands(group: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in getattr(group, "commands", {}).items():
        yield (*words, name), command
        yield from _commands(command, (*words, name))


def _section(words: tuple[str, ...], command: Any, context: Any) -> str:
    name = " ".join(("kgedit", *words))
    usage = " ".join((name, *command.collect_usage_pieces(context)))
    parts = [f"\n{'#' * (len(words) + 1)} {name}", (command.help or "").replace("\f", "").strip(), f"    {usage}"]
    return "\n\n".join([*parts, *_parameters(command, context)]) + "\n"


def _parameters(command: Any, context: Any) -> Iterator[str]:
    records = [record for parameter in command.params if (record := parameter.get_help_record(context))]
    if records:
        rows = [f"| `{names}` | {escaped(text)} |" for names, text in records]
        yield "\n".join(["| argument or option | meaning |", "|---|---|", *rows])
