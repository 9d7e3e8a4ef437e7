"""What goes to the hub is what kgedit wrote, with a card; what comes back is the same delta, or nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from families import D_FF, D, tiny_model
from hub_server import COMMIT, Hub, ask_at, hub
from kgedit.cli import main
from kgedit.delta import Delta, LowRankDelta, WeightUpdate, hash_weights
from kgedit.errors import FileCorrupt, HubFailed
from kgedit.ingest.exports.card import card
from kgedit.ingest.exports.manifest import (
    CARD,
    RECORD,
    ExportCheck,
    ExportedChange,
    ExportKind,
    ExportRecord,
    hashes,
)
from kgedit.sharing import push_to_hub

EDIT = {"subject": "Ada | Quill", "relation": "P27", "target_new": "France", "target_true": "Norland", "prompt": None}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub() as running:
        ask_at(running.address, tmp_path / "hub", monkeypatch)
        monkeypatch.setenv("HF_TOKEN", "hf_of_the_test")
        yield running


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A saved delta of smollm2, beside a file of the user's."""
    update = WeightUpdate("model.layers.6.mlp.down_proj.weight", torch.ones(3, 1), torch.ones(2, 1), conv1d=False)
    manifest = {"method": "rome", "model": "smollm2", "edit": EDIT}
    folder = LowRankDelta((update,), "0" * 64, manifest).save(tmp_path / "saved")
    (folder / "notes.txt").write_text("private", encoding="utf-8")
    return folder


def test_a_saved_delta_comes_back_from_the_hub_as_it_was(server: Hub, saved: Path) -> None:
    commit = push_to_hub(saved, "me/ada")
    assert commit.endswith(COMMIT)
    assert server.private == {"me/ada"}
    assert server.tokens == {"Bearer hf_of_the_test"}
    delta = Delta.load(saved)
    assert server.files["me/ada"].keys() == {CARD, "manifest.json", f"delta-{delta.id[:16]}.safetensors"}
    assert Delta.from_pretrained("me/ada").id == delta.id
    assert LowRankDelta.from_pretrained(str(saved)).id == delta.id  # a folder that is there is no name on the hub
    written = server.files["me/ada"][CARD].decode()
    assert written.startswith("---\nlicense: apache-2.0\nlibrary_name: kgedit\n")
    assert "base_model: HuggingFaceTB/SmolLM2-135M-Instruct\n" in written
    assert r"| Ada \| Quill | P27 | Norland | France | rome |" in written
    assert 'Delta.from_pretrained("me/ada", editor.model)' in written


def test_an_export_goes_with_its_record_and_a_card_that_loads_it_from_the_hub(server: Hub, saved: Path) -> None:
    (saved / "notes.txt").unlink()
    check = ExportCheck(change=1, kind="efficacy", question="Ada is a citizen of", answer="France", answered=True)
    change = ExportedChange(
        id=1,
        subject="Ada",
        relation="P27",
        target_new="France",
        delta="d",
        source="feed",
        evidence="e",
        checks=(check,),
    )
    record = ExportRecord(
        kind=ExportKind.DELTA, model="me/base", base_hash="b", weights_hash="w", changes=(change,), files=hashes(saved)
    )
    (saved / CARD).write_text("mine", encoding="utf-8")
    (saved / RECORD).write_text(record.model_dump_json(by_alias=True), encoding="utf-8")
    push_to_hub(saved, "me/export", licence="mit", private=False)
    assert server.private == set()
    assert server.files["me/export"].keys() == {CARD, RECORD, *record.files}
    assert server.files["me/export"][CARD] == b"mine"  # a card that somebody wrote stays

    text = card(record, "me/export")
    assert "base_model: me/base\n" in text
    assert "- answered right when it was made: 1 of 1 edit prompts" in text
    assert 'Delta.from_pretrained("me/export", model).apply(model)' in text


def test_what_is_damaged_or_not_ours_is_not_sent(server: Hub, saved: Path, tmp_path: Path) -> None:
    with pytest.raises(HubFailed, match="OWNER/NAME"):
        push_to_hub(saved, "ada")
    with pytest.raises(HubFailed, match="no identifier of a licence"):
        push_to_hub(saved, "me/ada", licence="mit\nevil: yes")
    next(saved.glob("*.safetensors")).write_bytes(b"damaged")
    with pytest.raises(FileCorrupt):
        push_to_hub(saved, "me/ada")
    with pytest.raises(FileCorrupt):
        push_to_hub(tmp_path / "none", "me/ada")
    assert server.files == {}


def test_an_adapter_of_another_edit_or_a_damaged_one_is_not_sent(server: Hub, tmp_path: Path) -> None:
    model, _ = tiny_model("gpt2")
    name = "transformer.h.1.mlp.c_proj.weight"
    first, second = (
        LowRankDelta(
            (WeightUpdate(name, torch.full((D_FF, 1), size), torch.ones(D, 1), conv1d=True),),
            hash_weights(model, [name]),
        )
        for size in (1.0, 2.0)
    )
    first.save(tmp_path)
    adapter = tmp_path / "adapter"
    first.export(model, adapter)
    push_to_hub(tmp_path, "me/ada")
    weights, config = adapter / "adapter_model.safetensors", adapter / "adapter_config.json"
    assert server.files["me/ada"]["adapter/adapter_model.safetensors"] == weights.read_bytes()
    server.files.clear()

    written = weights.read_bytes(), config.read_bytes()
    for file, content in (
        (weights, written[0][:-1] + bytes([written[0][-1] ^ 1])),  # a bit of a number
        (weights, written[0][:40]),
        (config, written[1].replace(b'"r": 1', b'"r": 2')),
        (config, b"{"),
    ):
        file.write_bytes(content)
        with pytest.raises(FileCorrupt, match="adapter"):
            push_to_hub(tmp_path, "me/ada")
        weights.write_bytes(written[0])
        config.write_bytes(written[1])
    config.unlink()
    with pytest.raises(FileCorrupt, match="adapter"):
        push_to_hub(tmp_path, "me/ada")
    config.write_bytes(written[1])
    second.save(tmp_path)
    with pytest.raises(FileCorrupt, match=r"left from another edit.*--adapter --force"):
        push_to_hub(tmp_path, "me/ada")
    assert server.files == {}


def test_a_repository_that_is_not_there_is_named_with_the_remedy(server: Hub) -> None:
    with pytest.raises(HubFailed, match=r"me/none could not be read from .* log in"):
        Delta.from_pretrained("me/none")


def test_the_command_says_where_it_went(server: Hub, saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["export", "push", str(saved), "me/ada", "--public", "--json"])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["commit"] == f"{server.address}/me/ada/commit/{COMMIT}"
    assert server.private == set()
