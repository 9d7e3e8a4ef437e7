"""The command line, `kgedit COMMAND`: one module of this package for each command or group of commands.

The modules of this package import no heavy library at the top: torch and transformers are imported inside the commands
that need them, so that every `--help` answers at once.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from kgedit import __version__
from kgedit.cli import (
    ask,
    attribute,
    demo,
    edit,
    eval,
    export,
    graph,
    ingest,
    journal,
    locate,
    mini,
    models,
    moments,
    relations,
    train_editor,
    tune,
    workbench,
)
from kgedit.cli.output import error_line, write_error

app = typer.Typer(
    name="kgedit",
    help="Changes facts inside a language model, and carries each change through to what follows from it.",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help texts: drawing boxes would take a third of the start-up time
)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"kgedit {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options that stand before the command."""


app.command("demo")(demo.demo)
app.command("edit")(edit.edit)
app.command("ask")(ask.ask)
app.command("attribute")(attribute.attribute)
app.command("locate")(locate.locate)
app.command("moments")(moments.moments)
app.command("relations")(relations.relations)
app.command("tune")(tune.tune)
app.command("train-editor")(train_editor.train_editor)
app.command("workbench")(workbench.workbench)
app.add_typer(eval.app, name="eval")
app.add_typer(export.app, name="export")
app.add_typer(graph.app, name="graph")
app.add_typer(ingest.app, name="ingest")
app.add_typer(journal.app, name="journal")
app.add_typer(mini.app, name="mini")
app.add_typer(models.app, name="models")


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits: 0 done, 2 an error that the user can fix (one line on stderr).

    Args:
        arguments: The words after `kgedit`; those of the process by default. Without any, the help is shown.

    Raises:
        SystemExit: Always.
    """
    if not logging.getLogger().handlers:
        # Without a handler, Python writes the log of libraries to stderr, between our lines.
        logging.getLogger().addHandler(logging.NullHandler())
    # A daemon may start us with stdout or stderr closed, which Python gives as None; no file may get their number.
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 (open to the end)
    words = sys.argv[1:] if arguments is None else arguments
    try:
        code = app(words or ["--help"], prog_name="kgedit", standalone_mode=False)
    except Exception as error:
        line = error_line(error)
        if line is None:
            raise
        write_error(line, as_json="--json" in words)
        code = 2
    raise SystemExit(code or 0)
