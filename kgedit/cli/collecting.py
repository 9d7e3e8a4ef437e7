"""Offers to collect second moments before the first edit of a model for which there are none."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from kgedit.cli.progress import Shown
    from kgedit.editor import Editor


def offer_to_collect(editor: Editor, shown: Shown, *, yes: bool, quiet: bool = False) -> None:
    """Let the editor collect what its method needs, if the user agrees.

    Where nobody can be asked (no terminal, or `--json`) the identity stands in, and the edit's notes say so.

    Args:
        editor: Not used for an edit yet.
        shown: The progress bar, which makes room for the question.
        yes: Collect without asking.
        quiet: Do not ask.
    """
    layers = editor.moments.uncollected(editor.method.moment_layers)
    if not layers:
        return
    if not yes:
        if quiet or not _can_ask():
            return
        with shown.paused():
            yes = typer.confirm(
                f"Second moments of layers {layers} were never collected for {editor.name}; without them an edit "
                "harms unrelated facts more. Collect them now from the facts of the graph (minutes, once)?",
                default=True,
                err=True,
            )
    if yes:
        editor.moments.source = "collect"


def _can_ask() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()
