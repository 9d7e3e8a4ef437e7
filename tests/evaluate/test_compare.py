"""Finished runs side by side, by hand: paired differences, means over seeds, and folders that do not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kgedit.cli import main
from kgedit.errors import EvaluationError
from kgedit.evaluate.compare import compare_runs
from kgedit.evaluate.report.html import to_html
from kgedit.evaluate.report.lengths import at_last_length, length_table
from kgedit.evaluate.report.marks import look, runs_of
from kgedit.evaluate.report.wording import best, cell
from kgedit.evaluate.results import Answered, CaseAnswers, LengthRow, Row
from kgedit.evaluate.run.folder import ANSWERS, LENGTHS, MANIFEST, ROWS


def run(path: Path, values: dict[str, list[float]], **changes: Any) -> Path:
    """A folder of a run with these efficacies by method, case by case."""
    manifest = {
        "suite": "made", "model": {"name": "mini"}, "cases": {"number": 8}, "mode": "alone", "seed": 0,
        "methods": list(values), "settings": {}, **changes,
    }  # fmt: skip
    path.mkdir()
    (path / MANIFEST).write_text(json.dumps(manifest))
    rows = [
        Row(case=str(case), method=method, hops=None, edits=1, values={"efficacy": value})
        for method, found in values.items()
        for case, value in enumerate(found)
    ]
    (path / ROWS).write_text("".join(f"{row.model_dump_json()}\n" for row in rows) + '{"case": "torn')
    return path


def test_the_same_method_of_two_runs_is_compared_case_by_case(tmp_path: Path) -> None:
    first = run(tmp_path / "first", {"unedited": [0.0] * 8, "rome": [0.0] * 8})
    second = run(tmp_path / "second", {"unedited": [0.0] * 8, "rome": [1.0] * 8}, settings={"rome": {"layer": 3}})
    before = (first / ROWS).read_bytes()
    found = compare_runs([first, second])
    (one,) = found.report.comparisons
    assert (one.method, one.other, one.difference, one.n) == ("rome@second", "rome@first", 1.0, 8)
    assert one.separated
    assert found.report.methods["rome@second"]["efficacy"].value == 1.0
    assert found.spread == ()
    assert (first / ROWS).read_bytes() == before  # a torn line is left to the run that resumes


def test_the_page_has_what_each_run_said_to_a_case_and_the_data_has_not(tmp_path: Path) -> None:
    folders = [run(tmp_path / name, {"rome": [0.0]}, settings={"layer": name}) for name in ("first", "second")]
    for folder, said in zip(folders, ("<b>Ulm", "Paris"), strict=True):
        answered = (Answered(prompt="Einstein was born in", said=said),)
        told = CaseAnswers(case="0", method="rome", edits=("born in",), seconds=1.0, answered=answered, scored=())
        (folder / ANSWERS).write_text(f"{told.model_dump_json()}\n")
    found = compare_runs(folders)
    page = to_html(found.report, answers=found.answers)
    assert "<th>rome@first</th><th>rome@second</th>" in page
    assert "<td>&lt;b&gt;Ulm</td><td>Paris</td>" in page
    assert "answers" not in found.model_dump(mode="json")


def sequence(path: Path, method: str, shares: dict[int, float], **changes: Any) -> Path:
    """A folder of a sequence: at each length all of its cases, this share of them right; the next is unfinished."""
    asked = {f"{method}@{n}": [float(case < share * n) for case in range(n)] for n, share in shares.items()}
    folder = run(path, {"unedited": [0.0] * 8, method: []}, mode="sequence", **changes)
    rows = [
        Row(case=str(case), method=name, hops=None, edits=1, values={"efficacy": value})
        for name, found in {**asked, f"{method}@99": [1.0]}.items()
        for case, value in enumerate(found)
    ]
    lengths = [
        LengthRow(method=method, length=n, edits=n, asked=n, asked_all=n, seconds=1.0, growth={}, change={},
                  perplexity=1.0 + n / 100, ability=0.5, ability_before=0.75)
        for n in shares
    ]  # fmt: skip
    told = (folder / ROWS).read_text().rpartition("\n")[0] + "\n"
    (folder / ROWS).write_text(told + "".join(f"{row.model_dump_json()}\n" for row in rows))
    (folder / LENGTHS).write_text("".join(f"{row.model_dump_json()}\n" for row in lengths))
    return folder


@pytest.mark.parametrize("other", ["rome", "memit"])  # the same method, or the only one of each run
def test_sequences_are_compared_by_their_number_of_edits(tmp_path: Path, other: str) -> None:
    first = sequence(tmp_path / "first", "rome", {4: 1.0, 8: 0.5})
    second = sequence(tmp_path / "second", other, {4: 1.0, 8: 1.0, 12: 0.0}, settings={"layer": 3})
    report = compare_runs([first, second]).report
    # 1. A row for each run, method and length, with its interval; a length that a killed run did not finish has none.
    heading, rows = length_table(report, cell)
    efficacy = heading.index("efficacy")
    assert [(row[0], row[1], row[efficacy].partition(" ")[0]) for row in rows] == [
        ("unedited@first", "0", "0.0"), ("unedited@second", "0", "0.0"),
        ("rome@first", "4", "100.0"), ("rome@first", "8", "50.0"),
        (f"{other}@second", "4", "100.0"), (f"{other}@second", "8", "100.0"), (f"{other}@second", "12", "0.0"),
    ]  # fmt: skip
    assert "±" in rows[3][efficacy]
    assert rows[1][heading.index("ability")] == "75.0"
    # 2. Differences at the last length that both have.
    (one,) = report.comparisons
    assert (one.method, one.other, one.difference, one.n) == (f"{other}@second@8", "rome@first@8", 0.5, 8)
    # 3. One curve for each run, told apart by marker and line as well as by colour; of the rest the last length.
    page = to_html(report)
    assert not best(report, "efficacy") & {"unedited@first", "unedited@second"}
    assert "<h2>By number of edits</h2>" in page
    assert page.count("<figure>") == 2
    looks = [look(name, runs_of(at_last_length(report).methods)) for name in ("rome@first", f"{other}@second")]
    for told in ("colour", "marker", "line"):
        assert getattr(looks[0], told) != getattr(looks[1], told)
    assert "n = 12, seed 0, model mini" in page


def test_sequences_over_seeds_are_one_curve(tmp_path: Path) -> None:
    seeds = [sequence(tmp_path / f"s{seed}", "rome", {4: share}, seed=seed) for seed, share in ((0, 0.5), (1, 1.0))]
    other = run(tmp_path / "other", {"unedited": [0.0] * 8, "rome": [1.0] * 8})
    report = compare_runs([*seeds, other]).report
    (row,) = report.lengths
    assert (row.method, row.length) == ("rome@s0", 4)
    assert report.methods["rome@s0@4"]["efficacy"].value == 0.75
    assert report.comparisons == ()  # one edit alone is no sequence
    assert list(at_last_length(report).methods) == ["unedited@s0", "rome@s0", "unedited@other", "rome@other"]


def test_runs_of_one_other_method_each_are_compared(tmp_path: Path) -> None:
    first = run(tmp_path / "a", {"unedited": [0.0] * 8, "rome": [0.0, 1.0] * 4})
    second = run(tmp_path / "b", {"unedited": [0.0] * 8, "memit": [1.0] * 8})
    (one,) = compare_runs([first, second]).report.comparisons
    assert (one.method, one.other, one.difference) == ("memit@b", "rome@a", 0.5)


def test_seeds_are_one_run_with_mean_and_spread(tmp_path: Path) -> None:
    seeds = [
        run(
            tmp_path / f"seed{seed}",
            {"unedited": [0.0] * 8, "rome": [float(case < wins) for case in range(8)]},
            seed=seed,
        )
        for seed, wins in enumerate((2, 4, 6))
    ]
    other = run(tmp_path / "other", {"unedited": [0.0] * 8, "rome": [1.0] * 8}, mode="together")
    found = compare_runs([*seeds, other])
    row = next(row for row in found.spread if row.method == "rome")
    assert (row.seeds, row.values, row.mean, row.deviation) == ((0, 1, 2), (0.25, 0.5, 0.75), 0.5, 0.25)
    assert found.report.methods["rome@seed0"]["efficacy"].value == pytest.approx(0.5)
    (one,) = found.report.comparisons
    assert (one.method, one.difference) == ("rome@other", 0.5)


def test_a_run_made_twice_with_one_seed_is_not_averaged(tmp_path: Path) -> None:
    for name, value, seed in (("a", 0.0, 0), ("b", 1.0, 0), ("c", 1.0, 1)):
        run(tmp_path / name, {"unedited": [0.0] * 8, "rome": [value] * 8}, seed=seed)
    found = compare_runs([tmp_path / name for name in "abc"])
    assert found.spread == ()
    assert [found.report.methods[f"rome@{name}"]["efficacy"].value for name in "abc"] == [0, 1, 1]
    assert [(one.method, one.difference) for one in found.report.comparisons] == [("rome@b", 1), ("rome@c", 1)]


@pytest.mark.parametrize("ending", ["html", "md", "json"])
def test_the_command_writes_over_its_own_earlier_output_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ending: str
) -> None:
    folders = [str(run(tmp_path / f"s{seed}", {"rome": [1.0] * 8}, seed=seed)) for seed in (0, 1)]
    page = tmp_path / f"page.{ending}"
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            main(["eval", "compare", *folders, "--out", str(page)])
        assert ended.value.code == 0, capsys.readouterr().err
    assert "made: s0, 2 runs that differ in their seed only, taken together" in page.read_text()
    page.write_text("**My own** notes\n\nManifest: none")
    with pytest.raises(SystemExit) as ended:
        main(["eval", "compare", *folders, "--out", str(page)])
    assert ended.value.code != 0
    assert page.read_text().startswith("**My own**")


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    first = run(tmp_path / "a", {"rome": [1.0]})
    with pytest.raises(EvaluationError, match="at least two"):
        compare_runs([first, first])
    with pytest.raises(EvaluationError, match="no folder of a run"):
        compare_runs([first, tmp_path / "absent"])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / MANIFEST).write_text('{"name": "somebody else"}')
    with pytest.raises(EvaluationError, match="not the manifest of a run"):
        compare_runs([first, tmp_path / "other"])
    with pytest.raises(EvaluationError, match="different benchmarks"):
        compare_runs([first, run(tmp_path / "b", {"rome": [1.0]}, suite="other")])


@pytest.mark.parametrize("ending", ["html", "md", "json"])
def test_the_command_prints_a_table_and_writes_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ending: str
) -> None:
    folders = [str(run(tmp_path / f"s{seed}", {"rome": [0.0, 1.0] * 4}, seed=seed)) for seed in (0, 1)]
    folders.append(str(run(tmp_path / "other", {"rome": [1.0] * 8}, mode="together")))
    page = tmp_path / f"page.{ending}"
    with pytest.raises(SystemExit) as ended:
        main(["eval", "compare", *folders, "--out", str(page)])
    assert ended.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "rome@other against rome@s0 efficacy +50.0" in shown
    assert "s0 rome efficacy 0, 1 50.0 0.0 50.0 to 50.0" in shown
    assert "rome@other" in page.read_text()
