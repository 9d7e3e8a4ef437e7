"""What a traced model leaves in a folder: numbers, heat maps, one page."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from kgedit.errors import SaveFailed
from kgedit.lm.tracing.trace import Trace
from kgedit.locate.files import check_folder_free, write_located
from kgedit.locate.heat_map import average_map
from kgedit.locate.located import Located, TracingSettings
from kgedit.locate.neurons import AnswerNeuron, FactNeurons, fact_rows, summary


def located(prompts: int) -> Located:
    rows = ((0.0, 0.0), (0.1, 0.4), (0.2, -0.1))
    traced = Trace(
        prompt="<b> is a $x$", tokens=("<b>", " is", "\x1b$x$"), subject=(1, 1), answer=" y", clean=0.9,
        corrupted=0.1, effects={"state": rows, "mlp": rows}, severed={"mlp": (0.1, 0.0), "attention": (0.2, 0.1)},
    )  # fmt: skip
    effects = {kind: {"last subject token": (0.1, 0.4)} for kind in ("state", "mlp")}
    return Located(
        model="tiny", settings=TracingSettings(window=2), noise=0.3, traces=(traced,) * prompts, effects=effects,
        severed=traced.severed, clean=0.9, corrupted=0.1, peak={"state": 1, "mlp": 1},
    )  # fmt: skip


def test_numbers_heat_maps_and_a_page_are_written(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="heat maps are drawn by matplotlib, the extra plots")
    report = located(2)
    names = write_located(report, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(names)
    assert {"locate.html", "locate.json", "mean-state.svg", "mean-mlp.png", "severed.svg", "prompt-1-mlp.svg"} <= {
        *names
    }
    assert Located.model_validate_json((tmp_path / "out" / "locate.json").read_text()) == report
    assert ET.fromstring((tmp_path / "out" / "mean-state.svg").read_bytes()).tag.endswith("svg")
    assert (tmp_path / "out" / "mean-state.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "out" / "locate.html").read_text()
    assert "&lt;b&gt; is a $x$" in page
    assert "<b> is" not in page
    assert "\x1b" not in page
    assert average_map(report, "state") == average_map(report, "state")
    check_folder_free(tmp_path / "out")  # an earlier report is replaced


def test_drawings_of_an_earlier_report_do_not_stay_beside_the_next_one(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="heat maps are drawn by matplotlib, the extra plots")
    # The kind "attention" was not traced, so no report told of a drawing of it.
    mine = ("mean-attention.png", "mean-values.csv", "prompt-1-mlp.txt", "prompt-1-notes.svg", "severed.txt")
    for name in mine:
        (tmp_path / name).write_text("mine")
    write_located(located(2), tmp_path)
    assert (tmp_path / "prompt-1-mlp.svg").exists()
    names = write_located(located(1), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*names, *mine}


def test_a_drawing_that_no_report_told_of_is_not_removed(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="heat maps are drawn by matplotlib, the extra plots")
    mine = tmp_path / "prompt-7-mlp.svg"  # of a name that a report of more prompts would take
    (tmp_path / "locate.json").write_text('{"mine": 1}')
    mine.write_text("mine")
    write_located(located(2), tmp_path)  # --force, as the numbers are another program's
    assert mine.read_text() == "mine"
    write_located(located(1), tmp_path)
    assert mine.read_text() == "mine"
    assert not (tmp_path / "prompt-1-mlp.svg").exists()


def test_files_of_others_are_not_written_over(tmp_path: Path) -> None:
    for name in ("locate.html", "locate.json", "severed.png"):
        file = tmp_path / name
        file.write_text("mine")
        with pytest.raises(SaveFailed, match=f"{name} is there"):
            check_folder_free(tmp_path)
        check_folder_free(tmp_path, force=True)
        file.unlink()
    (tmp_path / "notes.txt").write_text("mine")
    check_folder_free(tmp_path)


def test_neurons_are_a_table_on_the_page_and_are_summed_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    shared, own = (AnswerNeuron(layer=layer, entry=7, attribution=0.25, says=("<i>", " b", "c")) for layer in (2, 3))
    facts = [
        FactNeurons(prompt="p", answer="a", wordings=2, coarse=(shared, own), refined=(shared,)),
        FactNeurons(prompt="q", answer="b", wordings=1, coarse=(shared,), refined=()),
    ]
    assert summary(facts) == (
        "On average 1.5 neurons carry the answer, 67 % of them in layer 2. "
        "Neuron 7 of layer 2 is among those of 2 of 2 facts."
    )
    assert summary(facts[1:]) == "1 neuron carries the answer, 100 % of them in layer 2."
    assert fact_rows(facts, 1) == [
        ("p", "a", "<i>, b, c", "2", "7*", "25.00"),
        ("q", "b", "<i>, b, c", "2", "7", "25.00"),
    ]
    write_located(located(1).model_copy(update={"neurons": tuple(facts)}), tmp_path)
    page = (tmp_path / "locate.html").read_text()
    assert "7*" in page
    assert "&lt;i&gt;, b, c" in page


def test_without_matplotlib_the_page_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert write_located(located(1), tmp_path) == ["locate.json", "locate.html"]
    assert "kgedit[plots]" in (tmp_path / "locate.html").read_text()
    assert json.loads((tmp_path / "locate.json").read_text())["peak"] == {"state": 1, "mlp": 1}
