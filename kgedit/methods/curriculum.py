"""Training material for methods that train on whole batches: the edits in several wordings, and what must stay."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from kgedit.delta import Delta
from kgedit.lm.chat import ChatForm

Question = tuple[str, str]  # prompt, answer


@dataclass(frozen=True)
class Lesson:
    """One edit as training sees it.

    Attributes:
        wordings: The new fact; the first one is the edit prompt.
        paths: What follows from it.
        around: Facts of its subject and of the same relation that stay.
        inverse: The new fact asked from its object's side.
        invented: Texts with invented attributes in which the new fact has to be used.
    """

    wordings: tuple[Question, ...]
    paths: tuple[Question, ...] = ()
    around: tuple[Question, ...] = ()
    inverse: tuple[Question, ...] = ()
    invented: tuple[Question, ...] = ()


@dataclass(frozen=True)
class Curriculum:
    """What the edits of one case are trained on.

    Attributes:
        lessons: One per edit.
        earlier: Edits made before, which must stay.
        facts: Known facts that must stay, each in all its wordings.
        texts: Texts of nothing in particular, each cut behind its first words, that must stay as well.
        begin: What a first attempt at the same edits made, to train further; None for a first attempt.
    """

    lessons: tuple[Lesson, ...]
    earlier: tuple[Lesson, ...] = ()
    facts: tuple[tuple[Question, ...], ...] = ()
    texts: tuple[Question, ...] = ()
    begin: Delta | None = None


def in_both_forms(curriculum: Curriculum, chat: ChatForm | None) -> Curriculum:
    """The curriculum with each question also as a user's turn, right behind itself, where edits are to hold in a chat.

    Raises:
        ChatTemplateError: See `ChatForm.turn`.
    """
    if chat is None:
        return curriculum

    def both(questions: Iterable[Question]) -> tuple[Question, ...]:
        return tuple(form for prompt, answer in questions for form in ((prompt, answer), (chat.turn(prompt), answer)))

    def taught(lesson: Lesson) -> Lesson:
        return Lesson(*(both(getattr(lesson, each.name)) for each in fields(Lesson)))

    return replace(
        curriculum,
        lessons=tuple(map(taught, curriculum.lessons)),
        earlier=tuple(map(taught, curriculum.earlier)),
        facts=tuple(map(both, curriculum.facts)),
    )
