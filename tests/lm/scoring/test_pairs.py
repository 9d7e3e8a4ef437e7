"""From texts to probabilities: tokens meet as in running text, prompts too long are cut and counted."""

from __future__ import annotations

import pytest
import torch

from families import CONTEXT, tiny_model
from kgedit.errors import PromptError, TargetError
from kgedit.lm.context import count_cut
from kgedit.lm.scoring.pairs import score_pairs
from kgedit.lm.tokens import encode_target, encode_text

PAIRS = [("The capital of France is", "Paris"), ("The capital of France is ", "the University"), ("Q:", "Kyoto")]


@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("kind", ["bytelevel", "sentencepiece"])
def test_pairs_are_scored_as_running_text_also_with_bos(bos: bool, kind: str) -> None:
    model, tok = tiny_model("llama", bos=bos, tokenizer=kind)
    scores = score_pairs(model, tok, [*PAIRS, PAIRS[0]])
    assert list(scores) == PAIRS
    for prompt, target in PAIRS:
        ids = encode_text(tok, f"{prompt.strip()} {target}")  # the whole sentence at once
        wanted = encode_target(tok, target)
        assert ids[-len(wanted) :] == wanted == scores[prompt, target].ids
        with torch.no_grad():
            logps = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        expected = sum(logps[i - 1, ids[i]] for i in range(len(ids) - len(wanted), len(ids))) / len(wanted)
        assert scores[prompt, target].mean_logprob == pytest.approx(float(expected), abs=1e-5)


def test_a_prompt_too_long_is_cut_alike_for_all_its_targets_and_counted() -> None:
    model, tok = tiny_model("gpt2", bos=True)
    prompt = "x " * CONTEXT + "The capital of France is"
    ids, bos = encode_text(tok, prompt), tok.bos_token_id
    short, long = encode_target(tok, "a"), encode_target(tok, "Kyoto and Rome")
    assert len(short) < len(long)
    scores = score_pairs(model, tok, [(prompt, "a"), (prompt, "Kyoto and Rome"), ("Q:", "a")])
    room = CONTEXT - len(long) + 1
    with torch.no_grad():
        logps = model(input_ids=torch.tensor([[bos, *ids[-room + 1 :]]])).logits[0, -1].log_softmax(-1)
    assert scores[prompt, "a"].logprobs[0] == pytest.approx(float(logps[short[0]]), abs=1e-5)
    assert scores[prompt, "Kyoto and Rome"].logprobs[0] == pytest.approx(float(logps[long[0]]), abs=1e-5)
    assert count_cut(model, tok, {prompt: 0, "Q:": 0}) == 1
    assert count_cut(model, tok, {"Q:": CONTEXT - 1}) == 1


def test_unusable_texts_are_refused() -> None:
    model, tok = tiny_model("gpt2")
    with pytest.raises(TargetError):
        score_pairs(model, tok, [("The", " ")])
    with pytest.raises(PromptError):
        score_pairs(model, tok, [(" ", "Paris")])


def test_a_target_is_scored_without_a_space_where_none_belongs() -> None:
    model, tok = tiny_model("gpt2")
    pairs = [("The capital (", "Paris"), ("The capital", "Paris"), ("The capital ", "Paris")]
    scores = score_pairs(model, tok, pairs)
    assert tok.decode(list(scores[pairs[0]].ids)) == "Paris"
    assert tok.decode(list(scores[pairs[1]].ids)) == " Paris"
    assert scores[pairs[2]] == scores[pairs[1]]
