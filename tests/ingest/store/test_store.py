"""The folder of a store: what belongs to no change goes, what somebody else put there stays."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from kgedit.errors import JournalError
from kgedit.ingest import verify
from kgedit.ingest.session import open_session
from kgedit.ingest.store.store import DELTAS, MANIFEST, open_store
from kgedit.mini import mini_folder


def test_deltas_of_no_change_go_and_what_is_no_delta_stays(tmp_path: Path) -> None:
    with open_store(tmp_path / "store", write=True) as store:
        deltas = store.directory / DELTAS
        for name in ("0" * 64, "backup"):
            (deltas / name).mkdir(parents=True)
        assert store.remove_unnamed() == 1
        assert [path.name for path in deltas.iterdir()] == ["backup"]


@pytest.mark.parametrize("write", [False, True])
def test_a_folder_of_something_else_is_no_store_that_lost_its_journal(tmp_path: Path, write: bool) -> None:
    manifest = '{"format": "kgedit-delta"}'
    (tmp_path / MANIFEST).write_text(manifest)
    with pytest.raises(JournalError, match="is no store: its manifest.json belongs to something else"):
        open_store(tmp_path, write=write)
    assert (tmp_path / MANIFEST).read_text() == manifest


@pytest.mark.long
def test_a_model_named_by_a_relative_path_is_found_from_any_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model").mkdir()
    for path in mini_folder().iterdir():
        if path.suffix in (".json", ".safetensors"):
            shutil.copy(path, tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    few = {"guards": {"facts": 1}, "ingest": {"facts": 8}}
    with open_session("store", model="model", method="rome", moments="identity", settings=few) as session:
        # A model without a preset is consolidated with what follows from the changes and what must stay, too.
        locft = session.decider_by("locft").editor.method.config
        assert (locft.wordings, locft.rehearsed) == (2, 4.0)
        assert session.decider_by("locft:rehearsed=1").editor.method.config.rehearsed == 1
    (tmp_path / "elsewhere").mkdir()
    os.chdir("elsewhere")
    assert verify("../store").model == str(tmp_path / "model")
    # A store of an earlier version goes on naming it as it was named.
    os.chdir(tmp_path)
    with open_store("store", write=True) as store:
        store.journal.set_about({"model": "model"})
        (store.directory / MANIFEST).unlink()
        store.bind(str(tmp_path / "model"), store.base_hash)
        assert store.model == "model"
