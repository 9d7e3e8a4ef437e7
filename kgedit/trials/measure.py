"""Measures edits one by one: compute, apply, ask, put back; and sums the figures up in one score."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, harmonic_mean
from typing import TypeVar

from kgedit.editor import Editor
from kgedit.ingest.decide.known_facts import ask_all
from kgedit.lm.scoring.pairs import score_pairs
from kgedit.progress import Progress
from kgedit.trials.draw import TrialEdit

Figures = Mapping[str, float]
Said = TypeVar("Said")

# The measures of `CounterFactProbe` that the score is made of: whether the right object is the more probable one, and,
# for the edit itself, whether greedy decoding gives it.
SCORED = ("efficacy", "paraphrase", "neighborhood", "efficacy_accuracy", "paraphrase_accuracy")
THROUGH = "through"  # of the questions that pass through the edit, the share answered with the new object
CHUNK = 8  # edits that are computed in one batch


def measure_unedited(editor: Editor, edits: Sequence[TrialEdit]) -> list[Figures]:
    """The measures of each edit before it is made."""
    return [_measure(editor, edit) for edit in edits]


def measure_edits(
    editor: Editor, edits: Sequence[TrialEdit], *, progress: Progress | None = None, what: str = "trying edits"
) -> list[Figures]:
    """The measures of each edit, made alone by the editor's method and put back; see `asked_after`."""
    return asked_after(editor, edits, lambda *_: None, progress=progress, what=what)[0]


def asked_after(
    editor: Editor,
    edits: Sequence[TrialEdit],
    ask: Callable[[Editor, TrialEdit], Said],
    *,
    progress: Progress | None = None,
    what: str = "trying edits",
) -> tuple[list[Figures], list[Said]]:
    """The measures of each edit, and whatever else the edited model is asked.

    Args:
        editor: Editor of the unedited model; its method computes the edits.
        edits: The edits, each made alone and put back.
        ask: Asks the edited model.
        progress: Called with (what, done, total).
        what: Says what is done.

    Raises:
        EditError: An edit cannot be carried out.
    """
    figures: list[Figures] = []
    answers: list[Said] = []
    for start in range(0, len(edits), CHUNK):
        chunk = edits[start : start + CHUNK]
        made = editor.compute([edit.request for edit in chunk], [edit.subgraph for edit in chunk])
        for edit, computed in zip(chunk, made, strict=True):
            with editor.trial(computed.delta):
                figures.append(_measure(editor, edit))
                answers.append(ask(editor, edit))
            if progress:
                progress(what, len(figures), len(edits))
    return figures, answers


def means(figures: Sequence[Figures]) -> dict[str, float]:
    """Measure -> mean over the edits that have it, and `score`."""
    names = dict.fromkeys(name for values in figures for name in values)
    found = {name: fmean(values[name] for values in figures if name in values) for name in names}
    return found | {"score": score(found)}


def score(figures: Figures) -> float:
    """Harmonic mean of the measures in `SCORED`: an edit must take, reach other wordings, and leave others alone."""
    return harmonic_mean([figures[name] for name in SCORED if name in figures])


def _measure(editor: Editor, edit: TrialEdit) -> Figures:
    figures = edit.probe.measure(score_pairs(editor.model, editor.tokenizer, edit.probe.pairs()))
    if not edit.through:
        return figures
    return figures | {THROUGH: fmean(ask_all(editor.model, editor.tokenizer, edit.through))}
