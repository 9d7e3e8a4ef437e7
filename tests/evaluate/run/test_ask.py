"""What a run counts of the prompts that it asked."""

from __future__ import annotations

from families import CONTEXT, tiny_model
from kgedit.evaluate.benchmarks.case import Questions
from kgedit.evaluate.run.ask import ask_cases, cut_prompts
from kgedit.lm.generation.greedy import Ask


def test_a_prompt_that_fits_but_leaves_no_room_for_its_answer_is_counted_as_cut() -> None:
    model, tokenizer = tiny_model("gpt2")
    full, short = "x " * (CONTEXT // 2 - 1), "x x"
    assert len(tokenizer(full.strip()).input_ids) <= CONTEXT
    asked = Questions(asks=(Ask(full, 12), Ask(short, 12)))
    assert cut_prompts(model, tokenizer, ask_cases(model, tokenizer, [asked], seed=0)) == 1
    room_enough = Questions(pairs=((short, "a"),), asks=(Ask(short, 12),))
    assert cut_prompts(model, tokenizer, ask_cases(model, tokenizer, [room_enough], seed=0)) == 0
