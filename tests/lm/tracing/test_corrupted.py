"""Runs with states put back equal hand-made forward passes over the whole prompt."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from families import ALIKE, FAMILIES, LAYERS, D, tiny_model
from kgedit.errors import TracingError
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.tokens import PromptTokens, encode_prompt
from kgedit.lm.tracing.corrupted import CorruptedPrompt, Part, attention_of
from kgedit.lm.tracing.noise import draw_noise, noise_level

SAMPLES = 3


def traced(family: str) -> tuple[PreTrainedModel, PromptTokens, Tensor, CorruptedPrompt]:
    model, tokenizer = tiny_model(family)
    prompt = encode_prompt(tokenizer, "Therefore {} works in the field of", "Marie Curie")
    noise = draw_noise(2.0, SAMPLES, prompt.subject_last - prompt.subject_first + 1, D, seed=1)
    return model, prompt, noise, CorruptedPrompt(model, prompt, noise)


def by_hand(
    model: PreTrainedModel,
    prompt: PromptTokens,
    noise: Tensor | None,
    values: Mapping[nn.Module, Mapping[int, Tensor]] | None = None,
) -> tuple[Tensor, dict[nn.Module, Tensor]]:
    """Probabilities behind the prompt, and the outputs of all parts; whole prompt, no cache, nothing skipped."""
    anatomy = anatomy_of(model)
    rows = SAMPLES if noise is not None else 1
    seen: dict[nn.Module, Tensor] = {}

    def hide(module: nn.Module, args: object, output: Tensor) -> Tensor:
        hidden = output.clone()
        if noise is not None:
            hidden[:, prompt.subject_first : prompt.subject_last + 1] += noise
        return hidden

    def keep(module: nn.Module, args: object, output: Tensor | tuple[Tensor, ...]) -> object:
        tensor = (output if isinstance(output, Tensor) else output[0]).clone()
        shaped = tensor.view(rows, -1, D)
        for token, value in (values or {}).get(module, {}).items():
            shaped[:, token] = value
        seen[module] = shaped
        return tensor if isinstance(output, Tensor) else type(output)([tensor, *output[1:]])

    with ExitStack() as stack, torch.no_grad():
        stack.callback(model.get_input_embeddings().register_forward_hook(hide).remove)
        for layer, block in enumerate(anatomy.blocks(model)):
            for module in (block, attention_of(block), anatomy.mlp_out(model, layer)):
                stack.callback(module.register_forward_hook(keep).remove)
        logits = model(input_ids=torch.tensor([prompt.ids] * rows), use_cache=False).logits[:, -1]
    return logits.softmax(-1), seen


@pytest.mark.parametrize("family", [*FAMILIES, *ALIKE])
def test_runs_equal_whole_forward_passes_of_every_family(family: str) -> None:
    model, prompt, noise, run = traced(family)
    anatomy = anatomy_of(model)
    clean, kept = by_hand(model, prompt, None)
    noisy, held = by_hand(model, prompt, noise)
    assert run.answer == int(clean.argmax())
    assert run.clean == pytest.approx(float(clean[0, run.answer]), rel=1e-4)
    assert run.corrupted == pytest.approx(float(noisy[:, run.answer].mean()), rel=1e-4)
    last = prompt.subject_last
    restored = {anatomy.block(model, 1): {last: kept[anatomy.block(model, 1)][0, last]}}
    expected = by_hand(model, prompt, noise, restored)[0][:, run.answer].mean()
    token = last - prompt.subject_first
    assert run.restore_states(1, [[token]]) == pytest.approx([float(expected)], rel=1e-4)
    parts: tuple[Part, ...] = ("mlp", "attention")
    for part in parts:
        module = [
            anatomy.mlp_out(model, layer) if part == "mlp" else attention_of(anatomy.block(model, layer))
            for layer in range(LAYERS)
        ]
        window = {module[layer]: {last: kept[module[layer]][0, last]} for layer in (1, 2)}
        expected = by_hand(model, prompt, noise, window)[0][:, run.answer].mean()
        assert run.restore_parts(part, range(1, 3), [[token]]) == pytest.approx([float(expected)], rel=1e-4)
        whole = {module[layer]: {last: kept[module[layer]][0, last]} for layer in range(LAYERS)}
        expected = by_hand(model, prompt, noise, whole)[0][:, run.answer].mean()
        assert run.restore_parts(part, range(LAYERS), [[token]]) == pytest.approx([float(expected)], rel=1e-4)
        # Severed: one state clean, every output of the part at that token as in the noisy runs.
        severed = {module[layer]: {last: held[module[layer]][:, last]} for layer in range(LAYERS)}
        severed[anatomy.block(model, 0)] = {last: kept[anatomy.block(model, 0)][0, last]}
        expected = by_hand(model, prompt, noise, severed)[0][:, run.answer].mean()
        assert run.restore_states(0, [[token]], severed=part) == pytest.approx([float(expected)], rel=1e-4)


def test_everything_restored_is_the_clean_run_and_nothing_the_noisy_one() -> None:
    _, _, _, run = traced("llama")
    everything = list(range(run.width))
    assert abs(run.clean - run.corrupted) > 0.01 * run.clean
    for layer in range(LAYERS):
        found = run.restore_states(layer, [everything, [], everything])
        assert found == pytest.approx([run.clean, run.corrupted, run.clean], rel=1e-5)
    assert run.restore_parts("mlp", range(LAYERS), [[]]) == pytest.approx([run.corrupted], rel=1e-5)


def test_sites_in_one_batch_are_those_of_single_runs() -> None:
    _, _, _, run = traced("gpt2")
    sites = [[token] for token in range(run.width)]
    for part in (None, "mlp", "attention"):
        together = run.restore_states(0, sites, severed=part)  # type: ignore[arg-type]
        alone = [run.restore_states(0, [site], severed=part)[0] for site in sites]  # type: ignore[arg-type]
        assert together == pytest.approx(alone, rel=1e-5)


def test_a_subject_at_the_beginning_has_nothing_before_it() -> None:
    model, tokenizer = tiny_model("llama", bos=True)
    bare, bare_tokenizer = tiny_model("llama")
    for loaded, words in ((model, tokenizer), (bare, bare_tokenizer)):
        prompt = encode_prompt(words, "{} works in the field of", "Marie Curie")
        noise = draw_noise(2.0, SAMPLES, prompt.subject_last - prompt.subject_first + 1, D, seed=1)
        run = CorruptedPrompt(loaded, prompt, noise)
        noisy, _ = by_hand(loaded, prompt, noise)
        assert run.corrupted == pytest.approx(float(noisy[:, run.answer].mean()), rel=1e-4)


def test_the_model_is_left_as_it_was() -> None:
    model, _, _, run = traced("llama")
    run.restore_states(0, [[0]], severed="mlp")
    assert all(not module._forward_hooks and "forward" not in module.__dict__ for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_noise_of_another_length_is_refused() -> None:
    model, prompt, noise, _ = traced("llama")
    with pytest.raises(TracingError, match="the noise is for"):
        CorruptedPrompt(model, prompt, noise[:, :1])


def test_the_level_is_three_deviations_of_the_subjects_embeddings() -> None:
    model, tokenizer = tiny_model("llama", bos=True)
    ids = [i for name in ("Marie Curie", "Ulm") for i in tokenizer(name, add_special_tokens=False)["input_ids"]]
    entries = model.get_input_embeddings().weight[ids].detach()
    assert noise_level(model, tokenizer, ["Marie Curie", "Ulm"]) == pytest.approx(
        3 * float(entries.std(correction=0)), rel=1e-5
    )
    with pytest.raises(TracingError, match="no subject has a token"):
        noise_level(model, tokenizer, [])


def test_the_noise_is_the_same_for_the_same_seed() -> None:
    assert torch.equal(draw_noise(0.5, 2, 3, D, seed=1), draw_noise(0.5, 2, 3, D, seed=1))
    assert not torch.equal(draw_noise(0.5, 2, 3, D, seed=1), draw_noise(0.5, 2, 3, D, seed=2))
