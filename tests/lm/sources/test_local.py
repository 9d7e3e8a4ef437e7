"""A model's name leads to its files, or to what must be done to get them."""

from __future__ import annotations

from pathlib import Path

import pytest

from kgedit.errors import FileCorrupt, UnknownModel
from kgedit.io.whole_file import sha256_of
from kgedit.lm.load import load_model
from kgedit.lm.sources.catalogue import FETCHABLE
from kgedit.lm.sources.fetch import fetched_file
from kgedit.lm.sources.local import local_source
from tiny_gguf import write_tiny_llama


@pytest.mark.parametrize("name", ["gpt2", "HuggingFaceTB/SmolLM2-135M", "./smollm2", "", "a" * 5000, "a\0b"])
def test_hub_ids_and_folders_are_left_as_they_are(name: str, tmp_path: Path) -> None:
    assert local_source(name, tmp_path) == name


def test_a_model_that_was_not_fetched_names_the_command() -> None:
    with pytest.raises(UnknownModel, match="kgedit models fetch smollm2"):
        load_model("smollm2")


def test_another_file_under_the_name_of_a_fetched_model_is_refused(tmp_path: Path) -> None:
    file = fetched_file(FETCHABLE["smollm2"], tmp_path)
    file.parent.mkdir(parents=True)
    write_tiny_llama(file)
    with pytest.raises(FileCorrupt, match=rf"{sha256_of(file)}, expected is b179c9523d.*fetch again"):
        local_source("smollm2", tmp_path)
    assert not (tmp_path / "models" / "converted").exists()


def test_a_folder_with_one_gguf_file_is_that_file(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    write_tiny_llama(folder / "tiny.gguf")
    assert local_source(str(folder), tmp_path) == local_source(str(folder / "tiny.gguf"), tmp_path)
    (folder / "second.gguf").write_bytes(b"GGUF")
    with pytest.raises(UnknownModel, match="2 GGUF files"):
        local_source(str(folder), tmp_path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("model.safetensors", "is no GGUF file .*; name the folder of a model"),
        ("model.gguf", "whatever its name says"),
    ],
)
def test_a_file_that_is_no_gguf_file_is_called_so(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    with pytest.raises(FileCorrupt, match=words):
        load_model(str(tmp_path / name))
