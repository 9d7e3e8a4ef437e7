"""Files that are handed on name a model so that others find it, and no folder of this machine."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from kgedit.lm.base_name import base_name
from kgedit.lm.sources.catalogue import FETCHABLE
from kgedit.mini import mini_folder


def model_of(loaded_from: str, **config: object) -> SimpleNamespace:
    return SimpleNamespace(config=SimpleNamespace(name_or_path=loaded_from, **config))


@pytest.mark.parametrize(
    ("loaded_from", "name"),
    [
        ("gpt2", "gpt2"),
        ("owner/model-1.5", "owner/model-1.5"),
        (str(mini_folder()), "mini"),
        ("", None),
        ("/home/somebody/gone/my-model/", "my-model"),
        (r"C:\Users\somebody\my-model", "my-model"),
    ],
)
def test_a_name(loaded_from: str, name: str | None) -> None:
    assert base_name(model_of(loaded_from)) == name


def test_the_cache_of_the_hub_gives_the_hub_id(tmp_path: Path) -> None:
    folder = tmp_path / "hub" / "models--owner--name-1b" / "snapshots" / ("0" * 40)
    folder.mkdir(parents=True)
    assert base_name(model_of(str(folder))) == "owner/name-1b"


def test_a_folder_that_says_its_hub_id_has_that(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"_name_or_path": "owner/name"}))
    assert base_name(model_of(str(tmp_path))) == "owner/name"
    (tmp_path / "config.json").write_text(json.dumps({"_name_or_path": "/home/somebody/x"}))
    assert base_name(model_of(str(tmp_path))) == tmp_path.name


def test_a_gguf_file_is_named_as_it_is_fetched_or_by_its_file() -> None:
    (fetchable, *_) = FETCHABLE.values()
    source = {"sha256": fetchable.file_sha256, "file": "/home/somebody/x.gguf"}
    assert base_name(model_of("/cache/1", gguf_source=source)) == fetchable.name
    assert base_name(model_of("/cache/1", gguf_source={"file": "/home/somebody/x.gguf"})) == "x.gguf"
