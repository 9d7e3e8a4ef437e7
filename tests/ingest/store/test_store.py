"""The folder of a store: what belongs to no change goes, what somebody else put there stays."""

from __future__ import annotations

from pathlib import Path

from kgedit.ingest.store.store import DELTAS, open_store


def test_deltas_of_no_change_go_and_what_is_no_delta_stays(tmp_path: Path) -> None:
    with open_store(tmp_path / "store", write=True) as store:
        deltas = store.directory / DELTAS
        for name in ("0" * 64, "backup"):
            (deltas / name).mkdir(parents=True)
        assert store.remove_unnamed() == 1
        assert [path.name for path in deltas.iterdir()] == ["backup"]
