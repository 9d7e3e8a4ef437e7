"""Texts in a report: which are shown, and that a model's text cannot break a page or a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from kgedit.evaluate.report.html import to_html
from kgedit.evaluate.report.markdown import to_markdown
from kgedit.evaluate.report.model import SuiteReport, build_report
from kgedit.evaluate.report.terminal import to_terminal
from kgedit.evaluate.report.texts import shown_texts, text_rows
from kgedit.evaluate.report.wording import best
from kgedit.evaluate.results import CaseTexts, Row, SaidText

HOSTILE = "<b>Rome</b> | \x1b[2J\nand [red]so[/red] on"


def said(figure: str, text: str, *, right: bool = True) -> SaidText:
    return SaidText(figure=figure, prompt="Ada lives in", said=text, wanted=("Rome",), right={"free": right})


def of(case: str, method: str, *texts: SaidText) -> CaseTexts:
    return CaseTexts(case=case, method=method, texts=texts)


TEXTS = (
    of("1", "unedited", said("efficacy", "Oslo.", right=False)),
    of("2", "unedited", said("efficacy", "Bonn.", right=False), said("chat", "Bonn.", right=False)),
    of("1", "rome", said("efficacy", "Rome."), said("efficacy", "in Rome.")),
    of("2", "rome", said("efficacy", "Rome!"), said("chat", HOSTILE)),
)


@pytest.fixture
def report() -> SuiteReport:
    rows = [
        Row(case=item.case, method=item.method, hops=None, edits=1, values={"efficacy_free": 1.0}) for item in TEXTS
    ]
    return build_report(rows, suite="made", manifest={}, left_out={}, seed=0, texts=TEXTS)


def test_each_figure_shows_its_first_case_once_under_every_method() -> None:
    shown = shown_texts(TEXTS, ["efficacy"])
    assert [(item.text.figure, item.case, item.method, item.text.said) for item in shown] == [
        ("efficacy", "1", "unedited", "Oslo."),
        ("efficacy", "1", "rome", "Rome."),
        ("chat", "2", "unedited", "Bonn."),
        ("chat", "2", "rome", HOSTILE),
    ]


def test_what_was_asked_is_said_once_for_all_methods() -> None:
    assert text_rows(shown_texts(TEXTS, ["efficacy"]))[:2] == [
        ("efficacy", "Ada lives in", "Rome", "unedited", "Oslo.", "no (free)"),
        ("", "", "", "rome", "Rome.", "yes (free)"),
    ]


def test_a_models_text_breaks_no_page_and_no_terminal(report) -> None:
    assert "&lt;b&gt;Rome" in to_html(report)
    assert "<b>Rome" not in to_html(report)
    line = next(line for line in to_markdown(report).splitlines() if "[red]" in line.replace("\\", ""))
    assert line.count("|") - line.count("\\|") == 7
    console = Console(width=100, file=io.StringIO(), force_terminal=False)
    for part in to_terminal(report, width=100):
        console.print(part)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "and [red]so[/red] on" in printed
    assert "\x1b[2J" not in printed


def test_a_run_without_texts_has_no_such_section() -> None:
    plain = build_report([], suite="made", manifest={}, left_out={}, seed=0)
    assert plain.texts == ()
    assert "What the models said" not in to_html(plain) + to_markdown(plain)


def test_a_control_is_never_the_best_editor() -> None:
    values = {"unedited": 0.9, "pasted": 0.8, "rome": 0.5, "memit": 0.4}
    rows = [
        Row(case=str(case), method=method, hops=None, edits=1, values={"efficacy": value})
        for case in range(6)
        for method, value in values.items()
    ]
    report = build_report(rows, suite="made", manifest={"methods": [*values]}, left_out={}, seed=0)
    assert best(report, "efficacy") == {"rome"}
