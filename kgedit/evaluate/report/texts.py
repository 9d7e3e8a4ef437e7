"""What the models said, beside the figures: of each figure one case, the same for every method."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kgedit.evaluate.results import CaseTexts, Frozen, SaidText

TEXTS_HEADING = ("figure", "asked", "wanted", "method", "said", "right")
TEXTS_NOTE = (
    "What the models said, of each figure the first case; all texts are in texts.jsonl. Figures that end in _free "
    "count whole texts up to their natural stop, decoded greedily, that are the name and nothing else; with the name "
    "of a rule behind it, texts that hold it by that rule. Figures without it are the benchmark's own, most of them "
    "teacher-forced: probabilities of answers that are given."
)


class ShownText(Frozen):
    """One text as a report shows it."""

    case: str
    method: str
    text: SaidText


def shown_texts(texts: Iterable[CaseTexts], figures: Sequence[str]) -> tuple[ShownText, ...]:
    """Of each figure the first text of the first case that has one, under every method.

    Args:
        texts: Of all cases and methods, method by method.
        figures: Names of figures, in the order of tables.
    """
    of_figure: dict[str, list[ShownText]] = {}
    for case in texts:
        seen: set[str] = set()
        for text in case.texts:
            shown = of_figure.setdefault(text.figure, [])
            if text.figure not in seen and (not shown or shown[0].case == case.case):
                shown.append(ShownText(case=case.case, method=case.method, text=text))
            seen.add(text.figure)
    place = {figure: number for number, figure in enumerate(figures)}
    order = sorted(of_figure, key=lambda figure: (place.get(figure, len(place)), figure))
    return tuple(shown for figure in order for shown in of_figure[figure])


def text_rows(shown: Iterable[ShownText]) -> list[tuple[str, str, str, str, str, str]]:
    """One row for each text, as in `TEXTS_HEADING`; what stands in the row above is not said again."""
    rows = []
    above: tuple[str, str, str] | None = None
    for item in shown:
        text = item.text
        wanted = text.wanted[0] if text.wanted else ""
        head = (text.figure, text.prompt, wanted)
        verdict = ", ".join(f"{'yes' if right else 'no'} ({rule})" for rule, right in text.right.items())
        rows.append((*(head if head != above else ("", "", "")), item.method, text.said, verdict))
        above = head
    return rows
