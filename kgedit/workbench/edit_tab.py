"""The tab *Edit*: find a fact, change it, see what that does before and after, keep it or take it back, export."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from kgedit.edit import Edit
from kgedit.editor import Editor
from kgedit.errors import EditError, UnknownEdit
from kgedit.methods.registry import method_names
from kgedit.trials.effect import effect_of
from kgedit.workbench.desk import Desk, Sitting
from kgedit.workbench.effect_html import effect_html, in_short, kept_html
from kgedit.workbench.handling import MODEL, attempt, attempt_each, on_page, queued, stops
from kgedit.workbench.picking import item_picker, relation_choices
from kgedit.workbench.shown import told
from kgedit.workbench.writing import pair_html, written

_SHOW_TRIED = "() => { document.getElementById('kg-tried').scrollIntoView({block: 'start'}) }"
EXAMPLE = ("Albert Einstein", "P27", "France")  # of the bundled facts
KINDS = ("delta", "LoRA adapter", "GGUF LoRA adapter")


class _Form(NamedTuple):
    """The fields of a change, and the buttons below them.

    Attributes:
        fact: Subject, relation and new object.
        given: All fields, in the order of the arguments of `try_it`.
        trying: Tries the change.
        stop: Ends the try.
        working: Where its progress is shown.
        example: Fills the form.
    """

    fact: list[Any]
    given: list[Any]
    trying: Any
    stop: Any
    working: Any
    example: Any


def edit_tab(desk: Desk, sitting: Any) -> None:
    """Build the tab; `sitting` is the page's state of one window."""
    import gradio as gr

    with gr.Row():
        with gr.Column(scale=2, min_width=300):
            form = _form(desk)
        with gr.Column(scale=5, min_width=300):
            with gr.Row(elem_id="kg-tried"):
                keep, back = gr.Button("Keep"), gr.Button("Take back")
            standing = gr.HTML(told("Name a fact and try to change it: what the model then answers is shown here."))
            outcome = gr.HTML("")
            _asking(desk, sitting)
            kept = _keeping(desk, sitting)

    def try_it(
        subject: str, subject_item: str | None, relation: str | None, target: str, target_item: str | None,
        prompt: str, method: str, sitting: Sitting, progress: Any = gr.Progress(),  # noqa: B008 - how gradio is told
    ) -> tuple[str, str]:  # fmt: skip
        sitting.tried = None

        def work() -> str:
            check_filled(subject, relation, target, prompt)
            edit = Edit(
                subject=(not prompt and subject_item) or subject, relation=relation or None,
                target_new=(not prompt and target_item) or target, prompt=prompt or None,
            )  # fmt: skip
            with desk.seated(sitting, on_page(progress)) as editor:
                notes = desk.use(method)
                sitting.tried = effect_of(editor, edit)
            return effect_html(sitting.tried, notes)

        shown = attempt(work)
        return shown, told("Tried, not kept yet: keep it, or try another in its place.") if sitting.tried else ""

    def keep_it(sitting: Sitting) -> tuple[str, str]:
        if sitting.tried is None:
            return told("There is no edit to keep: try one first."), kept_html(sitting.kept)
        sitting.kept.append(sitting.tried)
        sitting.tried = None
        text = f"{in_short(sitting.kept[-1])} is kept in this window, no. {len(sitting.kept)} of the list below, "
        return told(f"{text}where it can be exported. The next edit is tried on top of it."), kept_html(sitting.kept)

    def take_back(sitting: Sitting) -> tuple[str, Any, str]:
        if sitting.tried is not None:
            sitting.tried, text = None, "The edit that was tried is taken back."
        elif sitting.kept:
            text = f"Taken back: {in_short(sitting.kept.pop())}. The model is as it was before that edit."
        else:
            return told("There is nothing to take back."), gr.skip(), kept_html(sitting.kept)
        return told(text), "", kept_html(sitting.kept)

    tried = queued(
        form.trying.click, sitting, try_it, [*form.given, sitting], [outcome, standing],
        show_progress_on=[form.working],
    )  # fmt: skip
    tried.then(None, js=_SHOW_TRIED, api_visibility="private")
    stops(form.stop, sitting)
    keep.click(keep_it, sitting, [standing, kept], **MODEL)
    back.click(take_back, sitting, [standing, outcome, kept], **MODEL)
    form.example.click(lambda: EXAMPLE, None, form.fact, queue=False, api_visibility="private")


def _form(desk: Desk) -> _Form:
    """The fields of a change."""
    import gradio as gr

    example = gr.Button("Fill in an example", size="sm", visible=desk.graph_file is None)
    subject, subject_item = item_picker(desk.graph, "Subject", "Whose fact changes: a name, or a Wikidata id")
    relation = gr.Dropdown(relation_choices(desk.graph, desk.editor.text), label="Relation", value=None)
    target, target_item = item_picker(desk.graph, "New object", "What shall hold from now on")
    prompt = gr.Textbox(
        label="Wording of your own (optional)",
        info="A sentence up to the new object, {} for the subject, as in: {} plays for. Names stay as typed.",
    )
    method = gr.Dropdown(
        list(method_names()), value=desk.method, label="Method", allow_custom_value=True,
        info="Settings may stand behind it: rome:layer=2",
    )  # fmt: skip
    with gr.Row():
        trying = gr.Button("Try the edit", variant="primary")
        stop = gr.Button("Stop")
    working = gr.HTML(told("Nothing stays changed until you keep it."))  # where the eye is when it is pressed
    given = [subject, subject_item, relation, target, target_item, prompt, method]
    return _Form([subject, relation, target], given, trying, stop, working, example)


def _asking(desk: Desk, sitting: Any) -> None:
    """The beginning of a sentence, with which both models go on."""
    import gradio as gr

    gr.Markdown("### Ask\nBoth models go on with it; the edited one has what is kept, and what was just tried.")
    question = gr.Textbox(label="The beginning of a sentence")
    with gr.Row():
        ask, stop = gr.Button("Ask both models"), gr.Button("Stop writing")
    texts = gr.HTML("")

    def ask_both(question: str, sitting: Sitting) -> Iterator[str]:
        yield from attempt_each(pair_html(question, texts) for texts in written(desk, sitting, question))

    asked = partial(gr.on, [ask.click, question.submit])
    queued(asked, sitting, ask_both, [question, sitting], texts, show_progress="hidden")
    stops(stop, sitting)


def _keeping(desk: Desk, sitting: Any) -> Any:
    """The list of the kept edits, which is returned, and their export."""
    import gradio as gr

    gr.Markdown("### Kept in this window")
    kept = gr.HTML(kept_html([]))
    with gr.Row():
        kind = gr.Dropdown(list(KINDS), value=KINDS[0], label="Export as")
        export = gr.Button("Export what is kept")
    exported, problem = gr.File(label="Exported", visible=False), gr.HTML("")

    def export_it(kind: str, sitting: Sitting) -> tuple[Any, str]:
        written: list[str] = []

        def work() -> str:
            with desk.seated(sitting) as editor:
                written.append(str(exported_as(kind, editor, Path(tempfile.mkdtemp(dir=desk.files)))))
            return ""

        said = attempt(work)
        return gr.File(value=written[0] if written else None, visible=bool(written)), said

    queued(export.click, sitting, export_it, [kind, sitting], [exported, problem])
    return kept


def check_filled(subject: str, relation: str | None, target: str, prompt: str) -> None:
    """Say what of the form is still empty.

    Raises:
        EditError: Something is.
    """
    fields = {"Subject": subject, "Relation (or a wording of your own)": relation or prompt, "New object": target}
    if empty := [name for name, text in fields.items() if not text.strip()]:
        raise EditError(f"still to be filled in: {', '.join(empty)}")


def exported_as(kind: str, editor: Editor, folder: Path) -> Path:
    """Write what is applied, as one file to be downloaded.

    Raises:
        UnknownEdit: Nothing is applied.
        UnsupportedExport: It cannot be written as this kind.
    """
    if not editor.deltas:
        raise UnknownEdit("no edit is kept in this window, so there is nothing to export; try one and keep it first")
    if kind == KINDS[2]:
        return editor.export_gguf(folder / "adapter.gguf")
    written = editor.save(folder / "delta") if kind == KINDS[0] else editor.export_adapter(folder / "adapter")
    return Path(shutil.make_archive(str(written), "zip", written))
