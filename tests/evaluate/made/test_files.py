"""Whole files: the same bytes for the same seed, all or nothing, and only what the model knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from kgedit.errors import DataError, SaveFailed
from kgedit.evaluate.benchmarks.records import Record
from kgedit.evaluate.made.files import make_benchmark
from kgedit.evaluate.made.recall import Draft, Gathering, RecallFilter

# The model is asked a thousand questions: some seconds, and minutes where the machine is busy.
pytestmark = pytest.mark.timeout(900)

SIZES = {"dev": 1, "test": 2}
BIRTH = "Albert Einstein was born in"


@pytest.fixture(scope="module")
def recall() -> RecallFilter:
    return RecallFilter()


@pytest.mark.parametrize("suite", ["mquake", "counterfact"])
def test_one_seed_gives_the_same_bytes_and_another_gives_others(suite, tmp_path) -> None:
    made = [make_benchmark(suite, tmp_path / str(i), seed=seed, sizes=SIZES) for i, seed in enumerate((7, 7, 8))]
    for part in SIZES:
        first, again, other = (Path(one.files[part]).read_bytes() for one in made)
        assert first == again
        assert first != other
    assert made[0].model_dump(exclude={"files"}) == made[1].model_dump(exclude={"files"})


def test_a_draft_that_the_model_does_not_know_makes_room_for_the_next(recall) -> None:
    wrong, right = (Draft(Record(case_id=place), ((BIRTH, place),)) for place in ("Paris", "Ulm"))
    (found,) = Gathering(recall, {"any": iter([wrong, right])}).fill(["any"])
    assert found.case_id == "Ulm"


def test_too_few_known_drafts_are_an_error(recall) -> None:
    wrong = Draft(Record(case_id=0), ((BIRTH, "Paris"),))
    with pytest.raises(DataError, match=r"too few cases for any.*seed"):
        Gathering(recall, {"any": iter([wrong])}).fill(["any"])


def test_progress_is_told(recall) -> None:
    told = []
    recall.progress = lambda *words: told.append(words)
    recall.known([Draft(Record(case_id=0), (("Marie Curie was born in", "Warsaw"), ("Marie Curie died in", "Passy")))])
    assert told == [("asking the model what it knows", 2, 2)]


def test_a_suite_that_cannot_be_made_is_refused(tmp_path) -> None:
    with pytest.raises(DataError, match=r"no benchmark 'zsre'.*mquake, counterfact"):
        make_benchmark("zsre", tmp_path)


def test_a_folder_that_cannot_be_written_gets_no_file(tmp_path) -> None:
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    with pytest.raises(SaveFailed, match="taken"):
        make_benchmark("counterfact", tmp_path / "taken", sizes={"dev": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
