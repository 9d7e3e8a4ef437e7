"""Keys tell changes apart as the world does; a plan survives being saved, and says so when it did not."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from kgedit.edit import Edit
from kgedit.errors import FileCorrupt, PlanError, SaveFailed
from kgedit.ingest.change import Change, MalformedChange, Provenance, change_key, slot_key
from kgedit.ingest.plan.plan import Plan, PlanHeader, Planned, Verdict

HEADER = PlanHeader(model="mini", graph="slice", policy="refuse")


def planned(number: int, target: str = "Q142") -> Planned:
    edit = Edit(subject="Q42", relation="P27", target_new=target)
    provenance = Provenance(feed="a.jsonl", position=f"line {number}", seen=datetime(2026, 11, 1, tzinfo=UTC))
    return Planned(
        number=number,
        verdict=Verdict.NEW,
        reason="to be applied",
        change=Change(edit=edit, provenance=provenance),
        key=change_key(edit),
        edit=edit,
    )


def broken(number: int) -> Planned:
    record = MalformedChange(feed="a.jsonl", position=f"line {number}", why="not JSON")
    return Planned(number=number, verdict=Verdict.MALFORMED, reason="not JSON", malformed=record)


def test_a_name_counts_without_regard_to_case_blanks_and_composed_letters() -> None:
    plain = Edit(subject="José  Saramago", relation="country of citizenship", target_new="France")
    other = Edit(subject="jose\u0301 saramago", relation="Country of Citizenship", target_new=" france")
    assert change_key(plain) == change_key(other)


def test_another_object_is_another_change_of_the_same_fact() -> None:
    first = Edit(subject="Q42", relation="P27", target_new="Q142")
    second = Edit(subject="Q42", relation="P27", target_new="Q30")
    assert change_key(first) != change_key(second)
    assert slot_key(first) == slot_key(second) != slot_key(Edit(subject="Q42", relation="P19", target_new="Q142"))


def test_parts_of_a_key_do_not_run_into_each_other() -> None:
    first = Edit(subject="a b", relation="c", target_new="d")
    second = Edit(subject="a", relation="b c", target_new="d")
    assert change_key(first) != change_key(second)


def test_the_old_object_and_the_wording_do_not_make_another_change() -> None:
    bare = Edit(subject="Q42", relation="P27", target_new="Q142")
    told = bare.model_copy(update={"target_true": "Q145", "prompt": "{} is a citizen of"})
    assert change_key(bare) == change_key(told)


def test_a_plan_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    items = [planned(1), broken(2), planned(3, "Q30")]
    plan = Plan(HEADER, items)
    plan.save(tmp_path / "plan.jsonl")
    again = Plan.load(tmp_path / "plan.jsonl")
    assert list(again) == items == list(plan)
    assert again.header == HEADER
    assert (again.counts[Verdict.NEW], again.counts[Verdict.MALFORMED], again.counts[Verdict.KNOWN]) == (2, 1, 0)
    assert [item.number for item in again.of(Verdict.NEW)] == [1, 3]
    assert list(again.of(Verdict.MALFORMED))[0].where == "a.jsonl, line 2"
    assert len(again) == 3


def test_two_readings_of_a_plan_do_not_disturb_each_other() -> None:
    plan = Plan(HEADER, [planned(1), planned(2), planned(3)])
    assert [(a.number, b.number) for a, b in zip(plan, plan, strict=True)] == [(1, 1), (2, 2), (3, 3)]


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_a_plan_that_was_cut_off_is_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "plan.jsonl"
    Plan(HEADER, [planned(1), planned(2)]).save(path)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:keep]))
    with pytest.raises(FileCorrupt, match="cut off"):
        Plan.load(path)


def test_a_plan_with_a_damaged_or_missing_record_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plan.jsonl"
    Plan(HEADER, [planned(1), planned(2)]).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"number":2', b'"number":x'))
    with pytest.raises(FileCorrupt, match="record 2"):
        Plan.load(path)
    lines = whole.splitlines(keepends=True)
    path.write_bytes(whole.replace(b'"target_new":"Q142"', b'"target_new":"Q143"'))
    with pytest.raises(FileCorrupt, match="changed after it was written"):
        Plan.load(path)
    path.write_bytes(lines[0] + lines[2] + lines[3])
    with pytest.raises(FileCorrupt, match="in the place of 1"):
        Plan.load(path)
    path.write_bytes(whole + lines[1])
    with pytest.raises(FileCorrupt, match="after its end"):
        Plan.load(path)


def test_a_plan_of_the_first_version_ends_without_a_hash(tmp_path: Path) -> None:
    path = tmp_path / "plan.jsonl"
    Plan(HEADER, [planned(1)]).save(path)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]) + b'{"records": 1}\n')
    assert list(Plan.load(path)) == [planned(1)]


def test_another_file_is_no_plan(tmp_path: Path) -> None:
    (tmp_path / "other").write_text('{"subject": "Q42"}\n')
    for name in ("other", "absent"):
        with pytest.raises(PlanError):
            Plan.load(tmp_path / name)


def test_a_plan_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveFailed):
        Plan(HEADER, [planned(1)]).save(tmp_path / "file" / "plan.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
