"""Tools that the readers of all formats share: strict models of a file's layout, and where the subject stands."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from kgedit.evaluate.benchmarks.records import Answers, Drop, MalformedRecord, Portability
from kgedit.lm.tokens import find_subject


class Raw(BaseModel):
    """A record in the layout of its file: types are checked, nothing is converted, keys we do not use are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class RawPortability(Raw):
    """The one-hop question that Yao et al. (2023) added to CounterFact and zsRE."""

    relation: str | None = Field(default=None, alias="Recalled Relation")
    question: str = Field(alias="New Question")
    answer: str = Field(alias="New Answer")
    aliases: list[str] = Field(default=[], alias="New Answer Alias")

    def portability(self) -> Portability:
        """The same as a record holds it."""
        return Portability(
            question=self.question, answer=self.answer, aliases=tuple(self.aliases), relation=self.relation
        )


def slot(prompt: str, subject: str) -> str:
    """The prompt with "{}" in the place of the subject, which must stand in it once as whole words.

    Raises:
        EditError: It does not, or stands there more than once.
        MalformedRecord: The prompt has braces of its own.
    """
    if "{}" in prompt:
        raise MalformedRecord(f'the prompt {prompt!r} holds "{{}}" although it spells out its subject')
    return find_subject(prompt, subject)


def names(given: Sequence[str], part: str, drop: Drop) -> tuple[str, ...]:
    """Names without the blank ones, which would match any text; those are reported."""
    for position, name in enumerate(given):
        if not name.strip():
            drop(f"{part}[{position}]", "the name is blank")
    return tuple(name for name in given if name.strip())


def groups(given: str | Sequence[str] | Sequence[Sequence[str]], part: str, drop: Drop) -> Answers:
    """Answers as groups of names, from any of the three ways in which files write them.

    A text is one group of one name; a list of texts is one group (other names of the same thing); a list of lists
    is a list of groups. Lost names and groups are reported while anything is left; nothing left is for the caller
    to report.
    """
    lists = [
        [item] if isinstance(item, str) else list(item) for item in ([given] if isinstance(given, str) else given)
    ]
    if isinstance(given, str) or all(isinstance(item, str) for item in given):
        lists = [[name for single in lists for name in single]]
    if not any(name.strip() for group in lists for name in group):
        return ()
    kept = []
    for position, group in enumerate(lists):
        if filled := names(group, f"{part}[{position}]", drop):
            kept.append(filled)
        elif not group:
            drop(f"{part}[{position}]", "the answer has no name")
    return tuple(kept)
