"""The demonstration on any model: seeded edits of facts that it recalls, each asked before and after."""

from __future__ import annotations

import time

from pydantic import BaseModel, ConfigDict

from kgedit.editor import Editor
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.generation.greedy import complete
from kgedit.methods.registry import method_for
from kgedit.progress import Progress
from kgedit.text.answer import shown
from kgedit.trials.draw import TrialEdit, draw_edits
from kgedit.trials.measure import asked_after, means, measure_unedited

UNEDITED = "unedited"
METHODS = ("rome", "glame")


class DemoEdit(BaseModel):
    """One edit in words.

    Attributes:
        prompt: The edit prompt.
        old: The object before.
        new: The object that was asked for.
        said: "unedited" or method -> greedy answer.
    """

    model_config = ConfigDict(frozen=True)

    prompt: str
    old: str
    new: str
    said: dict[str, str]


class RecalledDemo(BaseModel):
    """What the demonstration shows.

    Attributes:
        model: The model.
        seed: Seed of the edits.
        edits: The edits in words.
        figures: "unedited" or method -> measure -> mean over the edits.
        seconds_per_edit: Method -> seconds for computing one edit.
        notes: What the reader should know, e.g. that there are no second moments.
        seconds: Wall-clock time.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    seed: int
    edits: tuple[DemoEdit, ...]
    figures: dict[str, dict[str, float]]
    seconds_per_edit: dict[str, float]
    notes: tuple[str, ...]
    seconds: float


def demonstrate(editor: Editor, *, edits: int, seed: int, progress: Progress | None = None) -> RecalledDemo:
    """Edit facts that a model recalls, each alone and put back, by ROME and by GLAME.

    Args:
        editor: Editor of the unedited model.
        edits: Number of edits; fewer are made where the model recalls too little.
        seed: Of their draw.
        progress: Called with (what, done, total).

    Raises:
        DataError: The model recalls none of the facts that it was asked.
    """
    started = time.monotonic()
    depth = anatomy_of(editor.model).n_layers(editor.model)
    # GLAME's subgraphs, which ROME does not read.
    editor.method = method_for(editor.name, METHODS[-1], depth)[0]
    drawn = draw_edits(editor, edits, seed=seed)
    said = {UNEDITED: [_say(editor, edit) for edit in drawn]}
    figures = {UNEDITED: means(measure_unedited(editor, drawn))}
    seconds: dict[str, float] = {}
    notes: list[str] = []
    for name in METHODS:
        editor.method, guessed = method_for(editor.name, name, depth)
        began = time.monotonic()
        found, said[name] = asked_after(editor, drawn, _say, progress=progress, what=f"editing with {name}")
        figures[name] = means(found)
        seconds[name] = round((time.monotonic() - began) / len(drawn), 2)
        notes += guessed
    shown_edits = tuple(
        DemoEdit(
            prompt=edit.request.question,
            old=edit.probe.target_true,
            new=edit.request.target,
            said={name: answers[number] for name, answers in said.items()},
        )
        for number, edit in enumerate(drawn)
    )
    return RecalledDemo(
        model=editor.name,
        seed=seed,
        edits=shown_edits,
        figures=figures,
        seconds_per_edit=seconds,
        notes=tuple(dict.fromkeys((*notes, *editor.moments.notes))),
        seconds=round(time.monotonic() - started, 1),
    )


def _say(editor: Editor, edit: TrialEdit) -> str:
    (text,) = complete(editor.model, editor.tokenizer, [edit.request.question], max_new_tokens=12, stop=("\n",))
    return shown(text, (edit.request.target, edit.probe.target_true))
