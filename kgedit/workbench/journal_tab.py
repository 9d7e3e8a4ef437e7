"""The tab *Journal*: every change of a store, its review, undo and its effect on what the model answers."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kgedit.errors import UnknownEdit
from kgedit.ingest.exports.write import export
from kgedit.ingest.maintenance import Undone, undo
from kgedit.ingest.report.build import build_report
from kgedit.ingest.report.html import to_html
from kgedit.ingest.review import accept, receive, refuse
from kgedit.ingest.store.entry import Entry
from kgedit.ingest.store.store import JOURNAL
from kgedit.workbench.change_list import EVERY, ChangeList, title
from kgedit.workbench.desk import Desk, Sitting, stoppable
from kgedit.workbench.handling import MODEL, attempt, on_page, queued, stops
from kgedit.workbench.journal_html import STATES, plan_html
from kgedit.workbench.shown import framed, told
from kgedit.workbench.store_picker import described, store_picker

_ENDINGS = [".jsonl", ".ndjson", ".json", ".csv", ".tsv"]
_FEED = (
    'One change a line: {"subject": "Albert Einstein", "relation": "country of citizenship", "target_new": "France"}; '
    "or a table with these names in its first line. What is received waits for your decision."
)
_QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
KINDS = {"LoRA adapter": "adapter", "delta": "delta"}


def journal_tab(desk: Desk, tab: Any, sitting: Any) -> None:
    """Build the tab.

    Args:
        desk: What all windows share.
        tab: The tab, whose opening shows the list.
        sitting: The page's state of one window.
    """
    import gradio as gr

    opened, about = store_picker(desk, sitting)
    received = _receiving(desk, sitting)
    changes = ChangeList(desk, sitting)
    decided, outcome = _deciding(desk, sitting, changes)
    _taking_out(desk, sitting)

    def tell_store(sitting: Sitting) -> str:
        return attempt(lambda: told(described(desk.folder(sitting), desk.model)))

    listing, telling = (changes.update, changes.asked, changes.found), (tell_store, sitting, about)
    showing = (changes.show, [changes.change, sitting], changes.shown)
    gr.on([tab.select, changes.state.change, changes.page.change], *listing, **_QUICK)
    opened.then(*listing, **_QUICK)  # what is open, or why not, it has told itself
    tab.select(*telling, **_QUICK)
    changes.text.change(*listing, trigger_mode="always_last", **_QUICK)
    queued(changes.change.input, sitting, *showing)
    gone = changes.following.click(
        changes.next_waiting, changes.asked, [changes.page, changes.change, outcome], **_QUICK
    )
    gone.then(*showing, **MODEL)
    for done in (*decided, received):
        done.then(*listing, **_QUICK).then(*telling, **_QUICK).then(*showing, **MODEL)


def _receiving(desk: Desk, sitting: Any) -> Any:
    """The fields for a feed; returns the event that one was received."""
    import gradio as gr

    with gr.Accordion("Receive changes for review", open=not (desk.store / JOURNAL).exists()):
        gr.HTML(told(_FEED), padding=False)
        feed = gr.File(label="A feed of changes (JSON lines, JSON or CSV)", file_types=_ENDINGS, height=120)
        with gr.Row():
            receiving, stop = gr.Button("Receive for review"), gr.Button("Stop receiving")
        received = gr.HTML("")

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

    stops(stop, sitting)
    return queued(receiving.click, sitting, receive_it, [feed, sitting], received)


def _deciding(desk: Desk, sitting: Any, changes: ChangeList) -> tuple[list[Any], Any]:
    """The buttons for a change, or all that wait; returns the events that one was used, and what tells the outcome."""
    import gradio as gr

    with gr.Row():
        together = gr.Checkbox(label="Accept or refuse all of the list that wait, not the chosen change alone")
        warned = gr.Checkbox(label="Accept also what the guards speak against, with a warning")
    why = gr.Textbox(label="Why it is refused (optional)")
    with gr.Row():
        accepting, refusing = gr.Button("Accept", variant="primary"), gr.Button("Refuse")
        undoing, stop = gr.Button("Undo"), gr.Button("Stop")
    outcome = gr.HTML("")

    def undo_it(id: int | None, sitting: Sitting, progress: Any = gr.Progress()) -> str:  # noqa: B008
        def work() -> str:
            (chosen,) = changes.meant(id, False, EVERY, "", sitting)
            progressing = stoppable(sitting, on_page(progress))
            return told(undone_in_words(undo(desk.folder(sitting), chosen, progress=progressing, **desk.loading)))

        return attempt(work)

    def accept_it(
        id: int | None, together: bool, state: str, text: str, warned: bool, sitting: Sitting,
        progress: Any = gr.Progress(),  # noqa: B008
    ) -> str:  # fmt: skip
        def work() -> str:
            decided = accept(
                desk.folder(sitting), changes.meant(id, together, state, text, sitting), method=desk.journal_method,
                guard="warn" if warned else "refuse", moments=desk.moments,
                progress=stoppable(sitting, on_page(progress)), **desk.loading,
            )  # fmt: skip
            return told(decided_in_words(decided))

        return attempt(work)

    def refuse_it(id: int | None, together: bool, state: str, text: str, why: str, sitting: Sitting) -> str:
        def work() -> str:
            ids = changes.meant(id, together, state, text, sitting)
            refuse(desk.folder(sitting), ids, why)
            return told(f"Change {ids[0]} is refused." if len(ids) == 1 else f"{len(ids)} changes are refused.")

        return attempt(work)

    stops(stop, sitting)
    many = [changes.change, together, changes.state, changes.text]
    decided = [
        queued(undoing.click, sitting, undo_it, [changes.change, sitting], outcome),
        queued(accepting.click, sitting, accept_it, [*many, warned, sitting], outcome),
        queued(refusing.click, sitting, refuse_it, [*many, why, sitting], outcome),
    ]
    return decided, outcome


def _taking_out(desk: Desk, sitting: Any) -> None:
    """The export of what is in force, and the report of the store."""
    import gradio as gr

    with gr.Row():
        kind = gr.Dropdown(list(KINDS), value=next(iter(KINDS)), label="Export as")
        exporting, reporting = gr.Button("Export what is in force"), gr.Button("Report: ask every change")
    exported, problem = gr.File(label="Exported", visible=False), gr.HTML("")
    report = gr.HTML("")

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

    queued(reporting.click, sitting, report_it, sitting, report)
    queued(exporting.click, sitting, export_it, [kind, sitting], [exported, problem])


def undone_in_words(undone: Undone) -> str:
    """What became of a change that was undone."""
    plain = f"Change {undone.undone} is undone; the weights are those that the remaining changes give."
    patched = f"Change {undone.undone} is undone. {undone.counter_patch}"
    return f"{patched if undone.counter_patch else plain} {undone.stays_superseded}".rstrip()


def decided_in_words(entries: Sequence[Entry]) -> str:
    """What became of changes that were decided: each by itself where there is one, else how many of each state."""
    if len(entries) == 1:
        return f"Change {title(entries[0])}."
    states = Counter(entry.state for entry in entries)
    return f"{len(entries)} changes decided: {', '.join(f'{states[s]} {STATES[s]}' for s in STATES if states[s])}."
