"""Results that a run writes as it goes: one row per case and method, and the cases it had to leave out."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

UNEDITED = "unedited"
# The control beside the methods: the unedited model reads the new facts in each prompt.
PASTED = "pasted"
# Value of the unedited rows: whether the model knows the facts that the case rests on, before any edit.
RECALLED = "recalled_before"
# Reason of cases that are left out because only recalled ones were asked for.
NOT_RECALLED = "the unedited model does not recall the facts"
UNTOLD = "the file does not tell what held before, so whether the unedited model recalls it cannot be asked"


Values = dict[str, float]  # measure -> value of one case


class Frozen(BaseModel):
    """A value that does not change after it was made and that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Row(Frozen):
    """The values of one case under one method.

    Attributes:
        case: Id of the case, as text.
        method: What edited the model; "unedited" is the model as it is.
        hops: Facts in the case's chain after the edit, where it has one.
        edits: Facts that the case changes.
        values: Measure -> value; a measure that the case has no prompt for is absent.
    """

    case: str
    method: str
    hops: int | None
    edits: int
    values: Values


class LengthRow(Frozen):
    """The model as a whole after some edits of a sequence.

    Attributes:
        method: What edits it.
        length: Number of cases of the file so far.
        edits: Edits that the model carries; fewer than the cases have where some were refused.
        asked: Cases that were asked.
        asked_all: Those of them that were asked everything, the others their edits alone.
        seconds: Of computing the edits, for each of them.
        growth: Edited matrix -> its Frobenius norm, as a multiple of what it is unedited; at most 1e300, also for NaN.
        change: Edited matrix -> norm of its change, as a share of its own norm unedited; likewise.
        perplexity: Of held-out text, as a multiple of the unedited model's; likewise.
        ability: Share of questions about nothing edited that are answered right; None where none could be asked.
        ability_before: The same of the unedited model.
    """

    method: str
    length: int
    edits: int
    asked: int
    asked_all: int
    seconds: float
    growth: dict[str, float]
    change: dict[str, float]
    perplexity: float
    ability: float | None = None
    ability_before: float | None = None


class LeftOut(Frozen):
    """A case without values, and why.

    Attributes:
        case: Id of the case, as text.
        method: The method that could not make its edits; None where nothing can be scored either.
        reason: The kind of reason, under which reports count it.
        detail: What exactly was wrong.
    """

    case: str
    method: str | None
    reason: str
    detail: str


class SaidText(Frozen):
    """One text that a model said, and whether it is right.

    Attributes:
        figure: The figure that it counts for.
        prompt: What the model was given.
        said: What it went on with, up to its natural stop.
        wanted: Names of the right answer; of a prompt whose answer must stay, what the unedited model said.
        right: Rule of matching -> verdict.
    """

    figure: str
    prompt: str
    said: str
    wanted: tuple[str, ...]
    right: dict[str, bool]


class CaseTexts(Frozen):
    """All texts of one case under one method, as a run keeps them."""

    case: str
    method: str
    texts: tuple[SaidText, ...]


class Answered(Frozen):
    """A prompt that a model continued greedily, and what it went on with."""

    prompt: str
    said: str


class Scored(Frozen):
    """An answer that was given to a model behind a prompt.

    Attributes:
        prompt: The prompt.
        target: The answer.
        probability: Of the whole answer: the product over its tokens.
        greedy: Whether each of its tokens is the most probable one.
    """

    prompt: str
    target: str
    probability: float
    greedy: bool


class CaseAnswers(Frozen):
    """Everything that one case was asked under one method. Nothing of a report rests on it.

    Attributes:
        case: Id of the case, as text.
        method: The method.
        edits: What the case changes, in words.
        seconds: Time since the last case of the method, its edits included; the first of a chunk whose edits are
            computed together takes them all.
        answered: Prompts that were continued.
        scored: Answers that were given.
    """

    case: str
    method: str
    edits: tuple[str, ...]
    seconds: float
    answered: tuple[Answered, ...]
    scored: tuple[Scored, ...]


def at_length(method: str, length: int) -> str:
    """The name under which a method's values at a length of a sequence stand in rows and reports."""
    return f"{method}@{length}"
