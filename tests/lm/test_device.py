"""A device, precision or revision that does not fit is refused in one line, with what there is."""

from __future__ import annotations

import pytest
import torch

from kgedit.errors import LoadingError, MissingExtra
from kgedit.lm import device
from kgedit.lm.device import check_all_on_devices, check_trust, checked_device, checked_dtype, repeatable
from kgedit.lm.load import load_model


def test_the_cpu_is_the_default_and_a_number_is_kept() -> None:
    assert checked_device(None) == torch.device("cpu")
    assert checked_device("cpu:0") == torch.device("cpu", 0)


@pytest.mark.parametrize(
    ("name", "meant"), [("gpu", "'cuda'"), ("cuad", "'cuda'"), ("cpus", "'cpu'"), ("cuda:x", "cuda:1")]
)
def test_a_misspelt_device_is_answered_with_the_nearest(name: str, meant: str) -> None:
    with pytest.raises(LoadingError, match=meant):
        checked_device(name)


@pytest.mark.parametrize("name", ["cuda:999", "cpu:1", "meta"])
def test_a_device_that_is_not_here_is_refused(name: str) -> None:
    with pytest.raises(LoadingError, match="there"):
        checked_device(name)


def test_a_cuda_device_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert checked_device("cuda") == torch.device("cuda")
    assert checked_device("CUDA:1") == torch.device("cuda", 1)
    with pytest.raises(LoadingError, match="counted from 0"):
        checked_device("cuda:2")


def test_a_manifest_promises_equal_bits_on_the_cpu_alone() -> None:
    assert repeatable(torch.device("cpu")).startswith("bit for bit")
    assert repeatable(torch.device("cuda", 1)) == "not bit for bit: kernels of cuda add up in varying order"


def test_precisions_and_remote_code_are_checked() -> None:
    with pytest.raises(LoadingError, match="did you mean 'bfloat16'"):
        checked_dtype("bf16")
    with pytest.raises(LoadingError, match="full commit"):
        check_trust("main", trust_remote_code=True)
    check_trust("0" * 40, trust_remote_code=True)


def test_a_local_model_has_no_revisions() -> None:
    with pytest.raises(LoadingError, match="has no revisions"):
        load_model("mini", revision="main")


def test_auto_without_a_gpu_is_the_cpu_and_changes_no_answer() -> None:
    prompt = "The capital of Germany is"
    answers = []
    for name in ("auto", None):
        model, tokenizer = load_model("mini", device=name)
        ids = torch.tensor([tokenizer(prompt).input_ids], device=model.device)
        answers.append(model(input_ids=ids).logits[0, -1].argmax().item())
    assert answers[0] == answers[1]


def test_a_model_of_which_a_part_waits_elsewhere_is_refused_by_name() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2, device="meta"))
    with pytest.raises(LoadingError, match=r"2 tensors, '1\.weight' the first"):
        check_all_on_devices(model)


def test_auto_without_accelerate_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"kgedit\[accelerate\]"):
        load_model("mini", device="auto")
