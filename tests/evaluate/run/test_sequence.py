"""Sequences of edits: what is asked at each length, how the model is measured, and runs that are stopped."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from kgedit.errors import EvaluationError
from kgedit.evaluate.benchmarks.case import BenchmarkCase, Questions
from kgedit.evaluate.report import curves
from kgedit.evaluate.results import NOT_RECALLED, UNEDITED, LengthRow
from kgedit.evaluate.run import modes
from kgedit.evaluate.run.evaluate import EvaluationResult, evaluate
from kgedit.evaluate.run.folder import LENGTHS, ROWS
from kgedit.evaluate.run.lengths import Lengths
from kgedit.evaluate.run.settings import EvaluationSettings
from kgedit.evaluate.run.whole_model import WholeModel
from kgedit.lm.load import load_model
from kgedit.mini import MINI

pytestmark = pytest.mark.timeout(600)

MEMIT, LOCFT = "memit:steps=3", "locft:epochs=2:facts=100"


def settings(data: Path, **changes: Any) -> EvaluationSettings:
    plain = {"suite": "counterfact", "data": str(data), "methods": f"{MEMIT},{LOCFT}", "moments": "identity"}
    return EvaluationSettings(
        **{**plain, "protocol": "free", "sequence": (1, 4), "asked_at_most": 2, "batch_edits": 2, **changes}
    )


def without_times(found: EvaluationResult) -> dict[str, Any]:
    told = found.report.model_dump(mode="json")
    return told | {"lengths": [row | {"seconds": 0} for row in told["lengths"]]}


@pytest.fixture(autouse=True, scope="module")
def _no_drawings_and_few_questions() -> Iterator[None]:
    """Curves are drawn in tests/evaluate/report/test_curves.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "by_length", lambda report: "")
        patch.setattr("kgedit.evaluate.run.ability._FACTS", 40)
        patch.setattr("kgedit.evaluate.run.whole_model._SENTENCES", 30)
        yield


@pytest.fixture(scope="module")
def run(known_counterfacts: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[EvaluationResult, Path]:
    """Four edits by two methods."""
    folder = tmp_path_factory.mktemp("sequence")
    return evaluate(settings(known_counterfacts), out=folder), folder


def test_all_edits_so_far_are_asked_and_other_wordings_of_some(run: tuple[EvaluationResult, Path]) -> None:
    report = run[0].report
    names = [f"{method}@{length}" for method in (MEMIT, LOCFT) for length in (1, 4)]
    assert [*report.methods] == [UNEDITED, *names]
    asked = {
        name: (figures["efficacy_free"].n, figures["paraphrase_free"].n) for name, figures in report.methods.items()
    }
    assert asked == {UNEDITED: (4, asked[UNEDITED][1]), **{name: (4, 2) if "@4" in name else (1, 1) for name in names}}
    counts = [(row.method, row.length, row.edits, row.asked, row.asked_all) for row in report.lengths]
    assert counts == [(method, *numbers) for method in (MEMIT, LOCFT) for numbers in ((1, 1, 1, 1), (4, 4, 4, 2))]


def test_the_whole_model_is_measured_at_each_length(run: tuple[EvaluationResult, Path]) -> None:
    """MEMIT's change grows from one length to the next; that of one training is made anew."""
    rows = {(row.method, row.length): row for row in run[0].report.lengths}
    first, last = rows[MEMIT, 1], rows[MEMIT, 4]
    assert all(0 < first.change[name] < last.change[name] for name in last.change)
    assert set(first.growth) == set(first.change) == set(last.growth)
    assert len(rows[LOCFT, 4].change) == 1
    assert all(row.seconds > 0 and 0.5 < row.perplexity < 10 for row in rows.values())
    # The bundled model gives nearly every fact that it is asked; four edits leave most of them.
    assert all(row.ability_before is not None and row.ability_before > 0.95 for row in rows.values())
    assert all(row.ability is not None and 0.5 < row.ability <= 1 for row in rows.values())
    assert all(abs(growth - 1) < row.change[name] for row in rows.values() for name, growth in row.growth.items())


def test_a_destroyed_model_is_measured_in_numbers_that_can_be_read_back() -> None:
    model, tokenizer = load_model(MINI)
    editor: Any = SimpleNamespace(
        model=model, tokenizer=tokenizer, growth=lambda: {"w": math.nan}, norms=lambda: {"w": math.inf}
    )
    row = WholeModel(editor, ["Paris is a city."], []).measure("m", 1, edits=1, asked=1, asked_all=1, seconds=1.0)
    assert LengthRow.model_validate_json(row.model_dump_json()) == row
    assert row.growth == row.change == {"w": 1e300}


def test_the_report_has_a_row_for_each_method_and_length(run: tuple[EvaluationResult, Path]) -> None:
    folder = run[1]
    page, told = (folder / "report.html").read_text(), (folder / "report.md").read_text()
    assert "By number of edits" in page
    assert f"| {MEMIT} | 4 | 4 | 2 |" in told
    assert [row["length"] for row in json.loads((folder / "report.json").read_text())["lengths"]] == [1, 4, 1, 4]


@pytest.mark.long
def test_a_finished_length_is_not_computed_again(
    known_counterfacts: Path, run: tuple[EvaluationResult, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, folder = run
    stopped = tmp_path / "stopped"
    shutil.copytree(folder, stopped)
    for name, kept in ((LENGTHS, 3), (ROWS, 14)):  # the last length of the second method is missing
        lines = (stopped / name).read_bytes().splitlines(keepends=True)
        (stopped / name).write_bytes(b"".join(lines[:kept]))
    shutil.rmtree(next(path for path in (stopped / "deltas").iterdir() if (path / "000004").exists()) / "000004")
    computed: list[int] = []
    joint = modes._joint

    def counted(editor: Any, chunk: Any) -> Any:
        computed.append(len(chunk))
        return joint(editor, chunk)

    monkeypatch.setattr(modes, "_joint", counted)
    assert without_times(evaluate(settings(known_counterfacts), out=stopped)) == without_times(whole)
    assert computed == [4]
    # With the deltas alone they are measured again, and none is computed.
    (stopped / LENGTHS).unlink()
    again = without_times(evaluate(settings(known_counterfacts, methods=MEMIT), out=stopped))
    assert again["lengths"] == without_times(whole)["lengths"][:2]
    assert computed == [4]


def test_a_run_that_is_stopped_leaves_the_report_of_the_lengths_that_it_finished(
    known_counterfacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = WholeModel.measure

    def stopped(self: WholeModel, method: str, length: int, **numbers: Any) -> Any:
        if length == 3:
            raise KeyboardInterrupt
        return measure(self, method, length, **numbers)

    monkeypatch.setattr(WholeModel, "measure", stopped)
    with pytest.raises(KeyboardInterrupt):
        evaluate(settings(known_counterfacts, methods=MEMIT, protocol="published", sequence=(1, 2, 3)), out=tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    assert [row["length"] for row in report["lengths"]] == [1, 2]
    assert [*report["methods"]] == [UNEDITED, f"{MEMIT}@1", f"{MEMIT}@2"]


def test_a_refused_edit_is_left_out_of_every_length(known_counterfacts: Path, tmp_path: Path) -> None:
    records = json.loads(known_counterfacts.read_text())[:3]
    records[1]["requested_rewrite"]["prompt"] = "word " * 130 + "{} is"
    path = tmp_path / "records.json"
    path.write_text(json.dumps(records))
    found = evaluate(settings(path, methods=MEMIT, protocol="published", sequence=(1, 3), asked_at_most=9))
    assert [(item.case, item.method) for item in found.left_out] == [("101", MEMIT)]
    assert [(row.edits, row.asked) for row in found.report.lengths] == [(1, 1), (2, 2)]


def test_no_edit_of_a_fact_that_is_not_recalled_is_made_though_its_case_is_asked_at_no_length(
    known_counterfacts: Path, tmp_path: Path
) -> None:
    records = json.loads(known_counterfacts.read_text())[:4]
    for record in records[1:]:
        record["requested_rewrite"]["target_true"]["str"] = "Nowhere at All"
    path = tmp_path / "records.json"
    path.write_text(json.dumps(records))
    chosen = settings(path, methods=MEMIT, protocol="published", asked_at_most=1, recalled_only=True)
    found = evaluate(chosen)
    assert [(item.case, item.reason) for item in found.left_out] == [
        (case, NOT_RECALLED) for case in ("101", "102", "103")
    ]
    assert [(row.length, row.edits) for row in found.report.lengths] == [(1, 1), (4, 1)]
    assert "recalls the facts of 1 of 4 cases" in found.report.headline


def test_facts_that_are_asked_at_no_length_are_known_as_such_though_nothing_is_edited(tmp_path: Path) -> None:
    facts = [
        {"known_id": number, "subject": name, "attribute": place, "template": "{} was born in", "relation_id": "P19"}
        | {"prompt": f"{name} was born in", "prediction": f" {place}"}
        for number, (name, place) in enumerate([("Albert Einstein", "Ulm"), ("Marie Curie", "Nowhere at All")])
    ]
    path = tmp_path / "facts.json"
    path.write_text(json.dumps(facts))
    found = evaluate(
        settings(
            path,
            suite="known-facts",
            methods=UNEDITED,
            asked_at_most=1,
            sequence=(1, 2),
            recalled_only=True,
            protocol="published",
        )
    )
    assert {item.reason for item in found.left_out} == {NOT_RECALLED}
    assert [item.case for item in found.left_out] == ["1"]


def test_each_length_draws_from_all_cases_so_far() -> None:
    cases = [
        BenchmarkCase(
            str(number),
            (),
            Questions(),
            lambda *_: {},
            brief=BenchmarkCase(str(number), (), Questions(), lambda *_: {}),
        )
        for number in range(1000)
    ]
    lengths = Lengths(cases, (10, 100, 1000), most=50, seed=0)
    assert [len(lengths.asked_all(length)) for length in lengths.lengths] == [10, 50, 50]
    drawn = [int(case) for case in lengths.asked_all(1000)]
    assert 15 <= sum(number >= 500 for number in drawn) <= 35
    assert len(lengths.asked(1000)) == 1000
    assert sum(case.brief is not None for case in lengths.asked(1000)) == 50
    again = Lengths(cases, (1000,), most=50, seed=0)
    assert again.asked_all(1000) == lengths.asked_all(1000)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sequence": (4, 1)}, "each above the last"),
        ({"sequence": (0, 4)}, "whole numbers from 1"),
        ({"limit": 3}, "leave the limit out"),
        ({"sequence": (), "ability": "own.tsv"}, "give its lengths as well"),
        ({"sequential": True, "batch_edits": None}, "not both"),
    ],
)
def test_lengths_that_make_no_sense_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        settings(Path("unread.json"), **changes)


def test_the_longest_length_may_be_named_as_the_limit_as_well() -> None:
    assert settings(Path("unread.json"), sequence=(1, 4), limit=4).sequence == (1, 4)


def test_a_sequence_longer_than_the_file_is_refused(known_counterfacts: Path) -> None:
    with pytest.raises(EvaluationError, match="holds 12 cases .* up to 13"):
        evaluate(settings(known_counterfacts, sequence=(1, 13)))
