"""An answer is right when it is the whole name and the sentence ends there."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from families import tiny_model
from kgedit.errors import TargetError
from kgedit.lm.scoring.exact_answers import exact_answers

KINDS = ("bytelevel", "bytelevel-spaces", "sentencepiece", "sentencepiece-bare", "unigram")


def teach(
    text: str, *, tokenizer: str = "bytelevel", bos: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A real model that continues each token of one text with the next: it knows this text and nothing else."""
    model, tok = tiny_model("gpt2", tokenizer=tokenizer, bos=bos, n_embd=128, n_inner=8)
    ids = tok(text)["input_ids"]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for module in model.modules():
            if isinstance(module, nn.LayerNorm):
                module.weight.fill_(1.0)
        # Positions alone decide: the state at position i points at the token that comes next.
        for i, token in enumerate(ids[1:]):
            model.transformer.wpe.weight[i, i] = 1.0
            model.transformer.wte.weight[token, i] = 1e-3
        model.lm_head.weight = nn.Parameter(1000 * model.transformer.wte.weight.clone())
    return model, tok


@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_whole_name_and_nothing_behind_it(kind, bos) -> None:
    model, tok = teach("The capital of Japan is New Tokyo City.", tokenizer=kind, bos=bos)
    prompt = "The capital of Japan is"
    asked = [
        (prompt, "New Tokyo City"),
        (prompt, "New Tokyo"),
        (prompt, "New"),
        (prompt, "New Tokyo City and Kyoto"),
        (prompt, "Tokyo City"),
        (f"{prompt} New ", "Tokyo City"),  # a space at the end of the prompt is dropped
    ]
    assert exact_answers(model, tok, asked) == [True, False, False, False, False, True]


def test_a_sentence_that_goes_on_is_no_answer() -> None:
    model, tok = teach("The capital of Japan is Tokyo and Kyoto.")
    assert exact_answers(model, tok, [("The capital of Japan is", "Tokyo")]) == [False]


@pytest.mark.parametrize("text", ["He died in Washington, D.C.", "He died in Washington, D.C.."])
def test_a_name_that_ends_in_a_full_stop_may_be_its_own_end(text) -> None:
    model, tok = teach(text)
    asked = [
        ("He died in", "Washington, D.C."),
        ("He died in", "Washington"),
        ("He died in", "Washington, D.C. and Paris"),
    ]
    assert exact_answers(model, tok, asked) == [True, False, False]


def test_a_name_that_merges_with_the_full_stop() -> None:
    """SentencePiece has tokens such as "o."; the name and the end of the sentence are then one token."""
    model, tok = teach("The capital of Japan is Tokyo.", tokenizer="sentencepiece")
    assert "o." in tok.tokenize("Tokyo."), "choose a name that merges"
    asked = [("The capital of Japan is", "Tokyo"), ("The capital of Japan is", "Tok")]
    assert exact_answers(model, tok, asked) == [True, False]


def test_verdicts_come_in_the_order_of_the_questions() -> None:
    model, tok = teach("The capital of Japan is Tokyo.")
    prompt = "The capital of Japan is"
    asked = [(prompt, answer) for answer in ("Ulm", "Tokyo", "Kyoto", "Tokyo", "D.C.", "Paris")]
    assert exact_answers(model, tok, asked) == [False, True, False, True, False, False]
    assert exact_answers(model, tok, []) == []


def test_an_empty_answer_is_refused() -> None:
    model, tok = teach("The capital of Japan is Tokyo.")
    with pytest.raises(TargetError, match="empty"):
        exact_answers(model, tok, [("The capital of Japan is", " ")])
