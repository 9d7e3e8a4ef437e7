"""Trained editors in files: whole or not at all, bound to the unedited model, with errors that name the remedy."""

from __future__ import annotations

import pytest
import torch

from families import tiny_model
from kgedit.delta import DeltaStack, model_hash
from kgedit.errors import FileCorrupt, SettingError, UntrainedEditor, WrongBase
from kgedit.methods.finetune import FineTune, FineTuneConfig
from kgedit.methods.trained_editor import TrainedEditor, TrainedMethod, TrainedSettings, editor_file
from methods.benches import REQUESTS, bench


class _Learner(TrainedMethod):
    name = "learner"
    summary = "Learns nothing."

    def compute(self, bench, requests, subgraphs=()):
        return []

    def together(self, bench, cases):
        return []

    def fresh(self, bench):
        raise NotImplementedError

    def train(self, bench, lessons, held_out, *, minutes):
        raise NotImplementedError


pytestmark = pytest.mark.usefixtures("own_cache")


def trained(base: str, **changes) -> TrainedEditor:
    fields = {"method": "learner", "base": base, "settings": {"ending": ""}, **changes}
    return TrainedEditor(tensors={"a": torch.arange(6.0).reshape(2, 3)}, **fields)


def test_what_is_saved_is_found_by_the_model_and_read_back(tmp_path) -> None:
    model, tok = tiny_model("gpt2")
    saved = trained(model_hash(model), figures={"efficacy": 0.5})
    saved.save(editor_file("learner", saved.base))
    found = _Learner(TrainedSettings()).trained(bench(model, tok, ()))
    assert torch.equal(found.tensors["a"], saved.tensors["a"])
    assert (found.settings, found.figures) == (saved.settings, saved.figures)
    elsewhere = saved.save(tmp_path / "own" / "file.safetensors")
    assert _Learner(TrainedSettings(editor=str(elsewhere))).trained(bench(model, tok, ())).base == saved.base


def test_a_model_that_carries_edits_has_the_editor_of_the_unedited_one() -> None:
    model, tok = tiny_model("gpt2")
    stack = DeltaStack(model)
    base = model_hash(model)
    trained(base).save(editor_file("learner", base))
    (computed,) = FineTune(FineTuneConfig(layer=1, steps=1)).compute(bench(model, tok, ()), REQUESTS[:1])
    stack.apply(computed.delta)
    assert model_hash(model) != base
    assert _Learner(TrainedSettings()).trained(bench(model, tok, (), unedited_hash=stack.hash_unedited)).base == base


def test_what_is_missing_wrong_or_damaged_is_an_error_that_names_the_remedy(tmp_path) -> None:
    model, tok = tiny_model("gpt2")
    work, base = bench(model, tok, ()), model_hash(model)
    remedy = "kgedit train-editor --method learner --model MODEL"
    with pytest.raises(UntrainedEditor, match=remedy):
        _Learner(TrainedSettings()).trained(work)
    with pytest.raises(UntrainedEditor, match="there is no"):
        _Learner(TrainedSettings(editor=str(tmp_path / "nothing"))).trained(work)
    path = editor_file("learner", base)
    trained("0" * 64).save(path)
    with pytest.raises(WrongBase, match=remedy):
        _Learner(TrainedSettings()).trained(work)
    trained(base, method="other").save(path)
    with pytest.raises(SettingError, match="was trained for other"):
        _Learner(TrainedSettings()).trained(work)
    trained(base).save(path)
    with pytest.raises(SettingError, match="ending"):
        _Learner(TrainedSettings(ending=".")).trained(work)
    whole = path.read_bytes()
    for damaged in (whole[:-1] + bytes([whole[-1] ^ 1]), whole[: len(whole) // 2], b"", b"text"):
        path.write_bytes(damaged)
        with pytest.raises(FileCorrupt, match="train the editor anew"):
            _Learner(TrainedSettings()).trained(work)
