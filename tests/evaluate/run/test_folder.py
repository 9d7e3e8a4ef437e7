"""The folder of a run: torn lines, other manifests, and somebody else at work."""

from __future__ import annotations

import json
import math
import multiprocessing
from pathlib import Path

import pytest

from kgedit.errors import EvaluationError, FileCorrupt, OtherRun, SaveFailed
from kgedit.evaluate.benchmarks.case import BenchmarkCase, Questions, Replies
from kgedit.evaluate.results import LeftOut, Row
from kgedit.evaluate.run.answers import answers_of
from kgedit.evaluate.run.folder import LEFT_OUT, MANIFEST, ROWS, in_order, open_folder
from kgedit.evaluate.run.more import extended, fits, ids_hash
from kgedit.lm.scoring.teacher_forced import TargetScore

MANIFEST_A = {"suite": "mquake", "model": {"name": "mini"}, "seed": 0}


def row(case: str, method: str = "rome", value: float = 0.1) -> Row:
    return Row(case=case, method=method, hops=2, edits=1, values={"efficacy": value})


def test_what_was_added_is_there_again(tmp_path: Path) -> None:
    out = LeftOut(case="2", method="rome", reason="too long", detail="64 tokens")
    with open_folder(tmp_path / "run", MANIFEST_A) as folder:
        folder.add_all([(row("1", value=0.1 + 0.2), (), None)])
        folder.leave_out(out)
        assert folder.is_done("1", "rome")
        assert folder.is_done("2", "rome")
        assert not folder.is_done("2", "memit")
    with open_folder(tmp_path / "run", MANIFEST_A) as folder:
        assert folder.rows == {("1", "rome"): row("1", value=0.1 + 0.2)}
        assert folder.left_out == {("2", "rome"): out}


def test_a_model_that_gives_nan_leaves_a_folder_that_can_be_read(tmp_path: Path) -> None:
    case = BenchmarkCase("1", (), Questions(), lambda *_: {})
    replies = Replies(scores={("Ada lives in", "Rome"): TargetScore((1,), (math.nan,), (-1,))})
    with open_folder(tmp_path, MANIFEST_A) as folder:
        folder.add_all([(row("1"), (), answers_of(case, "rome", replies, 1.0))])
    with open_folder(tmp_path, MANIFEST_A) as folder:
        (scored,) = folder.answers["1", "rome"].scored
        assert (scored.probability, scored.greedy) == (0, False)


def test_a_case_that_nothing_can_be_asked_about_is_done_for_every_method(tmp_path: Path) -> None:
    with open_folder(tmp_path, MANIFEST_A) as folder:
        folder.leave_out(LeftOut(case="2", method=None, reason="too long", detail="64 tokens"))
        assert folder.is_done("2", "memit")


def test_a_row_is_written_once(tmp_path: Path) -> None:
    with open_folder(tmp_path, MANIFEST_A) as folder:
        folder.add_all([(row("2", value=0.1), (), None), (row("2", value=0.3), (), None)])
        folder.add_all([(row("2", value=0.2), (), None), (row("1", value=0.2), (), None)])
        rows = {("2", "rome"): row("2", value=0.1), ("1", "rome"): row("1", value=0.2)}
        assert folder.rows == rows
    written = (tmp_path / ROWS).read_text().splitlines()
    assert [Row.model_validate_json(line) for line in written] == [*rows.values()]


@pytest.mark.parametrize("name", [ROWS, LEFT_OUT])
def test_a_torn_last_line_is_dropped_and_the_next_one_is_whole(tmp_path: Path, name: str) -> None:
    with open_folder(tmp_path, MANIFEST_A) as folder:
        folder.add_all([(row("1"), (), None)])
        folder.leave_out(LeftOut(case="3", method=None, reason="r", detail="d"))
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole + whole[:-9])
    with open_folder(tmp_path, MANIFEST_A) as folder:
        assert [*folder.rows] == [("1", "rome")]
        assert (tmp_path / name).read_bytes() == whole
        folder.add_all([(row("2"), (), None)])
        folder.leave_out(LeftOut(case="4", method=None, reason="r", detail="d"))
    for line in (tmp_path / name).read_text().splitlines():
        json.loads(line)


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    with open_folder(tmp_path, MANIFEST_A) as folder:
        folder.add_all([(row("1"), (), None)])
        folder.add_all([(row("2"), (), None)])
    first, second = (tmp_path / ROWS).read_text().splitlines()
    (tmp_path / ROWS).write_text(f"{first[:-5]}\n{second}\n")
    with pytest.raises(FileCorrupt, match=r"line 1 of .*rows\.jsonl"), open_folder(tmp_path, MANIFEST_A):
        pass


def test_another_manifest_is_refused_with_what_differs(tmp_path: Path) -> None:
    with open_folder(tmp_path, MANIFEST_A) as folder:
        folder.add_all([(row("1"), (), None)])
    other = {**MANIFEST_A, "model": {"name": "gpt2-xl"}, "limit": 5}
    with pytest.raises(OtherRun) as refused, open_folder(tmp_path, other):
        pass
    assert 'model.name was "mini", now "gpt2-xl"' in str(refused.value)
    assert "limit was null, now 5" in str(refused.value)
    assert "seed" not in str(refused.value)
    assert json.loads((tmp_path / MANIFEST).read_text()) == MANIFEST_A


def test_more_methods_and_cases_fit_and_anything_else_does_not() -> None:
    there = {
        "methods": ["unedited", "rome"], "settings": {"rome": {"layer": 2}}, "mode": "alone", "seed": 0,
        "cases": {"limit": 2, "recalled_only": False, "number": 2, "sha256": ids_hash(["a", "b"])},
        "scoring": {"protocol": "published"},
    }  # fmt: skip
    more = {"limit": None, "recalled_only": False, "number": 3, "sha256": ids_hash(["a", "b", "c"])}
    wanted = {**there, "methods": ["unedited", "memit"], "settings": {"memit": {"layer": 3}}, "cases": more}
    made = extended(there, wanted, ["a", "b", "c"])
    assert fits(made, wanted)
    assert made["methods"] == ["unedited", "rome", "memit"]
    assert made["settings"] == {"rome": {"layer": 2}, "memit": {"layer": 3}}
    assert made["cases"] == more
    other_cases = ["x", "b", "c"]
    assert not fits(
        extended(there, {**wanted, "cases": {**more, "sha256": ids_hash(other_cases)}}, other_cases), wanted
    )
    for changed in (
        {"seed": 1},
        {"mode": "sequential"},
        {"settings": {"rome": {"layer": 9}}},
        {"scoring": {"protocol": "free"}},
        {"cases": {**more, "recalled_only": True}},
        {"chat": {"system": None, "template": "0" * 64}},
    ):
        asked = {**wanted, **changed}
        assert not fits(extended(there, asked, ["a", "b", "c"]), asked), changed
    assert fits(made, {**wanted, "chat": None})  # a part that folders of earlier versions do not have
    kept = {**there, "mode": "sequential"}
    assert not fits(extended(kept, {**kept, "cases": more}, ["a", "b", "c"]), {**kept, "cases": more})


def test_rows_without_a_manifest_are_not_continued(tmp_path: Path) -> None:
    (tmp_path / ROWS).write_text("")
    with pytest.raises(EvaluationError, match="without the manifest"), open_folder(tmp_path, MANIFEST_A):
        pass


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveFailed, match="is not a folder"), open_folder(tmp_path / "file", MANIFEST_A):
        pass


def _second(path: Path, answer: multiprocessing.Queue) -> None:
    try:
        with open_folder(path, MANIFEST_A):
            answer.put("opened")
    except EvaluationError as error:
        answer.put(str(error))


def test_two_processes_do_not_write_to_one_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    answer = context.Queue()
    with open_folder(tmp_path, MANIFEST_A):
        other = context.Process(target=_second, args=(tmp_path, answer))
        other.start()
        said = answer.get(timeout=30)
        other.join()
    assert said.startswith("process ")
    assert "writes to" in said


def test_rows_come_in_the_order_of_methods_and_cases(tmp_path: Path) -> None:
    rows = {(found.case, found.method): found for found in (row("2"), row("1", "memit"), row("1"))}
    ordered = in_order(rows, ["1", "2"], ["rome", "memit"])
    assert [(found.method, found.case) for found in ordered] == [("rome", "1"), ("rome", "2"), ("memit", "1")]
