"""The control "pasted": the unedited model with the new facts pasted into each prompt, in place of an edit.

What a model does with a fact that it reads. The method `ike` is the same as a change that can be applied and saved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.evaluate.benchmarks.case import FollowUp, Questions, Replies
from kgedit.evaluate.benchmarks.records import Rewrite
from kgedit.evaluate.run.ask import ask_cases
from kgedit.lm.generation.greedy import Ask
from kgedit.methods.ike import stated


@dataclass(frozen=True)
class PastedFacts:
    """New facts as text, and where they go: before all that is asked, so inside a user's turn or behind examples.

    Attributes:
        statement: The facts, each as a sentence.
        anchors: Texts before which they are pasted in a prompt that has lines, such as examples, before one of them.
        head: What the chat template puts before what a user asks.
    """

    statement: str
    anchors: tuple[str, ...]
    head: str = ""

    @classmethod
    def of(cls, rewrites: Sequence[Rewrite], head: str = "") -> PastedFacts:
        """The new facts of a case."""
        sentences = (stated(one.text, one.target_new) for one in rewrites)
        texts = (text for one in rewrites for text in (one.text, one.question) if text)
        return cls(" ".join(sentences), tuple(dict.fromkeys(texts)), head)

    def into(self, prompt: str) -> str:
        """The prompt with the facts in it."""
        start = len(self.head) if prompt.startswith(self.head) else 0
        places = (prompt.find(anchor, start) for anchor in self.anchors)
        place = min((found for found in places if found >= 0), default=start)
        if "\n" not in prompt[start:place]:  # "It is not true that" before an anchor must not deny the facts
            place = start
        return f"{prompt[:place]}{self.statement}\n{prompt[place:]}"

    def ask(self, ask: Ask) -> Ask:
        """The same ask with the facts in its prompt."""
        return ask._replace(prompt=self.into(ask.prompt))

    def follow_up(self, asked: FollowUp) -> FollowUp:
        """The same follow-up; the facts stand before what the model tells, and so before the second prompt."""
        return asked._replace(first=self.ask(asked.first), before=self.into(asked.before))


def ask_pasted(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    questions: Questions,
    rewrites: Sequence[Rewrite],
    *,
    seed: int,
    head: str = "",
) -> Replies:
    """What the model says about a case with the new facts in each prompt, under the prompts as they were.

    Nothing is sampled: the pasted facts would be part of the texts.

    Args:
        model: The unedited model.
        tokenizer: Its tokenizer.
        questions: What is asked about the case.
        rewrites: Its edits.
        seed: Of sampled texts.
        head: See `PastedFacts`.

    Raises:
        EditError: A prompt does not fit into the context; see `ask_cases`.
    """
    facts = PastedFacts.of(rewrites, head)
    asked = Questions(
        pairs=tuple((facts.into(prompt), target) for prompt, target in questions.pairs),
        asks=tuple(map(facts.ask, questions.asks)),
        follow_ups=tuple(map(facts.follow_up, questions.follow_ups)),
    )
    (said,) = ask_cases(model, tokenizer, [asked], seed=seed)
    answers: dict[Ask, str] = {ask: said.text(pasted) for ask, pasted in zip(questions.asks, asked.asks, strict=True)}
    for follow_up, pasted in zip(questions.follow_ups, asked.follow_ups, strict=True):
        answers[follow_up.first] = said.text(pasted.first)
        answers[follow_up.then(answers)] = said.text(pasted)
    scores = {pair: said.scores[other] for pair, other in zip(questions.pairs, asked.pairs, strict=True)}
    return Replies(scores=scores, answers=answers)
