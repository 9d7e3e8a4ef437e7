"""From texts to probabilities: tokens meet as in running text, prompts too long are cut and counted."""

from __future__ import annotations

import math

import pytest
import torch

from families import CONTEXT, tiny_model
from kgedit.errors import PromptError, TargetError
from kgedit.evaluate.benchmarks.counterfact.measures import CounterFactProbe
from kgedit.lm.scoring.fit import as_cloze, count_cut, fit
from kgedit.lm.scoring.pairs import TargetScore, measure_probes, score_pairs
from kgedit.lm.tokens import TextTokens, encode_target, encode_text

PAIRS = [("The capital of France is", "Paris"), ("The capital of France is ", "the University"), ("Q:", "Kyoto")]


def test_the_probability_is_the_geometric_mean_of_the_tokens() -> None:
    score = TargetScore(ids=(1, 2), logprobs=(math.log(0.5), math.log(0.08)), top=(1, 3))
    assert score.probability == pytest.approx(0.2)  # sqrt(0.5 * 0.08)
    assert score.mean_logprob == pytest.approx(math.log(0.2))
    assert score.token_accuracy == 0.5
    assert not score.exact
    assert score._replace(top=(1, 2)).exact


def test_nan_is_no_probability_at_all() -> None:
    score = TargetScore(ids=(0, 1), logprobs=(math.nan, -1.0), top=(-1, -1))
    assert score.mean_logprob == -math.inf
    assert score.probability == 0
    assert score.token_accuracy == 0
    assert not score.exact


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
    assert count_cut(model, tok, [prompt, prompt, "Q:"]) == 1
    assert count_cut(model, tok, ["Q:"], reserve=CONTEXT - 1) == 1


def test_cutting_keeps_bos_and_the_end() -> None:
    text = TextTokens(ids=(1, 10, 11, 12), spans=((0, 0), (0, 1), (1, 2), (2, 3)), leading=1)
    assert fit(text, 4) == (1, 10, 11, 12)
    assert fit(text, 3) == (1, 11, 12)
    with pytest.raises(PromptError, match="room for 1 tokens"):
        fit(text, 1)
    with pytest.raises(PromptError, match="no token"):
        fit(TextTokens(ids=(1,), spans=((0, 0),), leading=1), 4)


def test_only_questions_get_the_suffix() -> None:
    assert as_cloze(" Who? ") == "Who? The answer to this question, most simply, is"
    assert as_cloze("The capital of France is") == "The capital of France is"


def test_unusable_texts_are_refused() -> None:
    model, tok = tiny_model("gpt2")
    with pytest.raises(TargetError):
        score_pairs(model, tok, [("The", " ")])
    with pytest.raises(PromptError):
        score_pairs(model, tok, [(" ", "Paris")])


def test_many_cases_share_batches_and_equal_each_case_alone() -> None:
    model, tok = tiny_model("gpt2")
    near = ("The capital of Japan is", "Marie Curie works in")
    probes = [
        CounterFactProbe("Paris", "Tokyo", ("The capital of France is",), ("France, whose capital is",), near),
        CounterFactProbe("physics", "Danish", ("Marie Curie works in",), (), near),
    ]
    seen: list[int] = []
    block = model.transformer.h[0]
    handle = block.register_forward_pre_hook(lambda module, args: seen.append(args[0].shape[:2].numel()))
    together = measure_probes(model, tok, probes)
    shared = sum(seen)
    apart = [measure_probes(model, tok, [probe])[0] for probe in probes]
    handle.remove()
    assert [list(case) for case in together] == [list(case) for case in apart]
    for one, other in zip(together, apart, strict=True):
        assert one == pytest.approx(other, abs=1e-6)
    assert shared < sum(seen) - shared  # the same neighbours
    assert "paraphrase" not in together[1]
