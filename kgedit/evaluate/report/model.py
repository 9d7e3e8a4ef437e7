"""A report: every method's figures with their intervals, which differences hold, and where it all comes from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kgedit.evaluate.report.estimates import Comparison, Estimate
from kgedit.evaluate.report.figures import MAIN, Figures, figure_names
from kgedit.evaluate.report.headline import headline_of, meaningful
from kgedit.evaluate.report.texts import ShownText, shown_texts
from kgedit.evaluate.results import (
    NOT_RECALLED,
    PASTED,
    RECALLED,
    UNEDITED,
    CaseTexts,
    Frozen,
    LengthRow,
    Row,
    Values,
)


class SuiteReport(Frozen):
    """Report of a run of one benchmark. It holds no times but those of a sequence: equal rows give equal bytes.

    Attributes:
        suite: Name of the benchmark.
        cases: Cases with at least one row.
        headline: The first line of every form of the report.
        known: Share of cases whose facts (single hops) the unedited model recalls; None where nobody asked.
        methods: Method -> metric -> estimate, both in the order of tables.
        comparisons: The leading method with every other, and every method with the unedited model.
        left_out: Reason -> number of records that did not run.
        manifest: What another person needs to repeat the run.
        texts: What the models said, of each figure one case, where texts are kept.
        notes: What a reader should know beside the figures: settings that were guessed, where moments come from.
        lengths: Of a sequence of edits: the model as a whole at each length, method by method.
    """

    suite: str
    cases: int
    headline: str
    known: Estimate | None
    methods: dict[str, dict[str, Estimate]]
    comparisons: tuple[Comparison, ...]
    left_out: dict[str, int]
    manifest: dict[str, Any]
    texts: tuple[ShownText, ...] = ()
    notes: tuple[str, ...] = ()
    lengths: tuple[LengthRow, ...] = ()

    @property
    def meaningful(self) -> bool:
        """Whether figures are shown in a table: the model knows enough of the facts, or they were wanted anyway."""
        return bool(self.manifest.get("anyway")) or meaningful(self.known)

    @property
    def metrics(self) -> list[str]:
        """Every metric that some method has, in the order of tables."""
        return figure_names(name for figures in self.methods.values() for name in figures)


def build_report(
    rows: Iterable[Row],
    *,
    suite: str,
    manifest: Mapping[str, Any],
    left_out: Mapping[str, int],
    seed: int,
    texts: Iterable[CaseTexts] = (),
    notes: Sequence[str] = (),
    lengths: Sequence[LengthRow] = (),
) -> SuiteReport:
    """Make the report of a run.

    Args:
        rows: Rows in any order; the report does not depend on it.
        suite: Name of the benchmark.
        manifest: Goes into the report; its list "methods", where there is one, orders the methods.
        left_out: Reason -> number of records that did not run.
        seed: Of the resampling.
        texts: What the models said, method by method in the order of the cases.
        notes: See `SuiteReport`.
        lengths: Likewise; only methods at the last length are compared, and their texts shown.
    """
    by_method: dict[str, dict[str, Values]] = {}
    for row in rows:
        by_method.setdefault(row.method, {})[row.case] = row.values
    cases = sorted({case for by_case in by_method.values() for case in by_case})
    order = _ordered(by_method, manifest.get("methods", ()))
    figures = Figures(cases, {name: by_method[name] for name in order}, seed=seed)
    methods = {
        name: {metric: estimate for metric, estimate in figures.of(name).items() if metric != RECALLED}
        for name in order
    }
    last = max((row.length for row in lengths), default=None)
    compared = [name for name in order if last is None or name == UNEDITED or name.endswith(f"@{last}")]
    comparisons = tuple(
        Comparison.of(metric, method, other, difference)
        for method, other in pairs_of(compared)
        for metric, difference in figures.compared(method, other).items()
        if metric != RECALLED
    )
    known = figures.recalled()
    return SuiteReport(
        suite=suite,
        cases=len(cases),
        headline=headline_of(
            _titled(suite, manifest), len(cases), known, comparisons, unknown=left_out.get(NOT_RECALLED, 0)
        ),
        known=known,
        methods=methods,
        comparisons=comparisons,
        left_out=dict(sorted(left_out.items())),
        manifest=dict(manifest),
        texts=shown_texts((text for text in texts if text.method in compared), MAIN),
        notes=tuple(notes),
        lengths=tuple(lengths),
    )


_ZSRE_TARGETS = {"alt": "the other answer, alt", "answer": "the first right answer"}


def _titled(suite: str, manifest: Mapping[str, Any]) -> str:
    """The benchmark with what distinguishes figures of the same name: which answer zsRE's edits write."""
    target = manifest.get("scoring", {}).get("zsre_target")
    return f"{suite} (edits write {_ZSRE_TARGETS[target]})" if target else suite


def pairs_of(methods: Sequence[str]) -> list[tuple[str, str]]:
    """Which methods are compared: the leading one with every other editor, then every editor with the unedited model.

    The leading one is "glame", or else the first of its variants, or else the first editor. All pairs of eight
    methods would be 28 chances of a difference that is none. Where each editor stands there twice, the second time
    at the end of a sequence of edits ("rome@end"), the two times are compared apart.
    """
    stages: dict[str, list[str]] = {}
    for name in methods:
        if name != UNEDITED:
            stages.setdefault(name.partition("@")[2], []).append(name)
    leading = {stage: min(names, key=_precedence) for stage, names in stages.items()}
    among = [(leading[stage], other) for stage, names in stages.items() for other in names if other != leading[stage]]
    alone = [(name, UNEDITED) for names in stages.values() for name in names if UNEDITED in methods]
    return among + alone


def _precedence(name: str) -> tuple[bool, bool, bool]:
    """Least for what leads a comparison; equal names keep their order. A control never leads an editor."""
    variant = name.partition("@")[0]
    return name == PASTED, variant != "glame", variant.partition(":")[0] != "glame"


def _ordered(names: Iterable[str], wanted: Sequence[str]) -> list[str]:
    """Methods as they were asked for; others behind, the unedited model first, the rest by name."""
    rest = sorted(set(names) - set(wanted), key=lambda name: (name != UNEDITED, name))
    present = set(names)
    return [name for name in dict.fromkeys(wanted) if name in present] + rest
