"""What a part of a file says: facts as numbers, names, what no store holds, and what cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple, Protocol

from kg_cache.settings import SUBSTITUTES

Fact = tuple[int, int, int]
"""Numbers of an item, a property and an item."""


class Named(NamedTuple):
    """Names of one item or property, as one line, statement or record gives them.

    Attributes:
        id: The item or property.
        label: Its label, if one is given.
        aliases: Its other names.
        language: Of the label, where it is only a substitute for one in the language that was asked for.
    """

    id: str
    label: str | None
    aliases: tuple[str, ...] = ()
    language: str = ""


class Unreadable(NamedTuple):
    """A line, statement or record that cannot be read."""

    line: int
    why: str


class Place(NamedTuple):
    """Where reading goes on: behind so many bytes of the unpacked file (statements of Turtle), at this line."""

    offset: int = 0
    line: int = 1


class Block(NamedTuple):
    """A part of a file.

    Attributes:
        facts: Direct claims between items.
        names: Labels and aliases in the language that was asked for, or in one that serves in its place.
        others: Number of well-formed statements that say nothing a store holds.
        unreadable: What cannot be read.
        end: Where the part behind it begins.
    """

    facts: list[Fact]
    names: list[Named]
    others: int
    unreadable: list[Unreadable]
    end: Place


@dataclass(frozen=True)
class Wanted:
    """What is to be read of a file.

    Attributes:
        language: Of names.
        facts: Whether facts are wanted; else they are passed over and do not count.
        names: Whether names are wanted; likewise.
    """

    language: str
    facts: bool = True
    names: bool = True

    def takes(self, tag: str) -> bool:
        """Whether a label with this tag of a language serves; one in another language than asked for only at need."""
        return tag == self.language.lower() or tag in SUBSTITUTES

    def labelled(self, id: str, label: str, tag: str) -> Named:
        """The label of an item in a language that serves."""
        return Named(id, label, language="" if tag == self.language.lower() else tag)


class Reader(Protocol):
    """Reads a file of one form."""

    def __call__(self, file: BinaryIO, wanted: Wanted, start: Place) -> Iterator[Block]:
        """The parts of an open, unpacked file from a place on."""
        ...
