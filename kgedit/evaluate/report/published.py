"""Published tables as data, and our own figures beside them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, model_validator

from kgedit.errors import EvaluationError
from kgedit.evaluate.report.bootstrap import harmonic
from kgedit.evaluate.report.estimates import Estimate
from kgedit.evaluate.report.figures import EDITING_SCORE, SCORED
from kgedit.evaluate.report.markdown import plain, table
from kgedit.evaluate.report.model import SuiteReport
from kgedit.evaluate.report.wording import cell
from kgedit.evaluate.results import UNEDITED, at_length

PORTABILITY = "portability"
_CASES = 100  # that are edited together or one after another, where no number is given
_BASELINES = {"glame": {"rome:paper": "rome:paper-glame", "memit:paper": "memit:paper-glame"}}
_HEADINGS = {
    PORTABILITY: "portability, strict greedy (ours)",
    "portability_published_fuzzy": "portability, sampled fuzzy (published)",
}


class PublishedTable(BaseModel):
    """One table of a paper.

    Attributes:
        title: What it shows.
        source: Where it was published.
        suite: The suite that gives our figures.
        metrics: Its columns, by our names.
        strict: A figure of ours that is shown beside them, since the published one of that kind is measured otherwise.
        notes: What a reader of the figures must know.
        variants: Row -> how we run it; rows without an entry are not run.
        second: Row -> how we run it on a second file instead, where the paper has other settings for that.
        figures: Model -> row -> figures, times 100.
        mode: Whether the model carries the edits of one case, of all cases at once, or of a sequence.
        batch: Cases of a sequence that are edited at once.
        ours: Further variants that we run beside them.
        zsre_target: See `EvaluationSettings`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    source: str
    suite: str
    metrics: tuple[str, ...]
    strict: str | None = None
    notes: tuple[str, ...]
    variants: dict[str, str]
    second: dict[str, str] = {}
    figures: dict[str, dict[str, tuple[float, ...]]]
    mode: Literal["alone", "together", "sequence"] = "alone"
    batch: int = 1
    ours: tuple[str, ...] = ()
    zsre_target: Literal["alt", "answer"] = "alt"

    @model_validator(mode="after")
    def _rows_are_whole(self) -> PublishedTable:
        for model, rows in self.figures.items():
            for row, figures in rows.items():
                if len(figures) != len(self.metrics):
                    raise ValueError(f"{row} of {model} has {len(figures)} figures for {len(self.metrics)} metrics")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The metrics that are shown: the published ones, and our strict one before the last, which is made of it."""
        return self.metrics if self.strict is None else (*self.metrics[:-1], self.strict, self.metrics[-1])

    def run_as(self, row: str, number: int) -> str:
        """How we run a row on the first (0) or second (1) file; a row of our own by its name."""
        return (self.second if number else {}).get(row, self.variants.get(row, row))

    def run_with(self, limit: int | None) -> dict[str, Any]:
        """What our runs of so many cases set beside data, model and methods; by default `_CASES` if made together."""
        if self.mode == "alone":
            return {"limit": limit, "zsre_target": self.zsre_target}
        cases = limit or _CASES
        if self.mode == "together":
            return {"limit": cases, "batch_edits": cases}
        return {"sequence": (cases,), "batch_edits": min(self.batch, cases)}

    def column(self, variant: str, limit: int | None) -> str:
        """Where the figures of a variant stand in the report of such a run."""
        edited = self.mode == "sequence" and variant != UNEDITED
        return at_length(variant, limit or _CASES) if edited else variant

    def with_baselines_of(self, paper: Literal["glame"]) -> PublishedTable:
        """The table with ROME and MEMIT run as in that paper's own comparison instead of as in theirs."""
        theirs = {row: _BASELINES[paper].get(variant, variant) for row, variant in self.variants.items()}
        return self.model_copy(update={"variants": theirs})

    def models(self, model: str) -> list[str]:
        """The published models that a model is put beside: itself where it is one of them, else all."""
        name = model.rstrip("/").rsplit("/", 1)[-1].lower()
        return [name] if name in self.figures else list(self.figures)


def published_table(name: int | str) -> PublishedTable:
    """A table by its number in GLAME's paper, or "rome", "batch" or "sequential".

    Raises:
        EvaluationError: It is not among the data.
    """
    text = resources.files("kgedit.evaluate.report").joinpath("published.toml").read_text(encoding="utf-8")
    tables = tomllib.loads(text)
    by_name = {key.removeprefix("table"): found for key, found in tables.items()}
    if str(name) not in by_name:
        raise EvaluationError(f"there is no table {name}; there are: {', '.join(by_name)}")
    return PublishedTable.model_validate(by_name[str(name)])


def beside_published(
    published: PublishedTable,
    model: str,
    reports: Sequence[SuiteReport],
    *,
    more: Sequence[str] = (),
    limit: int | None = None,
) -> str:
    """Our figures with the published ones in brackets, as Markdown.

    Args:
        published: The published table.
        model: The model that we ran.
        reports: Ours; a metric is taken from the first that has it. None shows the published figures alone.
        more: Variants to show that the paper does not have.
        limit: The number of cases that was asked for.
    """
    models = published.models(model)
    rows = list(dict.fromkeys([row for name in models for row in published.figures[name]] + list(more)))
    lines = []
    for row in rows:
        variant = published.run_as(row, 0)
        columns = [published.column(published.run_as(row, min(i, 1)), limit) for i in range(len(reports))]
        ours = merged([report.methods.get(column, {}) for column, report in zip(columns, reports, strict=True)])
        cells = [_cell(published, models, row, metric, ours) for metric in published.columns]
        lines.append([plain(row if variant == row else f"{row} ({variant})"), *cells])
    legend = f"In brackets: {published.source}, for {' / '.join(models)}."
    ours_are = f"Ours: {model}, ± half the width of the 95 % bootstrap interval. " if reports else ""
    parts = [f"**{published.title}**", *(plain(report.headline) for report in reports)]
    return (
        "\n\n".join(
            [
                *parts,
                table(["", *(_HEADINGS.get(metric, metric) for metric in published.columns)], lines),
                ours_are + legend,
                *published.notes,
            ]
        )
        + "\n"
    )


def merged(reports: Sequence[Mapping[str, Estimate]]) -> dict[str, Estimate | float]:
    """Figures of one method from several runs: of each metric the first.

    Where portability comes from another run than the rest, as in Table 1, the Editing Score is the harmonic mean of
    the four means, and has no interval: the runs have no cases in common.
    """
    first_of: dict[str, Estimate | float] = {}
    for figures in reports:
        for metric, estimate in figures.items():
            first_of.setdefault(metric, estimate)
    first = reports[0] if reports else {}
    if PORTABILITY in first_of and PORTABILITY not in first and first.keys() >= set(SCORED):
        four = [first_of[name] for name in (*SCORED, PORTABILITY)]
        means = np.array([estimate.value for estimate in four if isinstance(estimate, Estimate)])
        first_of[EDITING_SCORE] = float(harmonic(means))
    return first_of


def _cell(
    published: PublishedTable, models: Sequence[str], row: str, metric: str, ours: Mapping[str, Estimate | float]
) -> str:
    theirs = ""
    if metric in published.metrics:
        place = published.metrics.index(metric)
        figures = [published.figures[name].get(row) for name in models]
        theirs = " / ".join(f"{figure[place]:.2f}" for figure in figures if figure is not None)
    estimate = ours.get(metric)
    text = f"{100 * estimate:.1f}" if isinstance(estimate, float) else cell(estimate)
    return f"{text} ({theirs})" if theirs else text
