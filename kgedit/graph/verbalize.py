"""A relation, or a path of relations, as text with one "{}" slot for the subject (data in relations.toml)."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources

from pydantic import BaseModel, ConfigDict, Field, field_validator

from kg_cache.errors import AmbiguousLabel
from kg_cache.text import fold, show
from kgedit.errors import UnknownRelationText


class ReverseText(BaseModel):
    """Wordings of a fact from its object's side, with one "{}" slot for the object; the subject follows.

    Attributes:
        cloze: Statements ending right before the subject.
        question: Questions whose answer is the subject.
        single: Whether an object normally has one such subject only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cloze: tuple[str, ...] = Field(min_length=2)
    question: tuple[str, ...] = Field(min_length=2)
    single: bool

    @field_validator("cloze", "question", "phrase", check_fields=False)
    @classmethod
    def _one_slot(cls, wordings: tuple[str, ...]) -> tuple[str, ...]:
        for wording in wordings:
            if wording.count("{}") != 1:
                raise ValueError(f"the wording {wording!r} needs exactly one {{}} slot")
        return wordings


class RelationText(ReverseText):
    """The wordings of one relation.

    Attributes:
        label: The property's English label.
        aliases: Its other names.
        cloze: Statements ending right before the object; the first is the editing prompt.
        question: Questions whose answer is the object.
        phrase: Noun phrases that denote the object, for composition; the first is the plain one.
        single: Whether a subject normally has one object only.
        inverse: The property that states the same fact from the object's side, if there is one.
        reverse: Wordings of the fact from the object's side, where there is no such property.
    """

    label: str
    aliases: tuple[str, ...] = ()
    cloze: tuple[str, ...] = Field(min_length=4)
    phrase: tuple[str, ...] = Field(min_length=1)
    inverse: str | None = None
    reverse: ReverseText | None = None


class Verbalizer:
    """Turns relations and paths of relations into prompt templates.

    A path is read from the subject outwards: `("P27", "P36")` is the capital of the country of citizenship.
    """

    def __init__(self, texts: Mapping[str, RelationText], named: Mapping[str, Sequence[str]] | None = None) -> None:
        """Take the wordings as they are; `Verbalizer.bundled()` reads those of the package.

        Args:
            texts: Property id -> its wordings.
            named: Label and aliases of properties that have no wordings.
        """
        self.texts = dict(texts)
        self.named = {relation: (names[0], tuple(names[1:])) for relation, names in (named or {}).items()}

    @classmethod
    def bundled(cls) -> Verbalizer:
        """Read the package's relations.toml and property_names.toml."""
        folder = resources.files("kgedit.graph")
        raw, named = (
            tomllib.loads(folder.joinpath(f"{name}.toml").read_text(encoding="utf-8"))
            for name in ("relations", "property_names")
        )
        return cls({identifier: RelationText.model_validate(fields) for identifier, fields in raw.items()}, named)

    @property
    def labels(self) -> dict[str, str]:
        """Property id -> its English label, with wordings or without."""
        return {relation: label for relation, (label, _) in self.called.items()}

    @property
    def first_questions(self) -> dict[str, str]:
        """Property id -> its first question."""
        return {relation: text.question[0] for relation, text in self.texts.items()}

    @property
    def called(self) -> dict[str, tuple[str, tuple[str, ...]]]:
        """Property id -> label and aliases, with wordings or without."""
        return {relation: (text.label, text.aliases) for relation, text in self.texts.items()} | self.named

    def find(self, name: str) -> str | None:
        """The property that has this id, label or alias, whatever the case of its letters; None if none.

        Raises:
            AmbiguousLabel: It is an alias of several.
        """
        name = fold(name.strip())
        called = self.called
        for relation, (label, _) in called.items():
            if name in (fold(relation), fold(label)):
                return relation
        found = [relation for relation, (_, aliases) in called.items() if name in map(fold, aliases)]
        if len(found) > 1:
            listed = ", ".join(f"{relation} ({called[relation][0]})" for relation in found)
            raise AmbiguousLabel(f"{show(name)} means several properties: {listed}; pass the id of one", found)
        return found[0] if found else None

    def names(self) -> tuple[str, ...]:
        """All labels, then all aliases."""
        labels = (label for label, _ in self.called.values())
        return (*labels, *(alias for _, aliases in self.called.values() for alias in aliases))

    def __contains__(self, relation: object) -> bool:
        """Whether there are wordings for this property id."""
        return relation in self.texts

    def __getitem__(self, relation: str) -> RelationText:
        """The wordings of a property.

        Raises:
            UnknownRelationText: There are none.
        """
        try:
            return self.texts[relation]
        except KeyError:
            raise UnknownRelationText(
                f"there are no wordings for relation {relation}; pass a prompt with one {{}} for the subject, "
                f"or add [{relation}] to relations.toml (known: {', '.join(sorted(self.texts, key=_number))})"
            ) from None

    def prompts(self, path: Sequence[str], *, phrase: int = 0) -> tuple[str, ...]:
        """All cloze templates of a path.

        Args:
            path: Property ids from the subject outwards, one or more.
            phrase: Which noun phrase to nest (taken modulo the number that a relation has).
        """
        inner = self._nested(path[:-1], phrase)
        return tuple(_capital(_fill(cloze, inner)) for cloze in self[path[-1]].cloze)

    def questions(self, path: Sequence[str], *, phrase: int = 0) -> tuple[str, ...]:
        """All question templates of a path, in the form "Q: ... A:"."""
        inner = self._nested(path[:-1], phrase)
        return tuple(f"Q: {_fill(question, inner)} A:" for question in self[path[-1]].question)

    def edit_wordings(self, path: Sequence[str]) -> tuple[str, ...]:
        """The wordings of a path that an editing method may optimise: its first statement and its first question."""
        return self.prompts(path)[0], self.questions(path)[0]

    def held_out(self, path: Sequence[str], *, phrase: int = 0) -> tuple[str, ...]:
        """The wordings that only scoring uses: all statements and questions but the first of each."""
        return (*self.prompts(path, phrase=phrase)[1:], *self.questions(path, phrase=phrase)[1:])

    def composable(self, path: Iterable[str]) -> bool:
        """Whether every relation of the path has wordings and no step undoes the one before it."""
        steps = list(path)
        if any(step not in self.texts for step in steps):
            return False
        return not any(self.are_inverse(first, then) for first, then in zip(steps, steps[1:], strict=False))

    def are_inverse(self, first: str, then: str) -> bool:
        """Whether `then` leads back along `first`."""
        return self[first].inverse == then or self[then].inverse == first

    def reverse(self, relation: str | None) -> ReverseText | None:
        """How a fact of the relation is told from its object's side; None where nothing is known of that."""
        if relation is None or relation not in self.texts:
            return None
        text = self.texts[relation]
        return text.reverse if text.inverse is None else self.texts.get(text.inverse)

    def _nested(self, path: Sequence[str], phrase: int) -> str:
        text = "{}"
        for relation in path:
            phrases = self[relation].phrase
            text = _fill(phrases[phrase % len(phrases)], text)
        return text


def _fill(template: str, text: str) -> str:
    return template.replace("{}", text, 1)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _number(identifier: str) -> int:
    return int(identifier[1:])
