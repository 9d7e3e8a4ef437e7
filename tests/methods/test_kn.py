"""KN: which columns an edit changes, and by what, worked out by hand on every family."""

from __future__ import annotations

import pytest
import torch

from families import FAMILIES, LAYERS, tiny_model
from kgedit.delta import DeltaStack
from kgedit.edit import Edit
from kgedit.editor import Editor
from kgedit.lm.anatomy import anatomy_of, to_math
from kgedit.lm.neurons import attributions, coarse_set, own_answer, refined_set
from kgedit.lm.tokens import encode_prompt, encode_target
from kgedit.methods.kn import Kn, KnSettings
from methods.benches import CASE, REQUESTS, bench, state_of

PLAIN = Kn(KnSettings(threshold=0.3, integration_steps=4))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_columns_of_the_coarse_set_move_from_the_old_answer_to_the_new_object(family) -> None:
    model, tok = tiny_model(family)
    request, before = REQUESTS[3], state_of(model)
    (computed,) = PLAIN.compute(bench(model, tok, ()), [request])
    assert state_of(model) == before
    # By hand: + E[each token of the new object] - E[each token of the old answer].
    ids = encode_prompt(tok, request.prompt, request.subject).ids
    old = own_answer(model, tok, ids)
    new = encode_target(tok, request.target, request.question)
    head = model.get_output_embeddings().weight.detach()
    wanted = sum(head[token] for token in new) - sum(head[token] for token in old)
    wanted = 2 * wanted if len(old) == len(new) == 1 else wanted
    neurons = {(neuron.layer, neuron.entry) for neuron in coarse_set(attributions(model, ids, old, steps=4), 0.3)}
    assert neurons
    anatomy = anatomy_of(model)
    unedited = [to_math(anatomy.weight(model, layer), anatomy.conv1d).detach().clone() for layer in range(LAYERS)]
    stack = DeltaStack(model)
    stack.apply(computed.delta)
    for layer in range(LAYERS):
        change = to_math(anatomy.weight(model, layer), anatomy.conv1d).detach() - unedited[layer]
        for index, column in enumerate(change.T):
            right = wanted if (layer, index) in neurons else torch.zeros_like(wanted)
            assert torch.allclose(column, right, atol=1e-5)
    stack.revert_all()
    assert state_of(model) == before


def test_the_refined_set_is_taken_over_the_wordings_of_the_relation() -> None:
    model, tok = tiny_model("llama")
    work, (request, _) = bench(model, tok, ()), CASE[0]
    method = Kn(KnSettings(threshold=0.3, integration_steps=4, refine=True, share=0.0))
    (computed,) = method.compute(work, [request])
    prompts, _ = method._encoded(work, request)
    assert len(prompts) > 1
    old = own_answer(model, tok, prompts[0])
    sets = [coarse_set(attributions(model, ids, old, steps=4), 0.3) for ids in prompts]
    assert computed.log["neurons"] == [list(neuron) for neuron in refined_set(sets, 0.0)]
    # A prompt without a relation has one wording.
    (alone,) = method.compute(work, [REQUESTS[1]])
    assert any("no other wording" in note for note in alone.notes)


def test_the_bundled_model_believes_the_new_object_more_and_the_old_one_again_after_undo() -> None:
    editor = Editor.from_pretrained("mini", method="kn", moments="identity")
    result = editor.apply(Edit(subject="France", relation="P36", target_new="Q220"))
    assert result.after == "Rome"
    editor.revert(result.id)
    assert editor.complete("The capital of France is") == "Paris"
