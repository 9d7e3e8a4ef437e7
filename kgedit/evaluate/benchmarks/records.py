"""The parts that records of all benchmarks share: facts to change, and questions with known answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, StringConstraints, field_validator

from kgedit.edit import Edit
from kgedit.errors import PromptError
from kgedit.evaluate.results import Frozen
from kgedit.text.boundary import tidied
from kgedit.text.template import fill, split_slot

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f]")


def _printable(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("contains control characters")
    return text


# The bounds of `kgedit.edit.Edit`, so that whatever loads can also be asked of an editor.
Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=400), AfterValidator(_printable)
]
Prompt = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000), AfterValidator(_printable)
]
# White space at the end belongs to a prompt, as in chat templates; spaces there only where they say something.
Cloze = Annotated[
    str,
    BeforeValidator(lambda text: tidied(text.lstrip(" ")) if isinstance(text, str) else text),
    StringConstraints(min_length=1, max_length=4000),
    AfterValidator(_printable),
]
ItemId = Annotated[str, StringConstraints(pattern=r"^Q[1-9][0-9]{0,11}$")]
PropertyId = Annotated[str, StringConstraints(pattern=r"^P[1-9][0-9]{0,11}$")]
Answers = tuple[tuple[Prompt, ...], ...]

# Called with the part of the record that is left out, and why.
Drop = Callable[[str, str], None]


class MalformedRecord(ValueError):
    """A record, or a part of one, says something that cannot be used; the loader names it and leaves it out."""


class Rewrite(Frozen):
    """One fact change as a benchmark states it, whatever the file's own layout.

    Attributes:
        subject: The subject as written in prompts.
        prompt: Cloze with exactly one "{}" in the place of the subject; the object follows after a space.
        target_new: The object that the fact shall have.
        target_true: The object it has so far, where the file says so.
        question: A question for the same fact, with the subject written out.
        subject_id: Wikidata item of the subject.
        relation_id: Wikidata property.
        target_new_id: Wikidata item of the new object.
        target_true_id: Wikidata item of the old object.
    """

    subject: Name
    prompt: Cloze
    target_new: Name
    target_true: Name | None = None
    question: Prompt | None = None
    subject_id: ItemId | None = None
    relation_id: PropertyId | None = None
    target_new_id: ItemId | None = None
    target_true_id: ItemId | None = None

    @field_validator("prompt")
    @classmethod
    def _one_slot(cls, prompt: str) -> str:
        try:
            split_slot(prompt)
        except PromptError as error:
            raise ValueError(str(error)) from error
        return prompt

    @property
    def text(self) -> str:
        """The prompt with the subject in its place."""
        return fill(self.prompt, self.subject)

    @property
    def edit(self) -> Edit:
        """The change as an edit in the file's words."""
        return Edit(
            subject=self.subject,
            relation=self.relation_id,
            target_new=self.target_new,
            target_true=self.target_true,
            prompt=self.prompt,
        )

    @property
    def changes(self) -> bool:
        """Whether the new object differs from the old one; zsRE, KnowEdit and RippleEdits hold a few that do not."""
        return self.target_new != self.target_true


class Probe(Frozen):
    """A prompt and what must be in the answer.

    Attributes:
        prompt: What the model is given.
        answers: Groups of names. A full answer has one name of every group; the first of a group is the main one.
        kind: The file's own name for this sort of probe, where it has several.
    """

    prompt: Cloze
    answers: Answers
    kind: str | None = None

    @property
    def answer(self) -> str:
        """The main name of the first group.

        Raises:
            MalformedRecord: The file gives no answer to this prompt.
        """
        if not self.answers:
            raise MalformedRecord(f"{self.prompt!r} has no answer in its file")
        return self.answers[0][0]


class Portability(Frozen):
    """A question that only a model can answer which carried the change one step further.

    Attributes:
        question: The question, subject written out.
        answer: Its answer after the change.
        aliases: Other names of the answer.
        relation: The further fact it rests on, as the file words it.
    """

    question: Prompt
    answer: Prompt
    aliases: tuple[Prompt, ...] = ()
    relation: str | None = None


class Record(Frozen):
    """One case of a benchmark.

    Attributes:
        case_id: The file's own number for the case; its position in the file where it has none.
        rewrites: The facts to change, in order; none for facts that are only asked for.
    """

    case_id: int | str
    rewrites: tuple[Rewrite, ...] = ()

    @property
    def rewrite(self) -> Rewrite:
        """The first fact to change; the only one in every benchmark but MQuAKE."""
        return self.rewrites[0]
