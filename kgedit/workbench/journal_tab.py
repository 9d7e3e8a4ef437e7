"""The tab *Journal*: every change of a store, its review, undo and its effect on what the model answers."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kg_cache.text import printable
from kgedit.errors import UnknownEdit
from kgedit.ingest.exports.write import export
from kgedit.ingest.maintenance import undo
from kgedit.ingest.report.answers import answers
from kgedit.ingest.report.build import build_report
from kgedit.ingest.report.html import to_html
from kgedit.ingest.review import accept, receive, refuse
from kgedit.ingest.store.entry import Entry, State
from kgedit.ingest.store.store import JOURNAL
from kgedit.workbench.desk import Desk, Sitting, stoppable
from kgedit.workbench.handling import MODEL, attempt, on_page, queued, stops
from kgedit.workbench.journal_html import STATES, change_html, list_html, plan_html
from kgedit.workbench.listing import Listing, labelled, reading
from kgedit.workbench.shown import framed, told
from kgedit.workbench.store_picker import described, store_picker

PAGE = 50  # changes of one page of the list
EVERY = "all"
_ENDINGS = [".jsonl", ".ndjson", ".json", ".csv", ".tsv"]
_FEED = (
    'One change a line: {"subject": "Albert Einstein", "relation": "country of citizenship", "target_new": "France"}; '
    "or a table with these names in its first line. What is received waits for your decision."
)
KINDS = {"LoRA adapter": "adapter", "delta": "delta"}


def journal_tab(desk: Desk, tab: Any, sitting: Any) -> None:
    """Build the tab.

    Args:
        desk: What all windows share.
        tab: The tab, whose opening shows the list.
        sitting: The page's state of one window.
    """
    import gradio as gr

    listings: dict[Path, Listing] = {}
    opened, about = store_picker(desk, sitting)
    with gr.Accordion("Receive changes for review", open=not (desk.store / JOURNAL).exists()):
        gr.HTML(told(_FEED), padding=False)
        feed = gr.File(label="A feed of changes (JSON lines, JSON or CSV)", file_types=_ENDINGS, height=120)
        with gr.Row():
            receiving, stop_receiving = gr.Button("Receive for review"), gr.Button("Stop receiving")
        received = gr.HTML("")
    with gr.Row():
        state = gr.Dropdown([EVERY, *STATES.values()], value=EVERY, label="State")
        text = gr.Textbox(label="Search", placeholder="in names, evidence and reasons")
        page = gr.Number(value=1, minimum=1, precision=0, label="Page")
    listed = gr.HTML("")
    with gr.Row():
        change = gr.Dropdown([], label="Change", info="Opens a change of this page of the list", value=None, scale=4)
        following = gr.Button("Next that waits", min_width=120)
    shown = gr.HTML("")
    with gr.Row():
        together = gr.Checkbox(label="Accept or refuse all of the list that wait, not the chosen change alone")
        warned = gr.Checkbox(label="Accept also what the guards speak against, with a warning")
    why = gr.Textbox(label="Why it is refused (optional)")
    with gr.Row():
        accepting, refusing = gr.Button("Accept", variant="primary"), gr.Button("Refuse")
        undoing, stop = gr.Button("Undo"), gr.Button("Stop")
    outcome = gr.HTML("")
    with gr.Row():
        kind = gr.Dropdown(list(KINDS), value=next(iter(KINDS)), label="Export as")
        exporting, reporting = gr.Button("Export what is in force"), gr.Button("Report: ask every change")
    exported, problem = gr.File(label="Exported", visible=False), gr.HTML("")
    report = gr.HTML("")

    def fitting(sitting: Sitting, state: str, text: str) -> list[Entry]:
        directory = desk.folder(sitting)
        return listings.setdefault(directory, Listing(directory, desk.graph)).fitting(state, text)

    def tell_store(sitting: Sitting) -> str:
        return attempt(lambda: told(described(desk.folder(sitting), desk.model)))

    # Runs at each key of the search, so the journal is not opened to be described.
    def list_them(state: str, text: str, page: int, chosen: int | None, sitting: Sitting) -> tuple[str, Any]:
        entries: list[Entry] = []
        directory = desk.folder(sitting)

        def work() -> str:
            if not (directory / JOURNAL).exists():
                return told("No changes yet: choose a feed above and receive it.")
            found = fitting(sitting, state, text)
            first = PAGE * (max(int(page or 1), 1) - 1)
            entries.extend(found[first : first + PAGE])
            return list_html(entries, len(found), first + 1)

        shown = attempt(work)
        still = chosen if chosen in {entry.id for entry in entries} else None
        return shown, gr.Dropdown(choices=[(title(entry), entry.id) for entry in entries], value=still)

    def meant(id: int | None, together: bool, state: str, text: str, sitting: Sitting) -> list[int]:
        """The chosen change, or all that wait in the list, oldest first."""
        if not together and not id:
            raise UnknownEdit("choose a change first, or tick that all of the list are meant")
        waiting = [entry.id for entry in fitting(sitting, state, text) if entry.state == State.RECEIVED]
        if together and not waiting:
            raise UnknownEdit("no change of the list waits")
        return waiting[::-1] if together or not id else [id]

    def next_waiting(state: str, text: str, page: int, chosen: int | None, sitting: Sitting) -> tuple[Any, Any, str]:
        entries: list[Entry] = []

        def work() -> str:
            entries.extend(fitting(sitting, state, text))
            return (
                "" if any(entry.state == State.RECEIVED for entry in entries) else told("No change of the list waits.")
            )

        said = attempt(work)
        waiting = [entry.id for entry in reversed(entries) if entry.state == State.RECEIVED]
        if not waiting:
            return gr.skip(), gr.skip(), said
        id = next((id for id in waiting if id > (chosen or 0)), waiting[0])
        first = PAGE * ([entry.id for entry in entries].index(id) // PAGE)
        choices = [(title(entry), entry.id) for entry in entries[first : first + PAGE]]
        return first // PAGE + 1, gr.Dropdown(choices=choices, value=id), said

    def show(id: int | None, sitting: Sitting) -> str:
        return attempt(lambda: change_page(desk, id, sitting)) if id else ""

    def undo_it(id: int | None, sitting: Sitting, progress: Any = gr.Progress()) -> str:  # noqa: B008
        def work() -> str:
            (chosen,) = meant(id, False, EVERY, "", sitting)
            undo(desk.folder(sitting), chosen, progress=stoppable(sitting, on_page(progress)), **desk.loading)
            return told(f"Change {chosen} is undone; the weights are those that the remaining changes give.")

        return attempt(work)

    def accept_it(
        id: int | None, together: bool, state: str, text: str, warned: bool, sitting: Sitting,
        progress: Any = gr.Progress(),  # noqa: B008
    ) -> str:  # fmt: skip
        def work() -> str:
            decided = accept(
                desk.folder(sitting), meant(id, together, state, text, sitting), method=desk.journal_method,
                guard="warn" if warned else "refuse", moments=desk.moments,
                progress=stoppable(sitting, on_page(progress)), **desk.loading,
            )  # fmt: skip
            return told(decided_in_words(decided))

        return attempt(work)

    def refuse_it(id: int | None, together: bool, state: str, text: str, why: str, sitting: Sitting) -> str:
        def work() -> str:
            ids = meant(id, together, state, text, sitting)
            refuse(desk.folder(sitting), ids, why)
            return told(f"Change {ids[0]} is refused." if len(ids) == 1 else f"{len(ids)} changes are refused.")

        return attempt(work)

    def receive_it(feed: str | None, sitting: Sitting, progress: Any = gr.Progress()) -> str:  # noqa: B008
        def work() -> str:
            if feed is None:
                raise UnknownEdit("no file is chosen; choose a feed of changes first")
            plan = receive(
                desk.folder(sitting), feed, model=desk.model, method=desk.journal_method, graph=desk.graph_file,
                moments=desk.moments, progress=stoppable(sitting, on_page(progress)), **desk.loading,
            )  # fmt: skip
            return plan_html(plan)

        return attempt(work)

    def report_it(sitting: Sitting, progress: Any = gr.Progress()) -> str:  # noqa: B008
        def work() -> str:
            told_by = stoppable(sitting, on_page(progress))
            return framed(
                to_html(build_report(desk.folder(sitting), progress=told_by, **desk.loading)), "Report of the store"
            )

        return attempt(work)

    def export_it(kind: str, sitting: Sitting, progress: Any = gr.Progress()) -> tuple[Any, str]:  # noqa: B008
        written: list[str] = []

        def work() -> str:
            out = Path(tempfile.mkdtemp(dir=desk.files)) / KINDS[kind]
            export(
                desk.folder(sitting), out, KINDS[kind], progress=stoppable(sitting, on_page(progress)), **desk.loading
            )
            written.append(shutil.make_archive(str(out), "zip", out))
            return told("Exported; the card inside lists the changes.")

        said = attempt(work)
        return gr.File(value=written[0] if written else None, visible=bool(written)), said

    asked, found = [state, text, page, change, sitting], [listed, change]
    quick = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    gr.on([tab.select, state.change, page.change], list_them, asked, found, **quick)
    opened.then(list_them, asked, found, **quick).then(tell_store, sitting, about, **quick)
    tab.select(tell_store, sitting, about, **quick)
    text.change(list_them, asked, found, trigger_mode="always_last", **quick)
    queued(change.input, sitting, show, [change, sitting], shown)
    gone = following.click(next_waiting, asked, [page, change, outcome], **quick)
    gone.then(show, [change, sitting], shown, **MODEL)
    stops(stop, sitting)
    stops(stop_receiving, sitting)
    many = [change, together, state, text]
    for button, handler, given, said in (
        (undoing, undo_it, [change, sitting], outcome),
        (accepting, accept_it, [*many, warned, sitting], outcome),
        (refusing, refuse_it, [*many, why, sitting], outcome),
        (receiving, receive_it, [feed, sitting], received),
    ):
        done = queued(button.click, sitting, handler, given, said).then(list_them, asked, found, **quick)
        done = done.then(tell_store, sitting, about, **quick)
        done.then(show, [change, sitting], shown, **MODEL)
    queued(reporting.click, sitting, report_it, sitting, report)
    queued(exporting.click, sitting, export_it, [kind, sitting], [exported, problem])


def title(entry: Entry) -> str:
    """A change as a list to choose from names it."""
    return printable(f"{entry.id}: {' | '.join(entry.change.words)} ({STATES[entry.state]})")


def decided_in_words(entries: Sequence[Entry]) -> str:
    """What became of changes that were decided: each by itself where there is one, else how many of each state."""
    if len(entries) == 1:
        return f"Change {title(entries[0])}."
    states = Counter(entry.state for entry in entries)
    return f"{len(entries)} changes decided: {', '.join(f'{states[s]} {STATES[s]}' for s in STATES if states[s])}."


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
