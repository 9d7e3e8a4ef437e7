"""The tab *Journal*: every change of a store, its review, undo and its effect on what the model answers."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kg_cache.ids import is_entity_id, is_relation_id
from kg_cache.store import Store
from kg_cache.text import fold, printable
from kgedit.errors import JournalError, UnknownEdit
from kgedit.ingest.exports.write import export
from kgedit.ingest.maintenance import undo
from kgedit.ingest.report.answers import answers
from kgedit.ingest.report.build import build_report
from kgedit.ingest.report.html import to_html
from kgedit.ingest.review import accept, receive, refuse
from kgedit.ingest.store.entry import Entry
from kgedit.ingest.store.store import IngestStore, open_store
from kgedit.workbench.desk import Desk, Sitting, stoppable
from kgedit.workbench.handling import MODEL, attempt, on_page, stops
from kgedit.workbench.journal_html import STATES, change_html, list_html, plan_html
from kgedit.workbench.shown import framed, told

PAGE = 50  # changes of one page of the list
EVERY = "all"
KINDS = {"LoRA adapter": "adapter", "delta": "delta"}


def journal_tab(desk: Desk, tab: Any, sitting: Any) -> None:
    """Build the tab.

    Args:
        desk: What all windows share.
        tab: The tab, whose opening shows the list.
        sitting: The page's state of one window.
    """
    import gradio as gr

    directory = desk.store
    if directory is None:
        gr.HTML(told("No store is open: begin with `kgedit workbench --store DIR`. The folder need not be there yet."))
        return
    with gr.Row():
        state = gr.Dropdown([EVERY, *STATES.values()], value=EVERY, label="State")
        text = gr.Textbox(label="Search", placeholder="in names, evidence and reasons")
        page = gr.Number(value=1, minimum=1, precision=0, label="Page")
    listed = gr.HTML("")
    change = gr.Dropdown([], label="Change", info="Opens a change of this page of the list", value=None)
    shown = gr.HTML("")
    with gr.Row():
        undoing, accepting, refusing = gr.Button("Undo"), gr.Button("Accept"), gr.Button("Refuse")
        stop = gr.Button("Stop")
    outcome = gr.HTML("")
    with gr.Row():
        why = gr.Textbox(label="Why it is refused (optional)")
        warned = gr.Checkbox(label="Accept also what the guards speak against, with a warning")
    with gr.Row():
        with gr.Column(min_width=300):
            feed = gr.File(label="A feed of changes (JSON lines or CSV)", file_types=[".jsonl", ".csv"])
            receiving = gr.Button("Receive for review")
        with gr.Column(min_width=300):
            kind = gr.Dropdown(list(KINDS), value=next(iter(KINDS)), label="Export as")
            exporting, exported = gr.Button("Export what is in force"), gr.File(label="Exported", visible=False)
            reporting = gr.Button("Report: ask every change")
    report = gr.HTML("")

    def list_them(state: str, text: str, page: int, chosen: int | None) -> tuple[str, Any]:
        entries: list[Entry] = []

        def work() -> str:
            with _reading(directory) as store:
                found = fitting(store, state, text)
            first = PAGE * (max(int(page or 1), 1) - 1)
            entries.extend(labelled(desk.graph, entry) for entry in found[first : first + PAGE])
            return list_html(entries, len(found), first + 1)

        said = attempt(work)
        still = chosen if chosen in {entry.id for entry in entries} else None
        return said, gr.Dropdown(choices=[(title(entry), entry.id) for entry in entries], value=still)

    def show(id: int | None, sitting: Sitting) -> str:
        return attempt(lambda: change_page(desk, directory, id, sitting)) if id else ""

    def then(work: Callable[[int], str]) -> Callable[[int | None], str]:
        """A handler of the chosen change."""

        def handler(id: int | None) -> str:
            if not id:
                return told("Choose a change first.")
            return attempt(lambda: work(id))

        return handler

    def undo_it(id: int | None, sitting: Sitting, progress: Any = gr.Progress()) -> str:  # noqa: B008
        def work(id: int) -> str:
            undo(directory, id, progress=stoppable(sitting, on_page(progress)), **desk.loading)
            return told(f"Change {id} is undone; the weights are those that the remaining changes give.")

        return then(work)(id)

    def accept_it(id: int | None, warned: bool, sitting: Sitting, progress: Any = gr.Progress()) -> str:  # noqa: B008
        def work(id: int) -> str:
            (entry,) = accept(
                directory, [id], method=desk.method, guard="warn" if warned else "refuse", moments=desk.moments,
                progress=stoppable(sitting, on_page(progress)), **desk.loading,
            )  # fmt: skip
            return told(f"Change {entry.id}: {STATES[entry.state]}.")

        return then(work)(id)

    def refuse_it(id: int | None, why: str) -> str:
        def work(id: int) -> str:
            refuse(directory, [id], why)
            return told(f"Change {id} is refused.")

        return then(work)(id)

    def receive_it(feed: str | None, sitting: Sitting, progress: Any = gr.Progress()) -> str:  # noqa: B008
        def work() -> str:
            if feed is None:
                raise UnknownEdit("no file is chosen; choose a feed of changes first")
            plan = receive(
                directory, feed, model=desk.model, method=desk.method, graph=desk.graph_file, moments=desk.moments,
                progress=stoppable(sitting, on_page(progress)), **desk.loading,
            )  # fmt: skip
            return plan_html(plan)

        return attempt(work)

    def report_it(sitting: Sitting, progress: Any = gr.Progress()) -> str:  # noqa: B008
        def work() -> str:
            told_by = stoppable(sitting, on_page(progress))
            return framed(to_html(build_report(directory, progress=told_by, **desk.loading)), "Report of the store")

        return attempt(work)

    def export_it(kind: str, sitting: Sitting, progress: Any = gr.Progress()) -> tuple[Any, str]:  # noqa: B008
        written: list[str] = []

        def work() -> str:
            out = Path(tempfile.mkdtemp(dir=desk.files)) / KINDS[kind]
            export(directory, out, KINDS[kind], progress=stoppable(sitting, on_page(progress)), **desk.loading)
            written.append(shutil.make_archive(str(out), "zip", out))
            return told("Exported; the card inside lists the changes.")

        said = attempt(work)
        return gr.File(value=written[0] if written else None, visible=bool(written)), said

    asked, found = [state, text, page, change], [listed, change]
    quick = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    gr.on([tab.select, state.change, page.change], list_them, asked, found, **quick)
    text.change(list_them, asked, found, trigger_mode="always_last", **quick)
    change.input(show, [change, sitting], shown, **MODEL)
    stops(stop, sitting)
    for button, handler, given in (
        (undoing, undo_it, [change, sitting]),
        (accepting, accept_it, [change, warned, sitting]),
        (refusing, refuse_it, [change, why]),
        (receiving, receive_it, [feed, sitting]),
    ):
        done = button.click(handler, given, outcome, **MODEL).then(list_them, asked, found, **quick)
        done.then(show, [change, sitting], shown, **MODEL)
    reporting.click(report_it, sitting, report, **MODEL)
    exporting.click(export_it, [kind, sitting], [exported, outcome], **MODEL)


def fitting(store: IngestStore, state: str, text: str) -> list[Entry]:
    """The changes in a state, in its plain words, that have all these words; the newest first."""
    states = [known for known, words in STATES.items() if words == state]
    wanted = fold(text).split()
    return [entry for entry in store.entries(*states) if not wanted or _has(entry, wanted)][::-1]


def _has(entry: Entry, wanted: list[str]) -> bool:
    evidence = (entry.change.provenance.evidence or "") if entry.change.provenance else ""
    searched = fold(" ".join([str(entry.id), *entry.change.words, entry.reason, evidence]))
    return all(word in searched for word in wanted)


def title(entry: Entry) -> str:
    """A change as a list to choose from names it."""
    return printable(f"{entry.id}: {' | '.join(entry.change.words)} ({STATES[entry.state]})")


def change_page(desk: Desk, directory: Path, id: int, sitting: Sitting) -> str:
    """One change, with the answers of the unedited model and of the one with all that is in force.

    Raises:
        UnknownEdit: The journal has no such change.
        WrongBase: The store belongs to another model than the page.
    """
    with _reading(directory) as store:
        entry, steps = labelled(desk.graph, store.journal.entry(id)), store.journal.steps(id)
        deltas = store.live_deltas()
    with desk.seated(sitting, edited=False) as editor:
        request, _ = editor.prepare(entry.edit)
        question = (request.question, request.target)
        (before,) = answers(editor, [question])
        with editor.trial(*deltas):
            (now,) = answers(editor, [question])
    said = {"unedited": before, "with what is in force": now}
    return change_html(entry, steps, request.question, said, [request.target])


def labelled(graph: Store, entry: Entry) -> Entry:
    """The change with labels of the graph where its plan noted none."""
    edit = entry.edit
    ids = [
        name
        for name in (edit.subject, edit.relation or "", edit.target_new)
        if is_entity_id(name) or is_relation_id(name)
    ]
    labels = graph.labels(ids) | entry.change.labels
    return entry.model_copy(update={"change": entry.change.model_copy(update={"labels": labels})})


def _reading(directory: Path) -> IngestStore:
    try:
        return open_store(directory)
    except JournalError as error:
        raise JournalError(f"{error}; receive a feed below to begin one") from error
