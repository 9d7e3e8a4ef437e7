"""The page of single cases: what each was asked, what every method said, and how long it took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from statistics import fmean

from kgedit.evaluate.results import CaseAnswers
from kgedit.io.html_page import fold, note, page, table

SHOWN = 200  # cases; all of them are in answers.jsonl
FILE = "cases.html"


def seconds_per_case(answers: Iterable[CaseAnswers]) -> dict[str, float]:
    """Method -> mean time of a case."""
    times: dict[str, list[float]] = {}
    for item in answers:
        times.setdefault(item.method, []).append(item.seconds)
    return {method: round(fmean(found), 3) for method, found in times.items()}


def cases_page(suite: str, answers: Sequence[CaseAnswers]) -> str:
    """The page.

    Args:
        suite: Name of the benchmark.
        answers: Of all cases, method by method in the order of the cases.
    """
    times = ", ".join(f"{method} {seconds:.1f} s" for method, seconds in seconds_per_case(answers).items())
    number = len({item.case for item in answers})
    parts = [
        f"<h1>{escape(suite)}: what {number} cases were asked</h1>",
        note(f"Mean time of a case, its edits included: {times}."),
    ]
    return page(f"{suite}: cases", [*parts, *case_parts(answers)])


def case_parts(answers: Sequence[CaseAnswers]) -> list[str]:
    """The cases as HTML, each behind a fold."""
    by_case: dict[str, dict[str, CaseAnswers]] = {}
    for item in answers:
        by_case.setdefault(item.case, {})[item.method] = item
    shown = list(by_case.items())[:SHOWN]
    parts = [note("Percent: probability of the whole answer that was given; \u2713: greedy decoding would give it.")]
    parts += [_case(case, methods) for case, methods in shown]
    if len(by_case) > len(shown):
        parts.append(note(f"{len(by_case) - len(shown)} more cases are in answers.jsonl."))
    return parts


def _case(case: str, methods: Mapping[str, CaseAnswers]) -> str:
    first = next(iter(methods.values()))
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for method, item in methods.items():
        for answered in item.answered:
            rows.setdefault((answered.prompt, ""), {})[method] = escape(answered.said)
        for scored in item.scored:
            sign = "\u2713 " if scored.greedy else ""
            rows.setdefault((scored.prompt, scored.target), {})[method] = f"{sign}{100 * scored.probability:.1f} %"
    lines = [
        [escape(prompt), escape(target) or "(continued)", *(said.get(method, "-") for method in methods)]
        for (prompt, target), said in rows.items()
    ]
    times = ", ".join(f"{method} {item.seconds:.1f} s" for method, item in methods.items())
    listed = table(["prompt", "answer", *map(escape, methods)], lines)
    return fold(f"{case}: {'; '.join(first.edits) or 'no edit'}", [note(times), f'<div class="words">{listed}</div>'])
