"""The forms of a report: what each shows, that it shows it safely, and the same bytes for the same rows."""

from __future__ import annotations

import csv
import io
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from kgedit.errors import MissingExtra, SaveFailed
from kgedit.evaluate.report import plots
from kgedit.evaluate.report.csv import to_csv
from kgedit.evaluate.report.files import to_json, write_report
from kgedit.evaluate.report.html import to_html
from kgedit.evaluate.report.markdown import to_markdown
from kgedit.evaluate.report.meanings import meaning
from kgedit.evaluate.report.model import SuiteReport
from kgedit.evaluate.report.terminal import to_terminal
from kgedit.evaluate.report.wording import NO_TABLE, best, cell


def printed(report: SuiteReport, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    for part in to_terminal(report, width=width):
        console.print(part)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_cell_is_the_figure_and_half_its_interval(report: SuiteReport) -> None:
    one = report.methods["rome"]["efficacy"].model_copy(update={"value": 0.5, "low": 0.25, "high": 0.85})
    assert cell(one) == "50.0 ±30.0"
    assert cell(None) == "-"
    assert cell(one.model_copy(update={"value": -0.0001, "low": -0.0001, "high": -0.0001})) == "0.0 ±0.0"


def test_the_best_is_an_editor_and_needs_a_rival(report: SuiteReport) -> None:
    assert best(report, "efficacy") == {"glame"}
    assert best(report, "fluency") == set(report.methods) - {"unedited"}
    alone = report.model_copy(update={"methods": {name: report.methods[name] for name in ("unedited", "rome")}})
    assert best(alone, "efficacy") == frozenset()


@pytest.mark.parametrize("width", [60, 100, 200])
def test_the_terminal_shows_every_figure_at_any_width(report: SuiteReport, width: int) -> None:
    text = printed(report, width)
    assert max(map(len, text.splitlines())) <= width
    for found in report.methods.values():
        for one in found.values():
            assert cell(one) in text
    assert "Left out: 2 x no object." in text
    words = " ".join(text.split())
    assert "glame against rome: above in efficacy (+50.0), multihop (+50.0)" in words
    assert "not separated in multihop_2" in words  # 4 cases are too few for any difference


def test_a_difference_that_does_not_count_says_why(report: SuiteReport) -> None:
    few = next(one for one in report.comparisons if one.metric == "multihop_2" and one.other == "rome")
    assert few.verdict == "not separated: 4 cases, and under 6 even winning all is chance"
    level = few.model_copy(update={"n": 12, "low": -0.5, "high": 0.5})
    assert level.verdict == "not separated: the interval holds zero"
    for text in (to_markdown(report), to_html(report), printed(report, 100)):
        assert "under 6 even winning all is chance" in " ".join(text.split())


def test_every_form_has_the_notes_and_no_form_steers_its_reader(report: SuiteReport) -> None:
    steering = "a \u202egnp.exe \x1b[31m \x00 name"
    hostile = report.model_copy(update={"notes": ("layer 6 of 30 is a guess", steering), "headline": steering})
    for text in (printed(hostile, 100), to_markdown(hostile), to_html(hostile)):
        assert "layer 6 of 30 is a guess" in text
        assert not {"\u202e", "\x1b", "\x00"} & set(text)
        assert "\\u202egnp.exe" in text.replace("\\\\", "\\")


def test_figures_are_explained_where_one_points_at_them_and_on_paper(report: SuiteReport) -> None:
    text = to_html(report)
    assert f'<abbr title="{meaning("efficacy")}">efficacy</abbr>' in text
    assert meaning("efficacy").startswith("the edit prompt: the new object is more probable than the old one")
    assert "<dt>multihop_2</dt><dd>a question over several facts" in text
    assert "n = 12, seed 0, model mini" in text
    assert "cases.html" not in text
    assert '<a href="cases.html">' in to_html(report, cases="cases.html")
    assert meaning("paraphrase_free_contains").endswith("holds a right name")
    assert meaning("own_figure") == ""


def test_markdown_has_one_line_per_metric_with_the_best_in_bold(report: SuiteReport) -> None:
    text = to_markdown(report)
    line = next(line for line in text.splitlines() if line.startswith("| efficacy "))
    assert line.endswith("| **100.0 ±0.0** |")
    heading = next(line for line in text.splitlines() if line.startswith("|  |"))
    assert heading.count("|") - heading.count("\\|") == len(report.methods) + 2
    assert "<script>" not in text.partition("Manifest:")[0].replace("\\<script>", "")
    assert "| glame against rome | efficacy | +50.0 [+25.0, +75.0] | 12 | separated |" in text


def test_csv_reads_back_with_every_digit(report: SuiteReport) -> None:
    lines = list(csv.DictReader(io.StringIO(to_csv(report))))
    figures = {(line["method"], line["metric"]): line for line in lines if not line["other"]}
    for method, found in report.methods.items():
        for metric, one in found.items():
            line = figures[method, metric]
            assert (float(line["value"]), float(line["low"]), float(line["high"])) == (one.value, one.low, one.high)
    assert len(lines) - len(figures) == len(report.comparisons)
    assert {line["separated"] for line in lines if line["other"]} == {"yes", "no"}


def test_json_is_the_report(report: SuiteReport) -> None:
    assert SuiteReport.model_validate_json(to_json(report)) == report
    data = json.loads(to_json(report))
    assert set(data["methods"]["rome"]["efficacy"]) == {"value", "low", "high", "n"}


class Page(HTMLParser):
    """Tags, outside addresses, and the text of a page."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.images: list[str] = []
        self.text: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        named = dict(attrs)
        assert not {"href", "srcset", "onload"} & named.keys()
        if tag == "img":
            self.images.append(str(named["src"]))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_stands_alone_and_escapes_what_it_shows(report: SuiteReport) -> None:
    page = Page(to_html(report))
    assert not {"script", "link", "b", "iframe"} & set(page.tags)
    assert all(source.startswith("data:image/svg+xml;base64,") for source in page.images)
    text = "".join(page.text)
    assert report.headline in text
    assert "ft:<script>alert(1)</script>|=1" in text
    assert '"model": "mini</pre><b>"' in text
    assert text.index(report.headline) < text.index("efficacy", text.index("Figures")) < text.index("Manifest")


def test_without_matplotlib_the_page_says_what_is_missing(
    report: SuiteReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(report: SuiteReport) -> str:
        raise MissingExtra("plots need matplotlib; install it with pip install 'kgedit[plots]'")

    monkeypatch.setattr(plots, "dots", missing)
    page = Page(to_html(report))
    assert page.images == []
    assert "pip install 'kgedit[plots]'" in "".join(page.text)
    assert "table" in page.tags


def test_a_suite_that_the_model_does_not_know_has_no_table(unknown: SuiteReport) -> None:
    assert not unknown.meaningful
    for text in (printed(unknown, 80), to_markdown(unknown), to_html(unknown)):
        assert "recalls the facts of 0 of 5 cases" in " ".join(text.split())
        assert NO_TABLE in " ".join(text.split())
        assert "50.0 ±" not in text
    assert json.loads(to_json(unknown))["methods"]["unedited"]["efficacy"]["value"] == 0.5


def test_a_report_is_written_whole_and_twice_the_same(report: SuiteReport, tmp_path: Path) -> None:
    names = ["report.csv", "report.html", "report.json", "report.md"]
    for folder in ("a", "b"):
        write_report(report, tmp_path / folder)
        assert sorted(path.name for path in (tmp_path / folder).iterdir()) == names
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    (tmp_path / "file").touch()
    with pytest.raises(SaveFailed):
        write_report(report, tmp_path / "file")
