"""The changes of a store as HTML: a list, one change, and what the guards said in plain words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from kgedit.ingest.change import day, words
from kgedit.ingest.plan.plan import Plan, Planned, Verdict
from kgedit.ingest.report.report import ReportedAnswer
from kgedit.ingest.store.entry import Entry, State, Step
from kgedit.io.html_page import fold, note, table, verdict
from kgedit.text.names import begins
from kgedit.workbench.shown import block, link, percent, plain_table

STATES: Mapping[State, str] = {
    State.RECEIVED: "waits",
    State.PREPARED: "decided, not yet applied",
    State.APPLIED: "applied, not yet checked",
    State.CHECKED: "in force",
    State.REFUSED: "refused",
    State.COUNTERED: "undone by a counter-patch",
    State.UNDONE: "undone",
    State.SUPERSEDED: "replaced by a later change",
}
_MEASURES = {
    "efficacy": "the edit prompt is answered with the new object",
    "wordings": "the fact in other words is answered right",
    "probability": "probability of the new object",
    "paths": "what follows from it is answered right",
    "neighbours": "the same of others is kept",
    "subject": "the subject's other facts are kept",
    "locality": "fixed facts that no change speaks of are still recalled",
    "kept": "changes accepted earlier are still answered right",
    "norm": "size of the change against the weight",
    "norm_cumulative": "size of all changes against the weights",
    "perplexity": "perplexity of fixed sentences, as a multiple of the unedited model's",
}
_PLAIN = {"norm", "norm_cumulative", "perplexity"}  # the others are shares
_LISTED = 100  # records of a feed that do not wait
_FAILURE = re.compile(r"(\w+) (\S+) is (above|below) (\S+)")


def list_html(entries: Sequence[Entry], found: int, first: int) -> str:
    """A page of changes.

    Args:
        entries: Those of the page.
        found: Number of changes that fit.
        first: Place of the first of the page among them, from 1.
    """
    if not entries:
        return block(["<p>No change fits.</p>"])
    rows = [
        [
            str(entry.id),
            escape(" | ".join(entry.change.words)),
            _state(entry.state),
            escape(day(entry.change.dated)),
            link(entry.change.evidence),
            escape(in_words(entry.reason)),
        ]
        for entry in entries
    ]
    of = f"{first} to {first + len(entries) - 1} of {found}, the newest first."
    return block([note(of), table(["no.", "change", "state", "dated", "evidence", "why"], rows)])


def plan_html(plan: Plan) -> str:
    """What became of the records of a feed: those that wait now by their number, the others with the reason."""
    counts = ", ".join(f"{number} {verdict}" for verdict, number in plan.counts.items() if number)
    others = [
        [item.where, str(item.verdict), _planned(item), item.reason]
        for item, _ in zip((item for item in plan if item.verdict != Verdict.NEW), range(_LISTED), strict=False)
    ]
    parts = [f'<p role="status">{escape(f"{plan.counts[Verdict.NEW]} changes wait now. Records: {counts}.")}</p>']
    return block([*parts, plain_table(["record", "class", "change", "why"], others)] if others else parts)


def _planned(item: Planned) -> str:
    """What a record asks for; a malformed one may ask for nothing."""
    edit = item.edit or (item.change and item.change.edit)
    return " | ".join(words(edit, item.labels)) if edit else ""


def change_html(
    entry: Entry,
    steps: Sequence[Step],
    question: str = "",
    said: Mapping[str, ReportedAnswer | None] | None = None,
    names: Sequence[str] = (),
) -> str:
    """One change.

    Args:
        entry: The change.
        steps: What happened to it.
        question: The edit prompt, if the model was asked.
        said: Model in words -> its answer.
        names: Names of the new object.
    """
    return block(_change(entry, steps, question, said or {}, names))


def in_words(reason: str) -> str:
    """The guards' reasons in plain words; whatever else is told stays as it is."""
    return "; ".join(_FAILURE.sub(_told, part) for part in reason.split("; ")) if reason else ""


def _told(failure: re.Match[str]) -> str:
    name, value, side, threshold = failure.groups()
    if name not in _MEASURES:
        return failure[0]
    wanted = "at most" if side == "above" else "at least"
    return f"{_MEASURES[name]}: {_number(name, value)}, wanted is {wanted} {_number(name, threshold)}"


def _number(name: str, value: object) -> str:
    try:
        number = float(str(value))
    except ValueError:
        return str(value)
    return f"{number:.3g}" if name in _PLAIN else percent(number)


def _time(written: str) -> str:
    """The time of a step as it is read."""
    return written.replace("T", " ").replace("+00:00", " UTC")


def _state(state: State) -> str:
    if state in (State.CHECKED, State.REFUSED):
        return verdict(state == State.CHECKED, STATES[state])
    return escape(STATES[state])


def _change(
    entry: Entry,
    steps: Sequence[Step],
    question: str,
    said: Mapping[str, ReportedAnswer | None],
    names: Sequence[str],
) -> Iterator[str]:
    yield f"<h3>{entry.id}. {escape(' | '.join(entry.change.words))}: {_state(entry.state)}</h3>"
    if entry.reason:
        yield f"<p>{escape(in_words(entry.reason))}</p>"
    told = {
        "from": escape(entry.change.where),
        "dated": escape(day(entry.change.dated)),
        "evidence": link(entry.change.evidence),
    }
    yield "".join(f"<p>{name}: {text}</p>" for name, text in told.items() if text)
    yield from map(note, entry.change.notes)
    if said:
        rows = [[escape(name), *_answer(answer, names)] for name, answer in said.items()]
        yield table(["model", f"{escape(question)} …", "probability of the new object"], rows)
    if entry.numbers:
        numbers = [(_MEASURES.get(name, name), _number(name, value)) for name, value in sorted(entry.numbers.items())]
        yield plain_table(["measured when it was decided", ""], numbers)
    rows = [[escape(_time(step.time)), escape(STATES[step.state]), escape(in_words(step.reason))] for step in steps]
    yield table(["time", "step", "why"], rows)
    if entry.delta:
        yield fold("Delta", [note(entry.delta)])


def _answer(answer: ReportedAnswer | None, names: Sequence[str]) -> tuple[str, str]:
    if answer is None:
        return "cannot be asked", ""
    return verdict(begins(answer.text, names), answer.text), escape(percent(answer.probability))
