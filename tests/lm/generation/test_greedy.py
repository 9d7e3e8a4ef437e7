"""Answers equal decoding each prompt alone without a cache, and never depend on the batch they are in."""

from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedModel

from families import CONTEXT, FAMILIES, tiny_model
from kgedit.errors import PromptError
from kgedit.lm.generation.batches import batches
from kgedit.lm.generation.greedy import Ask, answer_all, complete, continue_greedily
from kgedit.lm.scoring.teacher_forced import score_rows
from kgedit.lm.tokens import encode_target, encode_text

PROMPTS = ["The capital of France is", "Marie Curie", "He was born in 1909 in the city of"]


def step_by_step(model: PreTrainedModel, ids: tuple[int, ...], steps: int) -> list[int]:
    row = list(ids)
    with torch.no_grad():
        for _ in range(steps):
            row.append(int(model(input_ids=torch.tensor([row])).logits[0, -1].argmax()))
    return row[len(ids) :]


def speaking(text: str, prompt: str) -> tuple[PreTrainedModel, object]:
    """A model made to continue the prompt with a text, by training its weights on that one sentence."""
    model, tok = tiny_model("gpt2")
    ids = torch.tensor([[*encode_text(tok, prompt), *encode_target(tok, text)]])
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(40):
        loss = torch.nn.functional.cross_entropy(model(input_ids=ids[:, :-1]).logits[0], ids[0, 1:])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model, tok


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_equal_decoding_alone_whatever_their_limits(family: str) -> None:
    model, tok = tiny_model(family)
    tok.eos_token = None
    asks = [Ask(prompt, limit, "limit") for prompt, limit in zip(PROMPTS, (3, 8, 5), strict=True)]
    answers = answer_all(model, tok, [*asks, asks[0]])
    for ask in asks:
        new = step_by_step(model, encode_text(tok, ask.prompt), ask.limit)
        assert answers[ask] == tok.decode(new, skip_special_tokens=True).strip()
    assert list(answers) == asks


def test_answers_end_where_they_are_told_to() -> None:
    model, tok = speaking("Washington, D.C. and Rome. It\nis\n\nold.", "The capital is")

    def said(until: str, limit: int = 40) -> str:
        ask = Ask("The capital is ", limit, until)
        return answer_all(model, tok, [ask])[ask]

    assert said("sentence") == "Washington, D.C. and Rome."
    assert said("line") == "Washington, D.C. and Rome. It"
    assert said("block") == "Washington, D.C. and Rome. It\nis"
    assert said("limit").startswith("Washington, D.C. and Rome. It\nis\n\nold.")
    assert said("limit", 1) == tok.decode(encode_target(tok, "Washington, D.C.")[:1]).strip()
    assert said("limit", 0) == ""


def test_a_total_limit_counts_the_prompt() -> None:
    model, tok = tiny_model("gpt2")
    tok.eos_token = None
    ids = encode_text(tok, PROMPTS[0])
    asks = [Ask(PROMPTS[0], len(ids) + 4, "limit", total=True), Ask(PROMPTS[0], 2, "limit", total=True)]
    answers = answer_all(model, tok, asks)
    assert answers[asks[0]] == tok.decode(step_by_step(model, ids, 4), skip_special_tokens=True).strip()
    assert answers[asks[1]] == ""


def test_end_of_text_ends_an_answer() -> None:
    model, tok = tiny_model("gpt2")
    new = step_by_step(model, encode_text(tok, PROMPTS[0]), 3)
    tok.eos_token = tok.convert_ids_to_tokens(new[2])
    ask = Ask(PROMPTS[0], 8, "limit")
    expected = tok.decode(new[: new.index(new[2])]).strip()
    assert answer_all(model, tok, [ask]) == {ask: expected}


def test_every_end_token_of_the_generation_config_ends_an_answer() -> None:
    """Chat models have several, such as the end of text and the end of a turn; the tokenizer names only one."""
    model, tok = tiny_model("gpt2")
    new = step_by_step(model, encode_text(tok, PROMPTS[0]), 8)
    end = next(place for place in range(2, 8) if new[place] not in new[:place])
    answer = tok.decode(new[:end], skip_special_tokens=True).strip()
    for ends in (new[end], [tok.eos_token_id, new[end]]):
        model.generation_config.eos_token_id = ends
        assert complete(model, tok, PROMPTS[:1], max_new_tokens=8, stop=()) == [answer]
        [continuation] = continue_greedily(model, tok, [encode_text(tok, PROMPTS[0])], [8], ["limit"])
        assert continuation.tokens == new[: end + 1]


def test_a_prompt_near_the_end_of_the_context_neither_fails_nor_shortens_its_neighbours() -> None:
    model, tok = tiny_model("gpt2", bos=True)
    tok.eos_token = None
    asks = [Ask("Q:", 20, "limit"), Ask("Q:" * CONTEXT, 20, "limit"), Ask("He was", 20, "limit")]
    together = answer_all(model, tok, asks)
    alone = {ask: answer_all(model, tok, [ask])[ask] for ask in asks}
    assert together == alone
    ids = encode_text(tok, "Q:" * CONTEXT)
    cut = (ids[0], *ids[len(ids) - (CONTEXT - 16) + 1 :])
    assert together[asks[1]] == tok.decode(step_by_step(model, cut, 16), skip_special_tokens=True).strip()


def test_batches_never_cut_a_prompt_short() -> None:
    lengths, needs = [5, 90, 10, 95, 84, 5], [16, 10, 16, 5, 16, 95]
    found = list(batches(lengths, needs, 100, 4))
    assert sorted(i for batch in found for i in batch) == list(range(6))
    for batch in found:
        assert len(batch) <= 4
        assert max(lengths[i] for i in batch) + max(needs[i] for i in batch) <= 100
    assert found == [[0, 5], [2, 4], [1], [3]]
    assert list(batches([], [], 100, 4)) == []
    assert [len(batch) for batch in batches([1000] * 20, [24] * 20, 2048, 64)] == [8, 8, 4]  # 8 * 1024 tokens


def test_nothing_to_ask_and_nothing_asked() -> None:
    model, tok = tiny_model("gpt2")
    assert answer_all(model, tok, []) == {}
    with pytest.raises(PromptError, match="no token"):
        answer_all(model, tok, [Ask("")])


@pytest.mark.parametrize("family", FAMILIES)
def test_new_tokens_and_their_probabilities_are_those_of_scoring_them(family: str) -> None:
    model, tok = tiny_model(family, bos=True, tokenizer="sentencepiece")
    rows = [encode_text(tok, prompt) for prompt in PROMPTS]
    tok.eos_token = None
    continuations = continue_greedily(model, tok, rows, [8, 8, 3], ["limit"] * 3, logprobs=True)
    assert [tokens for tokens, _ in continuations] == [
        step_by_step(model, row, limit) for row, limit in zip(rows, (8, 8, 3), strict=True)
    ]
    scores = score_rows(model, [(row, tokens) for row, (tokens, _) in zip(rows, continuations, strict=True)])
    for (_, logprobs), score in zip(continuations, scores, strict=True):
        assert score.exact
        assert logprobs == pytest.approx(score.logprobs, rel=1e-4, abs=1e-4)


def test_completions_end_before_the_stop() -> None:
    model, tok = speaking("Paris, and Rome. It is\nold.", "The capital is")
    prompts = ["The capital is", "The capital is "]
    assert complete(model, tok, prompts) == ["Paris, and Rome"] * 2
    assert complete(model, tok, prompts[:1], stop=(",",)) == ["Paris"]
    assert complete(model, tok, prompts[:1], stop=("\n",)) == ["Paris, and Rome. It is"]
    assert len(encode_target(tok, complete(model, tok, prompts[:1], max_new_tokens=2)[0])) == 2
    assert complete(model, tok, prompts[:1], max_new_tokens=0) == [""]


def test_a_completion_ends_with_the_context_and_its_prompt_is_not_cut() -> None:
    model, tok = tiny_model("gpt2")
    tok.eos_token = None
    prompt = "Q:" * CONTEXT
    ids = encode_text(tok, prompt)
    while len(ids) > CONTEXT - 3:
        prompt = prompt[:-2]
        ids = encode_text(tok, prompt)
    expected = tok.decode(step_by_step(model, ids, CONTEXT - len(ids)), skip_special_tokens=True).strip()
    assert complete(model, tok, [prompt], max_new_tokens=8, stop=()) == [expected]
    with pytest.raises(PromptError, match=f"context of {CONTEXT} tokens"):
        complete(model, tok, ["is" * 200])
    with pytest.raises(PromptError, match="no token"):
        complete(model, tok, [""])
    assert complete(model, tok, []) == []


def test_model_and_flags_are_as_before() -> None:
    model, tok = tiny_model("gpt2", resid_pdrop=0.5)
    model.train()
    assert complete(model, tok, PROMPTS, max_new_tokens=2) == complete(model, tok, PROMPTS, max_new_tokens=2)
    assert model.training
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
