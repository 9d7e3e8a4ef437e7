"""A merged GGUF file holds base plus delta; everything else in it is the base file's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from delta.conftest import MakeDelta
from delta.test_gguf_lora import everywhere
from kgedit.delta.gguf.from_file import gguf_from_file
from kgedit.delta.gguf.writing import Precision
from kgedit.errors import FileCorrupt, WrongBase
from kgedit.lm.load import load_model
from kgedit.lm.sources.gguf_file import open_gguf
from llama_cpp import LlamaCpp
from tiny_gguf import write_tiny_llama

PROMPT = "Albert Einstein was born in"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    write_tiny_llama(tmp_path / "tiny.gguf")
    return tmp_path / "tiny.gguf"


@pytest.mark.parametrize(("precision", "tolerance"), [("f32", 1e-4), ("f16", 3e-2), ("q8_0", 0.5)])
def test_llama_cpp_runs_the_edited_model(
    precision: Precision, tolerance: float, base: Path, make_delta: MakeDelta, tmp_path: Path
) -> None:
    model, _ = load_model(str(base))
    delta = make_delta(model, layers=(0, 2), rank=3)
    file = gguf_from_file(delta, base, tmp_path / "m.gguf", precision=precision, config=model.config)
    judge = LlamaCpp(file)
    ids = judge.tokenize(PROMPT)
    with torch.no_grad(), delta.apply(model):
        mine = model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
    theirs = judge.logprobs(ids, len(mine))
    assert max(abs(float(mine[token]) - value) for token, value in theirs.items()) < tolerance


def test_every_matrix_of_a_llama_block_is_merged_where_llama_cpp_has_it(base: Path, tmp_path: Path) -> None:
    model, _ = load_model(str(base))
    delta = everywhere(model)
    again, _ = load_model(str(gguf_from_file(delta, base, tmp_path / "m.gguf", precision="f32", config=model.config)))
    delta.apply(model)
    for name in delta.names:
        assert torch.allclose(again.get_parameter(name), model.get_parameter(name), atol=1e-6), name


def test_it_can_be_edited_again(base: Path, make_delta: MakeDelta, tmp_path: Path) -> None:
    model, _ = load_model(str(base))
    delta = make_delta(model, layers=(1,), rank=2)
    file = gguf_from_file(delta, base, tmp_path / "m.gguf", precision="f32", config=model.config)
    again, _ = load_model(str(file))
    delta.apply(model)
    name = delta.names[0]
    assert torch.allclose(again.get_parameter(name), model.get_parameter(name), atol=1e-6)


def test_metadata_is_copied(base: Path, tmp_path: Path) -> None:
    file = gguf_from_file(None, base, tmp_path / "m.gguf", precision="f16")
    old, new = open_gguf(base), open_gguf(file)
    for name, field in old.fields.items():
        if not name.startswith("GGUF."):
            assert new.get_field(name).contents() == field.contents(), name
    kinds = {tensor.name: tensor.tensor_type.name for tensor in new.tensors}
    assert kinds["blk.0.ffn_down.weight"] == "F16"
    assert kinds["output_norm.weight"] == "F32"


def test_another_base_than_the_deltas_is_refused(base: Path, make_delta: MakeDelta, tmp_path: Path) -> None:
    model, _ = load_model(str(base))
    delta = make_delta(model, layers=(1,))
    write_tiny_llama(tmp_path / "lacks.gguf", leave_out="blk.1.ffn_down.weight")
    with pytest.raises(WrongBase, match=r"blk\.1\.ffn_down"):
        gguf_from_file(delta, tmp_path / "lacks.gguf", tmp_path / "m.gguf", config=model.config)
    assert not (tmp_path / "m.gguf").exists()


def test_a_damaged_base_leaves_nothing_half_written(base: Path, tmp_path: Path) -> None:
    base.write_bytes(base.read_bytes()[:-5000])
    with pytest.raises(FileCorrupt):
        gguf_from_file(None, base, tmp_path / "m.gguf")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.gguf"]


def test_quantised_blocks_are_those_of_the_gguf_package(base: Path, tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    held = {t.name: t for t in open_gguf(gguf_from_file(None, base, tmp_path / "m.gguf", precision="q8_0")).tensors}
    source = {t.name: t for t in open_gguf(base).tensors}["blk.0.ffn_down.weight"].data
    expected = gguf.quantize(np.array(source), gguf.GGMLQuantizationType.Q8_0)
    assert np.array_equal(held["blk.0.ffn_down.weight"].data, expected)
