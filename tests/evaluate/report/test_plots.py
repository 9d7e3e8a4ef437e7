"""The figures of the page: drawn for every method, equal bytes every time, and labels that do not meet."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET

import pytest

from kgedit.evaluate.report.marks import look
from kgedit.evaluate.report.model import SuiteReport, build_report
from kgedit.evaluate.report.plots import by_hops, dots
from kgedit.evaluate.results import Row
from kgedit.methods.registry import METHODS

mpl = pytest.importorskip("matplotlib", reason="plots are drawn by matplotlib, the extra plots")

EIGHT = ("unedited", "ft", "ft-l", "rome", "memit", "rome-kg", "memit-kg", "glame:encoder=mlp")


@pytest.fixture
def eight() -> SuiteReport:
    names = ("efficacy", "paraphrase", "neighborhood", "portability", "neighborhood_magnitude")
    rows = [
        Row(case=str(case), method=method, hops=2, edits=1, values=dict.fromkeys(names, float(case < place)))
        for case in range(8)
        for place, method in enumerate(EIGHT)
    ]
    return build_report(rows, suite="counterfact", manifest={}, left_out={}, seed=0)


def test_every_drawing_is_an_svg_with_equal_bytes(report: SuiteReport) -> None:
    for draw in (dots, by_hops):
        svg = draw(report)
        assert svg is not None
        assert ET.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
        assert svg == draw(report)
        assert "<dc:date>" not in svg


def test_a_users_own_style_changes_nothing_and_stays(report: SuiteReport) -> None:
    plain = dots(report)
    with mpl.rc_context({"axes.facecolor": "red", "font.size": 30}):
        assert dots(report) == plain
        assert mpl.rcParams["font.size"] == 30


def test_labels_of_eight_methods_do_not_meet(eight: SuiteReport, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    drawn = []
    write = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (drawn.append(self), write(self, *a, **k)))
    dots(eight)
    figure = drawn[-1]
    texts = [*figure.legends[0].get_texts(), *(label for axes in figure.axes for label in axes.get_yticklabels())]
    assert len(texts) == len(EIGHT) + 5
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts]
    assert [(a, b) for (a, one), (b, two) in itertools.combinations(boxes, 2) if one.overlaps(two)] == []


def test_without_hop_classes_there_is_no_drawing_by_hops(eight: SuiteReport) -> None:
    assert by_hops(eight) is None


def test_the_second_criterion_of_ripple_edits_is_no_number_of_hops() -> None:
    values = {"compositionality_1": 1.0, "compositionality_2": 0.5}
    rows = [Row(case=str(case), method="rome", hops=None, edits=1, values=values) for case in range(3)]
    assert by_hops(build_report(rows, suite="ripple", manifest={}, left_out={}, seed=0)) is None


def test_a_zero_is_drawn_and_points_stand_at_their_ticks(report: SuiteReport, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    drawn = []
    write = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (drawn.append(self), write(self, *a, **k)))
    dots(report)
    by_hops(report)
    flat, lines = drawn[-2].axes[0], drawn[-1].axes[0]
    assert len(flat.containers) == len(lines.containers) == len(report.methods)
    zero = flat.containers[0].lines[0]
    assert list(zero.get_xdata()) == [0.0] * len(zero.get_xdata())
    assert flat.get_xlim()[0] < 0  # no marker lies on the edge, where half of it would be cut off
    assert lines.get_ylim()[0] < 0
    places = [container.lines[0].get_xdata() for container in lines.containers]
    assert max(abs(place - hops) for found in places for place, hops in zip(found, (2, 3, 4), strict=True)) < 0.1


def test_a_method_looks_the_same_whatever_else_is_in_a_report() -> None:
    assert look("rome") == look("rome")
    looks = [look(name) for name in ("unedited", "pasted", *METHODS)]
    assert len({(own.colour, own.marker) for own in looks}) == len(looks)
    paper = look("glame:paper")
    assert (paper.marker, paper.colour != look("glame").colour) == (look("glame").marker, True)
    assert look("rome@end") == look("rome")._replace(filled=False)
    assert look("a-plugin:x=1").marker == look("a-plugin").marker
