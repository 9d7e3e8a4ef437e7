"""MEMoE as a method: edits take in texts that name their subject, and nowhere else."""

from __future__ import annotations

import pytest
import torch

from families import FAMILIES, tiny_model
from kgedit.delta import DeltaStack
from kgedit.edit import Edit
from kgedit.editor import Editor
from kgedit.errors import UnsupportedExport
from kgedit.lm.scoring.pairs import score_pairs
from kgedit.methods.memoe import Memoe, MemoeSettings
from methods.benches import REQUESTS, bench, state_of

OTHER = ("Here in the headquarters of Nintendo people speak", "Danish")
METHOD = Memoe(MemoeSettings(layer=1, steps=30, rank=4, learning_rate=0.05))


def probability(model, tok, prompt, target):
    return score_pairs(model, tok, [(prompt, target)])[prompt, target]


@pytest.mark.parametrize("family", FAMILIES)
def test_several_edits_take_and_a_text_without_their_subjects_keeps_every_bit(family) -> None:
    model, tok = tiny_model(family)
    before, state = probability(model, tok, *OTHER), state_of(model)
    asked = [(request.question, request.target) for request in REQUESTS[:2]]
    old = [probability(model, tok, *pair).mean_logprob for pair in asked]
    (computed,) = METHOD.together(bench(model, tok, ()), [[(request, None) for request in REQUESTS[:2]]])
    assert state_of(model) == state
    stack = DeltaStack(model)
    stack.apply(computed.delta)
    new = [probability(model, tok, *pair).mean_logprob for pair in asked]
    assert sum(new) > sum(old) + 1
    # What acts is what was trained: the loss of the last step is that of the experts before it.
    assert -sum(new) / 2 == pytest.approx(computed.log["losses"][-1], abs=0.3)
    # Both prompts in one batch of different lengths give the same.
    together = score_pairs(model, tok, [*asked, OTHER])
    assert [together[pair].mean_logprob for pair in asked] == pytest.approx(new, abs=1e-4)
    assert probability(model, tok, *OTHER) == before
    stack.revert_all()
    assert state_of(model) == state


def test_the_editor_keeps_saves_and_loads_edits_of_the_bundled_model(tmp_path) -> None:
    editor = Editor.from_pretrained("mini", method="memoe", moments="identity")
    other = "The capital of Germany is"
    kept = torch.tensor([score for _, score in editor.ask(other)])
    result = editor.apply(Edit(subject="France", relation="P36", target_new="Q220"))
    second = editor.apply(Edit(subject="Spain", relation="P36", target_new="Q90"))
    assert editor.complete("The capital of France is") == "Rome"
    assert editor.complete("The capital of Spain is") == "Paris"
    assert torch.equal(torch.tensor([score for _, score in editor.ask(other)]), kept)
    editor.save(tmp_path / "saved")
    with pytest.raises(UnsupportedExport, match="experts"):
        editor.export_adapter(tmp_path / "adapter")
    editor.revert(result.id)
    assert editor.complete("The capital of France is") == "Paris"
    assert editor.complete("The capital of Spain is") == "Paris"
    editor.revert(second.id)
    editor.load_delta(tmp_path / "saved")
    assert editor.complete("The capital of France is") == "Rome"
