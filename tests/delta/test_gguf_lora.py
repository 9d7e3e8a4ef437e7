"""A GGUF adapter does in llama.cpp what the delta does in transformers: judged by llama.cpp itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from delta.conftest import MakeDelta
from families import tiny_model
from kgedit.delta import LowRankDelta, WeightUpdate, hash_weights
from kgedit.delta.facts import check_agreeing
from kgedit.delta.gguf.lora import export_gguf_lora
from kgedit.delta.weights import parent_module
from kgedit.errors import SaveFailed, UnsupportedExport
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.load import load_model
from kgedit.lm.sources.gguf_file import field, open_gguf
from llama_cpp import LlamaCpp
from tiny_gguf import write_tiny_llama

PROMPTS = ("Albert Einstein was born in", "The capital of France is", "Marie Curie works in the field of", "Kyoto")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("base") / "tiny.gguf"
    write_tiny_llama(file)
    return file


@pytest.fixture
def model(base: Path) -> PreTrainedModel:
    return load_model(str(base))[0]


def test_edits_of_one_delta_may_follow_each_other_and_those_of_two_must_agree(
    make_delta: MakeDelta, model: PreTrainedModel
) -> None:
    def saying(*objects: str) -> LowRankDelta:
        edits = [{"edit": {"subject": "Ulm", "relation": "P17", "target_new": name}} for name in objects]
        return make_delta(model).with_manifest({"composed": [{"manifest": edit} for edit in edits]})

    check_agreeing([saying("France", "Spain"), saying("Spain")])
    with pytest.raises(UnsupportedExport, match="Ulm | P17 different objects, Spain and France"):
        check_agreeing([saying("France", "Spain"), saying("France")])


def test_facts_are_compared_as_they_were_written_and_not_as_they_were_named(
    make_delta: MakeDelta, model: PreTrainedModel
) -> None:
    def named(subject: str, relation: str, new: str, written: str) -> LowRankDelta:
        request = {"subject": "Ulm", "prompt": "{} lies in", "target": written, "relation": "P17"}
        edit = {"subject": subject, "relation": relation, "target_new": new}
        return make_delta(model).with_manifest({"edit": edit, "requests": [request]})

    check_agreeing([named("Ulm", "P17", "France", "France"), named("Q3012", "country", "Q142", "France")])
    with pytest.raises(UnsupportedExport, match=r"Ulm \| P17 different objects, France and Spain"):
        check_agreeing([named("Ulm", "P17", "France", "France"), named("Q3012", "country", "Q29", "Spain")])


def ranks(make_delta: MakeDelta, model: nn.Module, *wanted: int, seed: int = 0) -> LowRankDelta:
    """A delta with one rank per layer."""
    parts = [make_delta(model, layers=(i,), rank=rank, seed=seed + i) for i, rank in enumerate(wanted)]
    updates = tuple(update for part in parts for update in part.updates)
    edit = {"subject": "Albert Einstein", "relation": "P27", "target_new": "France", "prompt": None}
    return LowRankDelta(updates, hash_weights(model, [u.name for u in updates]), {"edit": edit})


def logprobs(model: PreTrainedModel, ids: list[int]) -> list[float]:
    with torch.no_grad():
        return list(model(torch.tensor([ids])).logits[0, -1].log_softmax(-1).tolist())


def furthest(judge: LlamaCpp, model: PreTrainedModel, prompt: str) -> float:
    ids = judge.tokenize(prompt)
    mine = logprobs(model, ids)
    return max(abs(mine[token] - value) for token, value in judge.logprobs(ids, len(mine)).items())


def test_adapters_with_unequal_ranks_swap_and_leave_no_trace(
    base: Path, model: PreTrainedModel, make_delta: MakeDelta, tmp_path: Path
) -> None:
    first, second = ranks(make_delta, model, 1, 1, 7), ranks(make_delta, model, 2, seed=50)
    files = [export_gguf_lora(d, model, tmp_path / f"{i}.gguf") for i, d in enumerate((first, second))]
    judge, bare = LlamaCpp(base, files), LlamaCpp(base)
    unedited = [bare.greedy(prompt, 12) for prompt in PROMPTS]
    for scales, delta in (((1.0, 0.0), first), ((0.0, 1.0), second), ((1.0, 0.0), first)):
        judge.scales(*scales)
        with delta.apply(model):
            assert max(furthest(judge, model, prompt) for prompt in PROMPTS) < 1e-4
        assert [judge.greedy(prompt, 12) for prompt in PROMPTS] != unedited
    judge.scales(0.0, 0.0)
    assert [judge.greedy(prompt, 12) for prompt in PROMPTS] == unedited
    assert max(furthest(judge, model, prompt) for prompt in PROMPTS) < 1e-4


def test_two_adapters_at_once_do_what_both_edits_do(
    base: Path, model: PreTrainedModel, make_delta: MakeDelta, tmp_path: Path
) -> None:
    first, second = ranks(make_delta, model, 1, 3), ranks(make_delta, model, 2, seed=50)
    files = [export_gguf_lora(d, model, tmp_path / f"{i}.gguf") for i, d in enumerate((first, second))]
    judge = LlamaCpp(base, files)
    judge.scales(1.0, 1.0)
    with first.apply(model), second.apply(model, check=False):
        assert max(furthest(judge, model, prompt) for prompt in PROMPTS) < 1e-4


def test_the_file_says_what_it_changes_and_on_what(
    base: Path, model: PreTrainedModel, make_delta: MakeDelta, tmp_path: Path
) -> None:
    delta = ranks(make_delta, model, 1)
    reader = open_gguf(export_gguf_lora(delta, model, tmp_path / "a.gguf"))
    assert field(reader, "general.base_model.0.name") == "Tiny Random"
    assert field(reader, "kgedit.base_file_sha256") == model.config.gguf_source["sha256"]
    assert field(reader, "kgedit.delta") == delta.id
    assert field(reader, "kgedit.facts") == ["Albert Einstein | P27 | France"]
    numbers = sum(update.left.numel() + update.right.numel() for update in delta.updates)
    assert (tmp_path / "a.gguf").stat().st_size < 4 * numbers + 2000


@pytest.mark.parametrize("family", ["gpt2", "qwen2", "mistral", "gemma2", "phi3", "gpt_neox"])
def test_the_factors_stand_under_the_name_of_llama_cpp(family: str, make_delta: MakeDelta, tmp_path: Path) -> None:
    model = tiny_model(family)[0]
    delta = make_delta(model, layers=(1,), rank=2)
    reader = open_gguf(export_gguf_lora(delta, model, tmp_path / "a.gguf"))
    held = {tensor.name: np.array(tensor.data) for tensor in reader.tensors}
    change = held["blk.1.ffn_down.weight.lora_b"] @ held["blk.1.ffn_down.weight.lora_a"]
    assert torch.allclose(torch.tensor(change), delta.updates[0].dense(), atol=1e-6)


@pytest.mark.parametrize("family", ["opt", "gptj"])
def test_a_family_that_llama_cpp_cannot_run_is_refused(family: str, make_delta: MakeDelta, tmp_path: Path) -> None:
    model = tiny_model(family)[0]
    with pytest.raises(UnsupportedExport, match=family):
        export_gguf_lora(make_delta(model), model, tmp_path / "a.gguf")


def everywhere(model: PreTrainedModel, *, seed: int = 0) -> LowRankDelta:
    """A delta of rank 2 on every matrix of every block, as an adapter of all linear layers has."""
    rng = torch.Generator().manual_seed(seed)
    blocks = f"{anatomy_of(model).blocks_path}."
    updates = []
    for name, weight in model.named_parameters():
        if name.startswith(blocks) and weight.ndim == 2:
            conv1d = isinstance(parent_module(model, name), Conv1D)
            d_out, d_in = weight.shape[::-1] if conv1d else weight.shape
            left, right = torch.randn(d_in, 2, generator=rng), 0.1 * torch.randn(d_out, 2, generator=rng)
            updates.append(WeightUpdate(name, left, right, conv1d))
    return LowRankDelta(tuple(updates), hash_weights(model, [update.name for update in updates]))


def test_every_matrix_of_a_llama_block_is_exported_with_its_rows_where_llama_cpp_has_them(
    base: Path, model: PreTrainedModel, tmp_path: Path
) -> None:
    delta = everywhere(model)
    assert len({update.name.split(".")[-2] for update in delta.updates}) == 7
    judge = LlamaCpp(base, [export_gguf_lora(delta, model, tmp_path / "a.gguf")])
    judge.scales(1.0)
    unedited = [logprobs(model, judge.tokenize(prompt)) for prompt in PROMPTS]
    with delta.apply(model):
        assert max(furthest(judge, model, prompt) for prompt in PROMPTS) < 1e-4
        edited = [logprobs(model, judge.tokenize(prompt)) for prompt in PROMPTS]
    # What is compared is far from the unedited model.
    assert min((torch.tensor(x) - torch.tensor(y)).abs().max() for x, y in zip(edited, unedited, strict=True)) > 0.1


@pytest.mark.parametrize("matrix", ["self_attn.q_proj", "mlp.up_proj"])
def test_other_matrices_of_families_that_were_not_tried_are_refused_since_their_rows_may_be_permuted(
    matrix: str, tmp_path: Path
) -> None:
    model = tiny_model("gemma2")[0]
    name = f"model.layers.0.{matrix}.weight"
    d_out, d_in = model.get_parameter(name).shape
    update = WeightUpdate(name, torch.ones(d_in, 1), torch.ones(d_out, 1))
    with pytest.raises(UnsupportedExport, match=matrix):
        export_gguf_lora(LowRankDelta((update,), hash_weights(model, [name])), model, tmp_path / "a.gguf")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_leaves_nothing(
    model: PreTrainedModel, make_delta: MakeDelta, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SaveFailed):
        export_gguf_lora(ranks(make_delta, model, 1), model, tmp_path / "file" / "a.gguf")
