"""The effect of an edit as HTML: before and after side by side, and the subgraph marked by what the model answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from kgedit.ingest.report.drawing import draw, hint
from kgedit.ingest.report.report import ReportedAnswer
from kgedit.io.html_page import note, table, verdict
from kgedit.trials.effect import AskedTwice, Effect, Kind
from kgedit.workbench.shown import LEGEND, block, percent

_HEADINGS: dict[Kind, str] = {
    "fact": "The fact itself",
    "wordings": "The same fact in other words",
    "consequences": "What follows from it",
    "neighbours": "The same of others, which should stay",
    "subject": "The subject's other facts, which should stay",
}


def effect_html(effect: Effect, notes: Sequence[str] = ()) -> str:
    """The whole effect."""
    return block(_parts(effect, notes))


def _parts(effect: Effect, notes: Sequence[str]) -> Iterator[str]:
    result = effect.result
    took = "The edit took" if result.succeeded else "The edit did not take"
    yield f"<h3>{verdict(result.succeeded, took)}: {escape(result.subject)}, {escape(result.target_new)}</h3>"
    lines: list[list[str]] = []
    for kind, heading in _HEADINGS.items():
        asked = [each for each in effect.asked if each.kind == kind]
        if asked:
            before, after = (
                sum(marks) for marks in zip(*((a.right_before, a.right_after) for a in asked), strict=True)
            )
            counts = [f"{before} of {len(asked)} right", f"{after} of {len(asked)} right"]
            lines.append([f"<strong>{escape(heading)}</strong>", "", *(f"<strong>{text}</strong>" for text in counts)])
            lines += map(_row, asked)
    yield f'<div class="asked">{table(["asked", "right once edited", "before", "after"], lines)}</div>'
    yield note("The share is the probability of the right answer as a whole. All but the first question are in words "
               "that no method was given. Of what should stay, only what the model knew before is asked.")  # fmt: skip
    if effect.facts:
        asked_at = effect.questions
        drawn = draw(
            effect.facts, effect.answered, old=effect.old,
            told=[_hint(each) if each else "" for each in asked_at],
            changed=[each is not None and _text(each.before) != _text(each.after) for each in asked_at],
        )  # fmt: skip
        yield f"<figure>{drawn}<figcaption>{escape(LEGEND)}</figcaption></figure>"
    changed = ", ".join(f"{name} by {norm:.2g}" for name, norm in result.weights.items())
    yield note(f"{result.method}, {result.seconds:.1f} s. Changed weights, relative to their norm: {changed}.")
    yield from map(note, dict.fromkeys((*notes, *result.notes)))


def _row(asked: AskedTwice) -> list[str]:
    return [
        f"{escape(asked.question)} …",
        escape(asked.right[0]),
        _answer(asked.before, asked.right_before),
        _answer(asked.after, asked.right_after),
    ]


def _answer(answer: ReportedAnswer | None, right: bool) -> str:
    if answer is None:
        return _text(answer)
    return f'{verdict(right, answer.text)} <span class="share">{escape(percent(answer.probability))}</span>'


def _hint(asked: AskedTwice) -> str:
    return hint(asked.question, {"before": _text(asked.before), "after": _text(asked.after)})


def _text(answer: ReportedAnswer | None) -> str:
    return "cannot be asked" if answer is None else answer.text


def kept_html(kept: Sequence[Effect]) -> str:
    """The edits that a window keeps."""
    if not kept:
        return block(["<p>None yet.</p>"])
    lines = [[str(number), *map(escape, _words(effect))] for number, effect in enumerate(kept, 1)]
    return block([table(["no.", "subject", "relation or prompt", "new object"], lines)])


def in_short(effect: Effect) -> str:
    """An edit as a sentence names it."""
    return ", ".join((effect.result.subject, effect.result.target_new))


def _words(effect: Effect) -> tuple[str, str, str]:
    result = effect.result
    relation = effect.facts[0][1] if effect.facts else result.edit.prompt or result.edit.relation or ""
    return result.subject, relation, result.target_new
