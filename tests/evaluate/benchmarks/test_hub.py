"""The hub by way of `datasets`, which reads a folder of files just as it reads a data set of the hub."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from kgedit.errors import DataError, MissingExtra
from kgedit.evaluate.benchmarks import hub
from kgedit.evaluate.benchmarks.hub import HubId, parse_id, rows
from kgedit.evaluate.benchmarks.reading import load


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("owner/name", HubId("owner/name")),
        ("owner/My-Set_2.0#CF3k", HubId("owner/My-Set_2.0", split="CF3k")),
        ("o/n:config@refs/pr/1#test", HubId("o/n", "config", "refs/pr/1", "test")),
        ("name", None),
        ("a/b/c", None),
        ("/a/b", None),
        ("owner/name with space", None),
    ],
)
def test_what_an_id_says(text, found) -> None:
    assert parse_id(text) == found


def test_without_the_library_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra, match=r"neither a file nor a folder here.*kgedit\[datasets\]"):
        load("owner/name#test")


@pytest.fixture
def data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("datasets", reason="the extra `datasets` is not installed")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "set"
    folder.mkdir()
    fact = {"known_id": 1, "subject": "Foo", "attribute": "Bar", "prompt": "Foo is in"}
    for split, number in (("train", 1), ("test", 2)):
        lines = [fact | {"known_id": number}, fact | {"known_id": number + 10, "relation_id": "P17"}]
        text = "\n".join(json.dumps(line) for line in lines)
        (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")
    return folder


def test_rows_of_a_split_without_the_columns_that_have_no_value(data_set) -> None:
    first, second = rows(HubId(str(data_set), split="test"))
    assert first == {"known_id": 2, "subject": "Foo", "attribute": "Bar", "prompt": "Foo is in"}
    assert second["relation_id"] == "P17"


def test_several_splits_must_be_told_apart(data_set) -> None:
    with pytest.raises(DataError, match="has the splits train, test; add one to its name"):
        rows(HubId(str(data_set)))
    with pytest.raises(DataError, match="has no split 'dev'; it has train, test"):
        rows(HubId(str(data_set), split="dev"))


def test_a_data_set_that_cannot_be_loaded(data_set) -> None:
    with pytest.raises(DataError, match="could not be loaded from the Hugging Face hub.*download its JSON file"):
        rows(HubId(str(data_set), config="none"))


def test_a_data_set_is_loaded_like_a_file(data_set, monkeypatch) -> None:
    monkeypatch.setattr(hub, "rows", lambda wanted: rows(HubId(str(data_set), split=wanted.split)))
    loaded = load("owner/name#test")
    assert [record.case_id for record in loaded.records] == [2, 12]
    assert (loaded.format, loaded.source, len(loaded.sha256)) == ("known-facts", "owner/name#test", 64)
    assert load("owner/name#train").sha256 != loaded.sha256
