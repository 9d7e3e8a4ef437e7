"""Evaluations of the bundled model: edits reverted, runs stopped and resumed, cases left out by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from kgedit.errors import DataError, EvaluationError, NotReverted, OtherRun, SettingError
from kgedit.evaluate.benchmarks.table import BUILT_IN
from kgedit.evaluate.results import RECALLED, UNEDITED
from kgedit.evaluate.run import case_runner
from kgedit.evaluate.run.evaluate import EvaluationResult, evaluate
from kgedit.evaluate.run.folder import ANSWERS, LEFT_OUT, ROWS
from kgedit.evaluate.run.prepared import MALFORMED, open_method
from kgedit.evaluate.run.settings import EvaluationSettings
from kgedit.lm.prefixes import sample_prefixes

# A model is loaded twice per evaluation; on a busy machine that takes its time.
pytestmark = pytest.mark.timeout(600)

ROME = "rome:steps=4"
# Real files, and the suites that they are run as; the first of each suite is always run, the others in the long run.
REAL_FILES = {
    "counterfact/counterfact.json": "counterfact",
    "counterfact/easyedit_counterfact-edit.json": "counterfact",
    "zsre/zsre_mend_eval_portability_gpt4.json": "zsre",
    "zsre/zsre_mend_train-1k.json": "zsre",
    "mquake/MQuAKE-CF-3k-v2.sample6.json": "mquake",
    "mquake/MQuAKE-hard.json": "mquake",
    "mquake/MQuAKE-CF-3k.questions_and_edits.jsonl": "mquake",
    "mquake/MQuAKE-T.questions_and_edits.jsonl": "mquake",
    "knowedit/wiki_recent.json": "knowedit",
    "knowedit/wiki_counterfact.json": "knowedit",
    "rippleedits/popular_sample3.json": "ripple",
    "known_facts/known_1000.json": "known-facts",
}
FIRST = {suite: name for name, suite in reversed(REAL_FILES.items())}.values()


def settings(data: Path, **changes: Any) -> EvaluationSettings:
    plain = {"suite": "counterfact", "data": str(data), "methods": ROME, "moments": "identity"}
    return EvaluationSettings(**{**plain, **changes})


Run = tuple[EvaluationResult, Path]
MODES: dict[str, dict[str, Any]] = {"alone": {}, "sequential": {"sequential": True}, "batch": {"batch_edits": 2}}


@pytest.fixture(scope="module")
def whole(known_counterfacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    """Three edits in a mode, run once; tests leave its folder as it is."""

    @cache
    def run(mode: str) -> Run:
        folder = tmp_path_factory.mktemp(mode)
        return evaluate(settings(known_counterfacts, limit=3, **MODES[mode]), out=folder), folder

    return run


def report_of(folder: Path) -> bytes:
    return (folder / "report.json").read_bytes()


def stop_after(folder: Path, rows: int, into: Path) -> None:
    """Leave a folder as a run would that was killed while it wrote the row after so many."""
    shutil.copytree(folder, into)
    lines = (into / ROWS).read_bytes().splitlines(keepends=True)
    (into / ROWS).write_bytes(b"".join(lines[:rows]) + lines[rows][:25])
    for report in into.glob("report.*"):
        report.unlink()


def test_edits_show_in_their_rows_and_leave_the_others_alone(known_counterfacts: Path, tmp_path: Path) -> None:
    chosen = settings(known_counterfacts, methods="rome", limit=2)
    found = evaluate(chosen, out=tmp_path)
    before, after = (found.report.methods[name] for name in (UNEDITED, "rome"))
    assert found.report.known is not None
    assert (found.report.cases, found.report.known.value, found.left_out) == (2, 1, ())
    assert before["efficacy"].value == 0 < after["efficacy"].value
    assert before["efficacy"].n == after["efficacy"].n == 2
    rows = [json.loads(line) for line in (tmp_path / ROWS).read_text().splitlines()]
    assert [(row["case"], row["method"]) for row in rows] == [
        (case, name) for name in (UNEDITED, "rome") for case in ("100", "101")
    ]
    assert [RECALLED in row["values"] for row in rows] == [True] * 2 + [False] * 2
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["settings"]["rome"]["steps"] == 30
    assert manifest["data"]["source"] == known_counterfacts.name
    assert str(tmp_path) not in json.dumps(manifest)


@pytest.mark.parametrize("mode", MODES)
def test_a_stopped_run_ends_like_one_that_was_not(
    known_counterfacts: Path, whole: Callable[[str], Run], tmp_path: Path, mode: str
) -> None:
    expected, folder = whole(mode)
    stop_after(folder, 4, tmp_path / "stopped")
    assert evaluate(settings(known_counterfacts, limit=3, **MODES[mode]), out=tmp_path / "stopped") == expected
    assert report_of(tmp_path / "stopped") == report_of(folder)
    assert sorted((tmp_path / "stopped" / ROWS).read_text().splitlines()) == sorted(
        (folder / ROWS).read_text().splitlines()
    )
    methods = [UNEDITED, ROME, *([f"{ROME}@end"] if mode == "sequential" else [])]
    assert [*expected.report.methods] == methods


def test_what_is_in_force_differs_between_the_modes(whole: Callable[[str], Run]) -> None:
    alone, kept, batch = (whole(mode)[0].report.methods for mode in MODES)
    magnitude = "neighborhood_magnitude"
    assert alone[UNEDITED] == kept[UNEDITED] == batch[UNEDITED]
    assert len({found[ROME][magnitude].value for found in (alone, kept, batch)}) == 3
    assert kept[ROME][magnitude] != kept[f"{ROME}@end"][magnitude]


def test_other_settings_do_not_continue_a_run(known_counterfacts: Path, tmp_path: Path) -> None:
    chosen = settings(known_counterfacts, limit=1, methods=UNEDITED)
    evaluate(chosen, out=tmp_path)
    for changes, words in (
        ({"seed": 1}, "seed was 0, now 1"),
        ({"match": "contains"}, r"scoring\.match was \"exact\", now \"contains\""),
        ({"sequential": True, "limit": 2}, r"cases\.limit was 1, now 2"),
    ):
        with pytest.raises(OtherRun, match=words):
            evaluate(chosen.model_copy(update=changes), out=tmp_path)


def test_a_finished_run_takes_more_methods_and_cases_and_keeps_its_rows(
    known_counterfacts: Path, whole: Callable[[str], Run], tmp_path: Path
) -> None:
    evaluate(settings(known_counterfacts, limit=1, methods=UNEDITED), out=tmp_path)
    more = evaluate(settings(known_counterfacts, limit=3), out=tmp_path)
    rows = (tmp_path / ROWS).read_text().splitlines()
    assert [json.loads(line)["method"] for line in rows] == [UNEDITED] * 3 + [ROME] * 3
    assert more.report.methods[ROME]["efficacy"].n == 3
    assert more.report.methods[ROME]["efficacy"] == whole("alone")[0].report.methods[ROME]["efficacy"]
    # Fewer methods in the command change nothing: those of the folder stay in its report.
    again = evaluate(settings(known_counterfacts, limit=3, methods=UNEDITED), out=tmp_path)
    assert again.report.methods == more.report.methods
    assert (tmp_path / ROWS).read_text().splitlines() == rows


def test_every_case_is_kept_with_its_prompts_answers_and_seconds(whole: Callable[[str], Run]) -> None:
    found, folder = whole("alone")
    kept = [json.loads(line) for line in (folder / ANSWERS).read_text().splitlines()]
    assert [line["method"] for line in kept] == [UNEDITED] * 3 + [ROME] * 3
    assert all(line["seconds"] >= 0 and line["edits"] and line["scored"] for line in kept)
    assert set(found.seconds) == {UNEDITED, ROME}
    page = (folder / "cases.html").read_text()
    assert kept[0]["scored"][0]["prompt"] in unescape(page)
    assert any("identity was asked for" in note for note in found.report.notes)


def test_the_time_of_a_case_has_no_loading_of_the_model_in_it(
    known_counterfacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0]

    def slow(work: Callable[..., Any]) -> Callable[..., Any]:
        def later(*args: Any, **options: Any) -> Any:
            clock[0] += 1000
            return work(*args, **options)

        return later

    monkeypatch.setattr(case_runner, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    monkeypatch.setattr("kgedit.evaluate.run.evaluate.open_method", slow(open_method))
    monkeypatch.setattr("kgedit.editor.sample_prefixes", slow(sample_prefixes))
    assert evaluate(settings(known_counterfacts, limit=1)).seconds == {UNEDITED: 0, ROME: 0}
    assert clock == [2000]


def test_unedited_answers_are_asked_once(
    known_counterfacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings(known_counterfacts, limit=2, methods=UNEDITED, seed=77)
    first = evaluate(chosen, out=tmp_path)
    monkeypatch.setattr("kgedit.evaluate.run.unedited.ask_cases", lambda *_, **__: pytest.fail("asked again"))
    assert evaluate(chosen) == first


def test_a_weight_that_stays_changed_stops_the_run(known_counterfacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask_cases = case_runner.ask_cases

    def careless(model: Any, *args: Any, **options: Any) -> Any:
        with torch.no_grad():
            model.transformer.ln_f.weight[0] += 1e-6
        return ask_cases(model, *args, **options)

    monkeypatch.setattr(case_runner, "ask_cases", careless)
    with pytest.raises(NotReverted, match="differ after all edits of rome"):
        evaluate(settings(known_counterfacts, limit=1))


def test_cases_that_cannot_be_run_are_named_with_their_reason(known_counterfacts: Path, tmp_path: Path) -> None:
    records = json.loads(known_counterfacts.read_text())[:5]
    rewrites = [record["requested_rewrite"] for record in records]
    rewrites[0]["target_new"] = rewrites[0]["target_true"]
    rewrites[1]["prompt"] = "After a very long time and many more words than it can read, " * 9 + "{} is"
    rewrites[2]["target_new"]["str"] = "<|endoftext|>"
    del rewrites[3]["target_new"]
    path, out = tmp_path / "records.json", tmp_path / "run"
    path.write_text(json.dumps(records))
    for _ in range(2):  # the second time everything is on disk
        found = evaluate(settings(path), out=out)
        reasons = {(item.case, item.method): item.reason for item in found.left_out}
        assert reasons == {
            ("records.json#3", None): MALFORMED,
            ("100", None): "the new object is the old one, or the old one is not given",
            ("101", ROME): "a prompt does not fit into the model's context",
            ("102", None): "an object cannot be written with the model's tokenizer",
        }
        assert found.report.left_out == {
            (f"{method}: " if method else "") + reason: 1 for (_, method), reason in reasons.items()
        }
        assert found.report.methods[ROME]["efficacy"].n == 1
        assert found.report.methods[UNEDITED]["efficacy"].n == 2
        assert any("beginning was cut off" in note for note in found.notes)
    assert len((out / LEFT_OUT).read_text().splitlines()) == 4


def test_a_batch_goes_on_without_the_case_that_cannot_be_made(known_counterfacts: Path, tmp_path: Path) -> None:
    records = json.loads(known_counterfacts.read_text())[:3]
    records[1]["requested_rewrite"]["prompt"] = "word " * 80 + "{} is"
    path = tmp_path / "records.json"
    path.write_text(json.dumps(records))
    found = evaluate(settings(path, batch_edits=3))
    assert [(item.case, item.method) for item in found.left_out] == [("101", ROME)]
    assert found.report.methods[ROME]["efficacy"].n == 2


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"suite": "zsre"}, EvaluationError, "it can be run as counterfact"),
        ({"suite": "counterfact", "data": "nowhere.json"}, DataError, "nowhere.json"),
        ({"methods": "rome,rome"}, EvaluationError, "more than once"),
        ({"methods": " , "}, EvaluationError, "no method is named"),
        ({"methods": "rome:stpes=3"}, SettingError, "steps"),
        ({"styles": ("few_shot",)}, EvaluationError, "needs the demonstrations"),
    ],
)
def test_what_does_not_fit_is_refused(
    known_counterfacts: Path, changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        evaluate(settings(known_counterfacts, limit=1).model_copy(update=changes))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in FIRST else pytest.mark.long) for name in REAL_FILES]
)
def test_two_cases_of_every_real_file_run(real: Path, tmp_path: Path, name: str) -> None:
    data, limit = real / name, 2
    if "ripple" in name:  # each of its records asks up to a hundred questions: one record's first two of every kind
        limit = 1
        kept = [
            {k: v[:2] if isinstance(v, list) else v for k, v in record.items()}
            for record in json.loads(data.read_text())
        ]
        (data := tmp_path / "ripple.json").write_text(json.dumps(kept))
    found = evaluate(settings(data, suite=REAL_FILES[name], limit=limit, methods="rome:steps=2", anyway=True))
    edited = {"rome:steps=2"} if REAL_FILES[name] != "known-facts" else set()
    assert set(found.report.methods) == {UNEDITED, *edited}
    ran = {item.case for item in found.left_out if item.reason != MALFORMED}
    assert found.report.cases + len(ran) == limit
    assert all(found.report.methods.values())


def test_no_facts_are_pasted_where_none_is_edited(real: Path) -> None:
    data = real / "known_facts/known_1000.json"
    report = evaluate(settings(data, suite="known-facts", limit=1, methods="pasted", anyway=True)).report
    assert set(report.methods) == {UNEDITED}
    assert report.notes == ("known-facts edits nothing, so only the unedited model is scored",)


def test_every_suite_runs_on_a_real_file() -> None:
    assert set(REAL_FILES.values()) == {row.name for row in BUILT_IN} - {"counterfactplus", "reverse"}


def test_a_run_stopped_in_its_second_method_has_reported_the_first(
    known_counterfacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_method = case_runner.CaseRunner.run_method

    def stopped(runner: case_runner.CaseRunner, label: str, opener: Any) -> None:
        if label == "ft:steps=1":
            raise KeyboardInterrupt
        run_method(runner, label, opener)

    monkeypatch.setattr(case_runner.CaseRunner, "run_method", stopped)
    chosen = settings(known_counterfacts, methods=f"{ROME},ft:steps=1", limit=1)
    with pytest.raises(KeyboardInterrupt):
        evaluate(chosen, out=tmp_path)
    report = json.loads(report_of(tmp_path))
    assert list(report["methods"]) == report["manifest"]["methods"] == [UNEDITED, ROME]
