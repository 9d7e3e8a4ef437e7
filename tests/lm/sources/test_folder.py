"""Nothing but safetensors in the model's own folder is opened, whatever its files name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from families import tiny_model
from hub_server import ask_at, hub
from kgedit.errors import UnknownModel
from kgedit.lm.base_name import base_name
from kgedit.lm.load import load_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model, tokenizer = tiny_model("gpt2")
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


class Trap:
    """Unpickling it leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return open, (str(self.trace), "w")


def index_naming(folder: Path, file: str) -> None:
    names = load_file(folder / "model.safetensors")
    index = {"metadata": {}, "weight_map": dict.fromkeys(names, file)}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize("place", ["inside.bin", "../outside.bin", "../outside.safetensors", "/absolute.bin", ""])
def test_an_index_that_names_other_files_is_refused_and_none_is_opened(
    folder: Path, tmp_path: Path, place: str
) -> None:
    index_naming(folder, place if not place.startswith("/") else str(tmp_path / place[1:]))
    (folder / "model.safetensors").rename(tmp_path / "outside.safetensors")
    for target in (folder / "inside.bin", tmp_path / "outside.bin", tmp_path / "absolute.bin"):
        torch.save({"x": Trap(tmp_path / "trace")}, target)
    with pytest.raises(UnknownModel, match="no safetensors file in the folder"):
        load_model(str(folder))
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("weights", ["adapter_model.bin", "../model.safetensors", "other.safetensors"])
def test_a_config_that_names_other_weights_is_refused(folder: Path, weights: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"transformers_weights": weights}))
    with pytest.raises(UnknownModel, match="transformers_weights"):
        load_model(str(folder))


def test_an_adapter_does_not_lead_to_the_model_that_it_names(folder: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(folder)}))
    with pytest.raises(UnknownModel, match="holds an adapter"):
        load_model(str(adapter))


def test_a_link_out_of_the_folder_is_refused_and_one_within_it_is_not(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").rename(folder / "renamed")
    (folder / "model.safetensors").symlink_to("renamed")
    load_model(str(folder))
    (folder / "renamed").rename(tmp_path / "elsewhere")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnknownModel, match="outside the folder"):
        load_model(str(folder))


@pytest.fixture
def cached(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The model as the hub's cache lays it out: a snapshot of links to blobs."""
    commit = "0123456789" * 4
    repository = tmp_path / "hub" / "models--owner--name"
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    (repository / "blobs").mkdir()
    for number, file in enumerate(folder.iterdir()):
        shutil.copy(file, repository / "blobs" / str(number))
        (snapshot / file.name).symlink_to(Path("..", "..", "blobs", str(number)))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return snapshot


def test_the_snapshots_of_the_hub_load_by_id_and_by_folder(cached: Path, folder: Path) -> None:
    theirs = load_file(folder / "model.safetensors")
    for name in ("owner/name", str(cached)):
        model, _ = load_model(name)
        assert torch.equal(model.state_dict()["transformer.wte.weight"], theirs["transformer.wte.weight"])
        assert base_name(model) == "owner/name"
    load_model("owner/name", revision="main")
    with pytest.raises(UnknownModel, match="owner/name"):
        load_model("owner/name", revision="v2")


def test_a_hub_id_is_held_to_the_same(cached: Path) -> None:
    index_naming(cached, "pytorch_model.bin")
    (cached / "model.safetensors").unlink()
    with pytest.raises(UnknownModel, match="no safetensors file in the folder"):
        load_model("owner/name")


def test_parts_named_by_an_index_load(folder: Path) -> None:
    whole = load_file(folder / "model.safetensors")
    names = sorted(whole)
    places = {name: f"model-0000{1 + index % 2}-of-00002.safetensors" for index, name in enumerate(names)}
    for part in set(places.values()):
        save_file({name: whole[name] for name in names if places[name] == part}, folder / part, {"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    (folder / "model.safetensors").unlink()
    model, _ = load_model(str(folder))
    assert torch.equal(model.state_dict()["transformer.wte.weight"], whole["transformer.wte.weight"])


def test_the_folder_of_a_saved_edit_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(UnknownModel, match=r"has no config\.json.* with --delta"):
        load_model(str(tmp_path))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((404, "RepoNotFound"), "has none of this name that this account may read; check the spelling"),
        ((403, "GatedRepo"), "its owner must let this account read it"),
        ((404, "RevisionNotFound"), "no such revision"),
        ((503, ""), "status 503: refused by the test; try again later"),
    ],
)
def test_what_the_hub_refuses_is_one_short_line_with_the_remedy(
    answer: tuple[int, str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hub() as server:
        ask_at(server.address, tmp_path, monkeypatch)
        server.refused["me/model"] = answer
        with pytest.raises(UnknownModel, match=words) as caught:
            load_model("me/model")
    told = str(caught.value)
    assert "\n" not in told
    assert "http" not in told
    assert len(told) < 550


def test_a_hub_out_of_reach_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with hub() as server:
        address = server.address
    ask_at(address, tmp_path, monkeypatch)
    with pytest.raises(UnknownModel, match=r"the hub cannot be reached \(ConnectError: .*; check the network"):
        load_model("me/model")
