"""Half-precision models are edited in place: their dtype stays, the edit takes, and undo is exact."""

from __future__ import annotations

import pytest
import torch

from kgedit.edit import Edit
from kgedit.editor import Editor


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("method", ["rome", "memit"])
def test_an_edit_takes_in_the_models_own_precision(method: str, dtype: str) -> None:
    editor = Editor.from_pretrained("mini", method=f"{method}:steps=8", moments="identity", dtype=dtype)
    before = {name: parameter.clone() for name, parameter in editor.model.named_parameters()}
    result = editor.apply(Edit(subject="Albert Einstein", relation="P19", target_new="Paris"))
    assert result.probability_after > 10 * result.probability_before
    assert {str(parameter.dtype) for parameter in editor.model.parameters()} == {f"torch.{dtype}"}
    assert result.peak_memory is None or result.peak_memory > sum(p.nbytes for p in editor.model.parameters())
    editor.revert(result.id)
    assert all(torch.equal(parameter, before[name]) for name, parameter in editor.model.named_parameters())
