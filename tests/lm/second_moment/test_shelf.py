"""The shelf of second moments gives each method the ridge that it asks for."""

from __future__ import annotations

from pathlib import Path

import torch

from families import tiny_model
from kgedit.lm.second_moment.collect import collect, weights_keys
from kgedit.lm.second_moment.files import moment_file, save_moment
from kgedit.lm.second_moment.matrix import SecondMoment
from kgedit.lm.second_moment.shelf import MomentShelf


def test_each_ridge_is_solved_with_once(tmp_path: Path) -> None:
    model, tok = tiny_model("gpt2")
    for layer, moment in collect(model, tok, ["Marie Curie is a citizen of Poland"] * 40, [1]).items():
        assert weights_keys(model, [1])[1] in moment.key
        save_moment(moment, moment_file(tmp_path, layer))
    shelf = MomentShelf(model, tok, tmp_path, tmp_path)
    usual, without = shelf.of([1])[1], shelf.of([1], ridge=0.0)[1]
    assert isinstance(usual, SecondMoment)
    assert isinstance(without, SecondMoment)
    assert (usual.ridge, without.ridge) == (1e-6, 0.0)
    assert torch.equal(usual.matrix, without.matrix)
    assert shelf.of([1], ridge=0.0)[1] is without
    assert shelf.of([1])[1] is usual
