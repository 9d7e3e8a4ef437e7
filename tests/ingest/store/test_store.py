"""The folder of a store: what belongs to no change goes, what somebody else put there stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from kgedit.errors import JournalError
from kgedit.ingest.store.store import DELTAS, MANIFEST, open_store


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
