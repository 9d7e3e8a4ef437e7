"""The list of the tab *Journal*: which changes fit a state and a search, page by page, and the one that is chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kg_cache.text import printable
from kgedit.errors import UnknownEdit
from kgedit.ingest.report.answers import answers
from kgedit.ingest.store.entry import Entry, State
from kgedit.ingest.store.store import JOURNAL
from kgedit.workbench.desk import Desk, Sitting
from kgedit.workbench.handling import attempt
from kgedit.workbench.journal_html import STATES, change_html, list_html
from kgedit.workbench.listing import Listing, labelled, reading
from kgedit.workbench.shown import told

PAGE = 50  # changes of one page of the list
EVERY = "all"


class ChangeList:
    """The fields of the list, and what they show.

    Attributes:
        asked: Fields that say which page is shown and what is chosen: state, search, page, change; and the window.
        found: The page, and the field of the chosen change.
        state: State of the changes that are listed.
        text: What is searched.
        page: Number of the page.
        change: The chosen change; its choices are the changes of the page.
        following: The button that chooses the next change that waits.
        shown: The chosen change in full.
    """

    def __init__(self, desk: Desk, sitting: Any) -> None:
        """Make the fields, inside of a page that is being built.

        Args:
            desk: What all windows share.
            sitting: The page's state of one window.
        """
        import gradio as gr

        self._desk = desk
        self._listings: dict[Path, Listing] = {}
        with gr.Row():
            self.state = gr.Dropdown([EVERY, *STATES.values()], value=EVERY, label="State")
            self.text = gr.Textbox(label="Search", placeholder="in names, evidence and reasons")
            self.page = gr.Number(value=1, minimum=1, precision=0, label="Page")
        listed = gr.HTML("")
        with gr.Row():
            self.change = gr.Dropdown(
                [], label="Change", info="Opens a change of this page of the list", value=None, scale=4
            )
            self.following = gr.Button("Next that waits", min_width=120)
        self.shown = gr.HTML("")
        self.asked = [self.state, self.text, self.page, self.change, sitting]
        self.found = [listed, self.change]

    # Runs at each key of the search, so the journal is not opened to be described.
    def update(self, state: str, text: str, page: int, chosen: int | None, sitting: Sitting) -> tuple[str, Any]:
        """What stands in `found`, given `asked`."""
        import gradio as gr

        entries: list[Entry] = []

        def work() -> str:
            if not (self._desk.folder(sitting) / JOURNAL).exists():
                return told("No changes yet: choose a feed above and receive it.")
            found = self._fitting(state, text, sitting)
            first = PAGE * (max(int(page or 1), 1) - 1)
            entries.extend(found[first : first + PAGE])
            return list_html(entries, len(found), first + 1)

        shown = attempt(work)
        still = chosen if chosen in {entry.id for entry in entries} else None
        return shown, gr.Dropdown(choices=_choices(entries), value=still)

    def next_waiting(
        self, state: str, text: str, page: int, chosen: int | None, sitting: Sitting
    ) -> tuple[Any, Any, str]:
        """The page with the next change of the list that waits, that change, and what to say if there is none."""
        import gradio as gr

        entries: list[Entry] = []

        def work() -> str:
            entries.extend(self._fitting(state, text, sitting))
            return "" if _waiting(entries) else told("No change of the list waits.")

        said = attempt(work)
        waiting = _waiting(entries)
        if not waiting:
            return gr.skip(), gr.skip(), said
        id = next((id for id in waiting if id > (chosen or 0)), waiting[0])
        first = PAGE * ([entry.id for entry in entries].index(id) // PAGE)
        return first // PAGE + 1, gr.Dropdown(choices=_choices(entries[first : first + PAGE]), value=id), said

    def meant(self, id: int | None, together: bool, state: str, text: str, sitting: Sitting) -> list[int]:
        """The chosen change, or all that wait in the list, oldest first.

        Raises:
            UnknownEdit: None is chosen, or none waits.
            JournalError, FileCorrupt: There is no store, or a damaged one.
        """
        if not together and not id:
            raise UnknownEdit("choose a change first, or tick that all of the list are meant")
        waiting = _waiting(self._fitting(state, text, sitting))
        if together and not waiting:
            raise UnknownEdit("no change of the list waits")
        return waiting if together or not id else [id]

    def show(self, id: int | None, sitting: Sitting) -> str:
        """The chosen change in full."""
        return attempt(lambda: change_page(self._desk, id, sitting)) if id else ""

    def _fitting(self, state: str, text: str, sitting: Sitting) -> list[Entry]:
        directory = self._desk.folder(sitting)
        return self._listings.setdefault(directory, Listing(directory, self._desk.graph)).fitting(state, text)


def title(entry: Entry) -> str:
    """A change as a list to choose from names it."""
    return printable(f"{entry.id}: {' | '.join(entry.change.words)} ({STATES[entry.state]})")


def change_page(desk: Desk, id: int, sitting: Sitting) -> str:
    """One change, with the answers of the unedited model and of the one with all that is in force.

    Raises:
        UnknownEdit: The journal has no such change.
        WrongBase: The store belongs to another model than the page.
    """
    with reading(desk.folder(sitting)) as store:
        (entry,), steps = labelled(desk.graph, [store.journal.entry(id)]), store.journal.steps(id)
        deltas = store.live_deltas()
    with desk.seated(sitting, edited=False) as editor:
        request, _ = editor.prepare(entry.edit)
        question = (request.question, request.target)
        (before,) = answers(editor, [question])
        with editor.trial(*deltas):
            (now,) = answers(editor, [question])
    said = {"unedited": before, "with what is in force": now}
    return change_html(entry, steps, request.question, said, [request.target])


def _choices(entries: list[Entry]) -> list[tuple[str, int]]:
    return [(title(entry), entry.id) for entry in entries]


def _waiting(entries: list[Entry]) -> list[int]:
    """Those of a list, the newest first, that wait: the oldest first."""
    return [entry.id for entry in reversed(entries) if entry.state == State.RECEIVED]
