"""Which store a window works with: the one that the page was started with, or a folder that is named in the page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from kgedit.errors import JournalError
from kgedit.ingest.store.store import JOURNAL, open_store
from kgedit.lm.base_name import from_anywhere
from kgedit.workbench.desk import Desk, Sitting
from kgedit.workbench.handling import attempt, named_path
from kgedit.workbench.shown import told


def default_store(model: str) -> Path:
    """Where changes are kept if no folder is named: in the working directory, under the model's name."""
    return Path.cwd() / f"kgedit-store-{re.sub('[^A-Za-z0-9.]+', '-', Path(model).name).strip('-.') or 'model'}"


def store_picker(desk: Desk, sitting: Any) -> tuple[Any, Any]:
    """The fields; made inside of a page that is being built.

    Args:
        desk: What all windows share.
        sitting: The page's state of one window.

    Returns:
        The event that another folder was opened, and what tells which store is open.
    """
    import gradio as gr

    with gr.Row():
        folder = gr.Textbox(
            str(desk.store), label="Folder of the store", scale=4, interactive=desk.own_machine,
            info="Where received changes and all that becomes of them are kept; it need not be there yet",
        )  # fmt: skip
        opening = gr.Button("Open this folder", visible=desk.own_machine, min_width=120)
    about = gr.HTML("")

    def open_it(folder: str, sitting: Sitting) -> str:
        def work() -> str:
            if not folder.strip():
                raise JournalError("name a folder; it need not be there yet")
            path = named_path(folder).absolute()
            said = told(described(path, desk.model))
            sitting.store = path
            return said

        return attempt(work)

    opened = gr.on(
        [opening.click, folder.submit], open_it, [folder, sitting], about,
        queue=False, show_progress="hidden", api_visibility="private",
    )  # fmt: skip
    return opened, about


def described(store: Path, model: str) -> str:
    """What is in the folder, and what can be done with it.

    Args:
        store: The folder.
        model: Name of the model of the page.

    Raises:
        JournalError, FileCorrupt: It is a file, or holds a damaged journal.
    """
    if store.is_file():
        raise JournalError(f"{store} is a file; a store is a folder")
    if not (store / JOURNAL).exists():
        there = "holds no changes yet" if store.is_dir() else "is not there yet"
        return f"{store} {there}: it becomes a store with the first feed that is received."
    with open_store(store) as opened:
        number, of = sum(opened.journal.counts().values()), opened.model
    held = f"{store} holds {number} change{'' if number == 1 else 's'} of the model {of}."
    if from_anywhere(of) == from_anywhere(model):
        return held
    return (
        f"{held} This page has the model {model}: changes can be read, refused and undone here, but not asked. "
        "To see their effect, end the page and begin it again with kgedit workbench --store and this folder."
    )
