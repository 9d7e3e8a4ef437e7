"""The method of a feed, and the one that patches, where none is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from kgedit.ingest.chosen_method import ingesting_method, patching_method
from kgedit.ingest.store.run_record import RunResult
from kgedit.ingest.store.store import open_store
from kgedit.methods.registry import load_method


@pytest.mark.parametrize(
    ("model", "method", "patches"),
    [
        ("mini", "glame", "glame"),
        ("smollm2", "finetune-adapter", "memit"),
        ("a-model-without-preset", "glame", "glame"),
    ],
)
def test_they_are_those_of_the_preset_and_a_patch_can_be_taken_out_alone(
    model: str, method: str, patches: str
) -> None:
    assert (ingesting_method(model), patching_method(model)) == (method, patches)
    assert not load_method(patches).shares_change


@pytest.mark.parametrize(("used", "patches"), [("rome", "rome"), ("finetune-adapter", "memit")])
def test_a_store_is_patched_as_it_was_before(used: str, patches: str, tmp_path: Path) -> None:
    result = RunResult(
        feed="test", method=used, records=0, classes={}, accepted=0, refused=0, superseded=0, accepted_right=1.0,
        unrelated_recalled=1.0, unrelated_asked=0, refusals=(), weights_hash="",
    )  # fmt: skip
    with open_store(tmp_path, write=True) as store:
        store.bind("smollm2", "0" * 64)
        store.journal.begin_run("0" * 64, {}, ())
        store.journal.end_run("0" * 64, result)
        assert patching_method("smollm2", store.journal) == patches
