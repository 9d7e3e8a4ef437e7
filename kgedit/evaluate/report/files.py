"""A report as files beside its rows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from kgedit.evaluate.report.cases import FILE as CASES
from kgedit.evaluate.report.csv import to_csv
from kgedit.evaluate.report.html import to_html
from kgedit.evaluate.report.markdown import to_markdown
from kgedit.evaluate.report.model import SuiteReport
from kgedit.io.atomic_files import write_files


def to_json(report: SuiteReport) -> str:
    """The report as JSON, its manifest included."""
    return report.model_dump_json(indent=2) + "\n"


def write_report(report: SuiteReport, folder: Path) -> None:
    """Write report.json, report.md, report.csv and report.html, all or none of them.

    Args:
        report: The report.
        folder: Made if it is not there.

    Raises:
        SaveFailed: The folder cannot be written.
    """
    forms: dict[str, Callable[[SuiteReport], str]] = {
        "md": to_markdown, "csv": to_csv, "html": partial(to_html, cases=CASES), "json": to_json
    }  # fmt: skip
    write_files(folder, {f"report.{ending}": form(report).encode() for ending, form in forms.items()})
