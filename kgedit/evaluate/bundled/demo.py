"""The demonstration: one named edit shown prompt by prompt, and figures over many, for ROME and for GLAME."""

from __future__ import annotations

import time

import torch
from pydantic import BaseModel, ConfigDict

from kgedit.editor import Editor
from kgedit.errors import NotReverted
from kgedit.evaluate.bundled.probes import Scores, score_case, shares
from kgedit.lm.generation.greedy import complete
from kgedit.mini.cases import Casebook, MiniCase
from kgedit.progress import Progress
from kgedit.text.answer import shown

METHODS = ("rome", "glame")
NAMED = ("Q937", "P27", "Q142")  # Albert Einstein becomes a citizen of France
CHUNK = 21


class ShownAnswer(BaseModel):
    """What each model says to one prompt.

    Attributes:
        measure: What the prompt measures.
        prompt: The prompt.
        right: The right answer after the edit.
        said: "unedited" or method -> greedy answer.
    """

    model_config = ConfigDict(frozen=True)

    measure: str
    prompt: str
    right: str
    said: dict[str, str]


class DemoReport(BaseModel):
    """What the demonstration shows.

    Attributes:
        edits: Number of edits measured, the named one included.
        seed: Seed of the edits.
        unedited: Measure -> share of right answers without any edit.
        methods: Method -> measure -> share of right answers: exact greedy match of the whole object name, in wordings
            that no method optimises (efficacy: in the edit prompt itself).
        subject: Subject of the named edit.
        change: Its old and new object.
        answers: The named edit, prompt by prompt.
        seconds: Wall-clock time.
    """

    model_config = ConfigDict(frozen=True)

    edits: int
    seed: int
    unedited: dict[str, float]
    methods: dict[str, dict[str, float]]
    subject: str
    change: tuple[str, str]
    answers: tuple[ShownAnswer, ...]
    seconds: float


def run_demo(edits: int = 20, seed: int = 0, *, progress: Progress | None = None) -> DemoReport:
    """Edit the bundled model and measure.

    Args:
        edits: Number of drawn edits beside the named one.
        seed: Seed of the edits.
        progress: Called with (what, done, total).
    """
    started = time.monotonic()
    book = Casebook()
    named = book.named(*NAMED)
    cases = [named, *book.draw(edits, seed=seed)]
    editors = {name: Editor.from_pretrained("mini", method=name, progress=progress) for name in METHODS}
    first = editors[METHODS[0]]
    before = [score_case(first.model, first.tokenizer, case) for case in cases]
    said = {"unedited": _say(first, named)}
    scored: dict[str, list[Scores]] = {}
    for name, editor in editors.items():
        scored[name], said[name] = measure(editor, cases, progress=progress, show=named)
    answers = tuple(
        ShownAnswer(
            measure=kind, prompt=prompt, right=right, said={name: texts[number] for name, texts in said.items()}
        )
        for number, (kind, prompt, right) in enumerate(_shown(named))
    )
    return DemoReport(
        edits=len(cases),
        seed=seed,
        unedited=shares(before),
        methods={name: shares(scores) for name, scores in scored.items()},
        subject=named.subject,
        change=(named.target_true, named.target_new),
        answers=answers,
        seconds=round(time.monotonic() - started, 1),
    )


def measure(
    editor: Editor, cases: list[MiniCase], *, progress: Progress | None = None, show: MiniCase | None = None
) -> tuple[list[Scores], list[str]]:
    """Apply each edit alone, score it, revert it, and make sure that every weight is bit for bit as before.

    Args:
        editor: Editor of the unedited model.
        cases: The edits.
        progress: Called with (what, done, total).
        show: The case whose prompts are also answered in words.

    Returns:
        Scores per case, and the answers for `show`.

    Raises:
        NotReverted: A weight differs after an edit was reverted.
    """
    scored: list[Scores] = []
    said: list[str] = []
    original = {name: weight.clone() for name, weight in editor.model.state_dict().items()}
    for start in range(0, len(cases), CHUNK):
        chunk = cases[start : start + CHUNK]
        requests, subgraphs = zip(*(editor.prepare(case.edit) for case in chunk), strict=True)
        for case, computed in zip(chunk, editor.compute(requests, subgraphs), strict=True):
            with editor.trial(computed.delta):
                scored.append(score_case(editor.model, editor.tokenizer, case))
                if case is show:
                    said = _say(editor, case)
            for name, weight in editor.model.state_dict().items():
                if not torch.equal(weight, original[name]):
                    raise NotReverted(f"{name} differs after the edit of {case.subject} was reverted")
            if progress:
                progress(f"editing with {editor.method.name}", len(scored), len(cases))
    return scored, said


def _shown(case: MiniCase) -> list[tuple[str, str, str]]:
    """The prompts of a case that are shown in words: a few of each measure."""
    return [(kind, prompt, right) for kind, pairs in case.probes.items() for prompt, right in pairs[:4]]


def _say(editor: Editor, case: MiniCase) -> list[str]:
    asked = _shown(case)
    lines = complete(editor.model, editor.tokenizer, [prompt for _, prompt, _ in asked], stop=("\n",))
    return [shown(line, (right,)) for line, (_, _, right) in zip(lines, asked, strict=True)]
