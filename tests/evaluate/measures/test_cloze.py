"""Only questions get a suffix."""

from __future__ import annotations

from kgedit.evaluate.measures.cloze import as_cloze


def test_only_questions_get_the_suffix() -> None:
    assert as_cloze(" Who? ") == "Who? The answer to this question, most simply, is"
    assert as_cloze("The capital of France is") == "The capital of France is"
    assert as_cloze("<|user|>\nWhere?\n<|assistant|>\n") == "<|user|>\nWhere?\n<|assistant|>\n"
