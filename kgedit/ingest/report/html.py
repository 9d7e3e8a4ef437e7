"""Writes the report of a store as one HTML page that loads nothing else, or as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path

from kgedit.ingest.report.drawing import STYLE, draw, hint
from kgedit.ingest.report.report import IngestReport, ReportedAnswer, ReportedChange, ReportedQuestion, ReportedRun
from kgedit.ingest.store.entry import State
from kgedit.io.atomic_files import write_files
from kgedit.io.existing import has_fields_of, refuse_foreign
from kgedit.io.html_page import fold, is_page, note, page, table, verdict

_STYLE = """
h3 { font-size: .95rem; margin: 1.6rem 0 .3rem } section { border-top: 1px solid #ddd }
td, text, h3, p { unicode-bidi: isolate }
.state { font-weight: 400; color: #555 }
"""
_GROUPS = {
    State.CHECKED: "Applied",
    State.REFUSED: "Refused",
    State.SUPERSEDED: "Superseded by a later change of the same fact",
    State.UNDONE: "Undone",
    State.COUNTERED: "Undone by a counter-patch, until the next consolidation",
    State.APPLIED: "Applied, not yet noted as checked",
    State.PREPARED: "Prepared, not yet applied",
    State.RECEIVED: "Received, not yet decided",
}
_LEGEND = (
    "Thick: the new fact. \u2713: the edited model answers it right; through the new fact, where it lies behind it. "
    "\u2717, broken line: it does not. Dotted: what the feed says the new object replaces. The rest was not asked. "
    "Point at a fact for the question and the answers."
)
_SHARES = {"efficacy", "wordings", "paths", "neighbours", "subject", "probability", "locality", "kept"}
_NUMBERS = (
    "Numbers are those of the moment of the decision. efficacy, wordings, paths, neighbours, subject: shares of right "
    "answers about the fact itself, the same in other words, what follows over the graph, the same relation of other "
    "subjects, the subject's other facts; probability: of the whole new object; norm: of the change against the "
    "weight, norm_cumulative: of all applied changes; perplexity: a multiple of the unedited model's; locality, "
    "kept: shares of fixed facts and of earlier changes that still answer right."
)


def to_html(report: IngestReport) -> str:
    """The page."""
    return page(f"Changes of {report.model}", _parts(report), style=_STYLE + STYLE)


def to_json(report: IngestReport) -> str:
    """The same as JSON."""
    return report.model_dump_json(indent=2) + "\n"


def check_report_file(path: Path, *, force: bool = False) -> None:
    """Refuse, before any work, to write a report over something else.

    Raises:
        SaveFailed: The file is there and is no report, or cannot be written.
    """
    refuse_foreign(path, ours=lambda content: is_page(content) or has_fields_of(IngestReport, content), force=force)


def write_report(report: IngestReport, path: Path) -> None:
    """Write the page, or JSON where the name ends in .json; all or nothing.

    Raises:
        SaveFailed: Disk full, read-only folder and the like.
    """
    text = to_json(report) if path.suffix.lower() == ".json" else to_html(report)
    write_files(path.absolute().parent, {path.name: text.encode("utf-8", errors="replace")})


def _parts(report: IngestReport) -> Iterator[str]:
    applied = report.states[State.CHECKED]
    right = "" if report.right is None else f"; {_share(report.right)} of them answer right"
    yield f"<h1>{applied} changes applied to {escape(report.model)}{right}</h1>"
    states = [(_GROUPS[state], str(report.states[state])) for state in _GROUPS if report.states[state]]
    yield table(["changes", ""], states)
    hashes = f"Of the unedited weights {report.base_hash}; of the edited weights {report.weights_hash}."
    yield fold("Hashes", [note(hashes)])
    for run in report.runs:
        yield from _run(run)
    if report.changes:
        yield note(_NUMBERS)
    for state, heading in _GROUPS.items():
        group = [change for change in report.changes if change.state == state]
        if group:
            yield f"<h2>{heading} ({len(group)})</h2>"
            yield from map(_change, group)
    for run in report.runs:
        yield from _skipped(run)


def _run(run: ReportedRun) -> Iterator[str]:
    name = "Run that did not end" if run.feed is None else f"Run over {run.feed}"
    yield f"<h2>{escape(name)}</h2>"
    yield table(["records", ""], [(escape(kind), str(count)) for kind, count in run.classes.items() if count])
    if run.result:
        result = run.result
        yield (
            f"<p>By {escape(str(result['method']))}. At its end {_share(result['accepted_right'])} of the applied "
            f"changes were answered right, and {_share(result['unrelated_recalled'])} of {result['unrelated_asked']} "
            "unrelated facts that the unedited model recalled were still recalled.</p>"
        )
        yield from (note(str(text)) for text in _texts(result.get("notes")))
    elif run.feed is not None:
        yield note("All its changes are decided; nothing was measured at its end.")


def _change(change: ReportedChange) -> str:
    words = f"{change.subject}, {change.relation}: {change.target_new}"
    parts = [
        f'<section id="change-{change.id}"><h3>{change.id}. {escape(words)} '
        f'<span class="state">{change.state}</span></h3>'
    ]
    told = {
        "replaces": change.target_true,
        "ids": change.ids,
        "from": change.where,
        "evidence": change.evidence,
        "dated": change.dated,
    }
    if any(told.values()):
        parts.append(note("; ".join(f"{name} {text}" for name, text in told.items() if text)))
    parts += [note(text) for text in change.notes]
    if change.reason:
        parts.append(f"<p>{escape(change.reason)}</p>")
    if change.question is None:
        parts.append(note("It cannot be put into words, so the model was not asked."))
    else:
        rows = [("before", *_answer(change.before)), ("now", *_answer(change.now))]
        answered = verdict(bool(change.right), "yes" if change.right else "no")
        parts.append(f"<p>{escape(change.question)} … Answered right: {answered}</p>")
        parts.append(table(["", "answer", "probability of the new object"], rows))
    if change.numbers:
        names, values = zip(*sorted(change.numbers.items()), strict=True)
        numbers = [_number(name, value) for name, value in zip(names, values, strict=True)]
        pairs = zip(names, numbers, strict=True)
        parts.append(f'<p class="note">{", ".join(f"{escape(name)}&nbsp;{number}" for name, number in pairs)}</p>')
    if change.facts:
        hints = [_hint(asked) if asked else "" for asked in change.asked]
        drawn = draw(change.facts, change.answered, old=change.target_true, told=hints)
        parts.append(f"<figure>{drawn}<figcaption>{_LEGEND}</figcaption></figure>")
        # The same for those who cannot point, such as on a phone or on paper.
        rows = [
            (f"{escape(asked.question)} …", escape(asked.right), escape(asked.now or "-"))
            for asked in change.asked[1:]
            if asked
        ]
        if rows:
            asked_table = f'<div class="words">{table(["asked about what follows", "right", "now"], rows)}</div>'
            parts.append(
                fold(f"{len(rows)} question{'' if len(rows) == 1 else 's'} about what follows", [asked_table])
            )
    if change.partial:
        parts.append(note("The graph is known to lack facts here."))
    return "\n".join([*parts, "</section>"])


def _hint(asked: ReportedQuestion) -> str:
    before = {} if asked.before is None else {"before": asked.before}
    return hint(asked.question, {**before, "now": asked.now})


def _answer(answer: ReportedAnswer | None) -> tuple[str, str]:
    return ("-", "-") if answer is None else (escape(answer.text), _share(answer.probability))


def _number(name: str, value: object) -> str:
    if name in _SHARES and isinstance(value, float | int):
        return _share(value)
    return f"{value:.4g}" if isinstance(value, float) else escape(str(value))


def _skipped(run: ReportedRun) -> Iterator[str]:
    if not run.skipped:
        return
    yield f"<h2>Not to be applied{'' if run.feed is None else f', of {escape(run.feed)}'}</h2>"
    rows = [
        [
            escape(text)
            for text in (record.where, record.verdict, record.change, record.dated, record.evidence, record.reason)
        ]
        for record in run.skipped
    ]
    yield f'<div class="words">{table(["record", "class", "change", "dated", "evidence", "why"], rows)}</div>'
    if run.left_out:
        yield note(f"{run.left_out} more are in the run's plan, in the store.")


def _texts(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _share(value: object) -> str:
    if not isinstance(value, float | int):
        return "-"
    return "&lt; 0.1 %" if 0 < value < 0.0005 else f"{100 * value:.1f} %"
