"""Offers to collect second moments before the first edit of a model for which there are none."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from kgedit.cli.progress import Shown
    from kgedit.editor import Editor
    from kgedit.lm.second_moment.find import MayCollect


def offer_to_collect(editor: Editor, shown: Shown, *, yes: bool, quiet: bool = False) -> None:
    """Let the editor collect what its method needs, if the user agrees; see `may_collect`.

    Args:
        editor: Not used for an edit yet.
        shown: The progress bar.
        yes: Collect without asking.
        quiet: Do not ask.
    """
    layers = editor.moments.uncollected(editor.method.moment_layers)
    if layers and (yes or may_collect(shown, quiet=quiet)(editor.name, layers)):
        editor.moments.source = "collect"


def may_collect(shown: Shown, *, quiet: bool) -> MayCollect:
    """Asks the user whether statistics of a model's layers may be collected now.

    Where nobody can be asked (no terminal, or `--json`) the identity stands in, and the notes say so.

    Args:
        shown: The progress bar, which makes room for the question.
        quiet: Do not ask.
    """

    def asked(model: str, layers: Sequence[int]) -> bool:
        if quiet or not _can_ask():
            return False
        with shown.paused():
            return typer.confirm(
                f"Second moments of layers {list(layers)} were never collected for {model}; without them an edit "
                "harms unrelated facts more. Collect them now from the facts of the graph (minutes, once)?",
                default=True,
                err=True,
            )

    return asked


def _can_ask() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()
