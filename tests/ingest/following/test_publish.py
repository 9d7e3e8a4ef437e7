"""A model that follows a folder: what is published serves, names its facts, and is switched at once."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from kgedit.errors import SaveFailed, SettingError
from kgedit.ingest import follow
from kgedit.ingest.change import Change
from kgedit.ingest.exports.manifest import read_record
from kgedit.ingest.exports.write import GGUF
from kgedit.ingest.following.metrics import Metrics
from kgedit.ingest.following.publish import publish
from kgedit.ingest.session import Session, open_edited
from kgedit.ingest.store.store import open_store


def write(folder: Path, name: str, changes: list[Change]) -> None:
    folder.mkdir(exist_ok=True)
    rows = [change.edit.model_dump(include={"subject", "relation", "target_new"}) for change in changes]
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_versions_the_link_and_the_facts_in_force(tmp_path: Path, changes: list[Change], monkeypatch) -> None:
    store, feeds, out = tmp_path / "store", tmp_path / "feeds", tmp_path / "out"
    write(feeds, "1.jsonl", changes[:1])
    write(feeds, "2.jsonl", changes[1:2])
    few = {"ingest": {"facts": 20}, "guards": {"facts": 10}}
    result = follow(
        store, feeds, method="rome", out=out, once=True, keep=2, guard="warn", moments="identity", settings=few
    )
    assert (result.changes, result.published) == ({"checked": 2}, str(out / "000002"))
    assert sorted(path.name for path in out.iterdir()) == ["000001", "000002", "current"]
    # Called again it publishes nothing new and says what is in use; and that GGUF files will be missing.
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "gguf", None)
        again = follow(store, feeds, method="rome", out=out, once=True, moments="identity", settings=few)
    assert again.published == result.published
    assert "no adapter.gguf" in again.bad[-1].why
    current = out / "current"
    assert (current.is_symlink(), current.readlink()) == (True, Path("000002"))
    record = read_record(current)
    assert record.weights_hash == result.weights_hash
    assert [one.source.split(",")[0] for one in record.changes] == ["1.jsonl", "2.jsonl"]
    assert {GGUF, "adapter_config.json"} <= set(record.files)
    with open_edited(store, write=True) as (opened, editor, weights):
        session = cast("Session", SimpleNamespace(store=opened, editor=editor, weights=weights))
        # Nothing new, nothing published; a damaged version is published again, and old ones go.
        assert publish(session, out, keep=2) is None
        (current / GGUF).write_bytes(b"broken")
        assert publish(session, out, keep=2) == out / "000003"
        assert sorted(path.name for path in out.iterdir()) == ["000002", "000003", "current"]
        # What a person put into an old version stays when that goes.
        (out / "000002" / "notes.txt").write_text("mine")
        (current / GGUF).write_bytes(b"broken")
        assert publish(session, out, keep=1) == out / "000004"
        assert sorted(path.name for path in out.iterdir()) == ["000002", "000004", "current"]
        assert [path.name for path in (out / "000002").iterdir()] == ["notes.txt"]
        # A folder that somebody called `current` stays; where nothing is in force any more, nothing is served.
        (tmp_path / "other" / "current").mkdir(parents=True)
        with pytest.raises(SaveFailed, match="is no link"):
            publish(session, tmp_path / "other", keep=2)
        monkeypatch.setattr(opened.journal, "in_force", list)
        assert publish(session, out, keep=2) is None
    assert not current.is_symlink()


def test_a_file_in_the_place_of_the_folder_is_told_also_where_nothing_is_in_force(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with open_store(tmp_path / "store", write=True) as store:
        session = cast("Session", SimpleNamespace(store=store))
        with pytest.raises(SaveFailed, match="current cannot be removed"):  # which ends no follower
            publish(session, tmp_path / "out", keep=2)
    assert (tmp_path / "out").read_text() == "mine"


def test_metrics_are_prometheus_text_on_this_machine() -> None:
    metrics = Metrics()
    metrics.tell(
        {"changes": ("gauge", "Changes by state.", {"checked": 2, "refused": 1}), "x": ("counter", "X.", {"": 3})}
    )
    with metrics.served(0) as port, urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert answer.read().decode().splitlines() == [
            "# HELP kgedit_changes Changes by state.", "# TYPE kgedit_changes gauge", 'kgedit_changes{of="checked"} 2',
            'kgedit_changes{of="refused"} 1', "# HELP kgedit_x X.", "# TYPE kgedit_x counter", "kgedit_x 3",
        ]  # fmt: skip
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/else")
        with pytest.raises(SettingError, match=f"port {port} cannot be had"), Metrics().served(port):
            pass
