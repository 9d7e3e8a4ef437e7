"""Which facts and names of a file are kept, by property and class, in constant memory.

What an item is may stand behind its facts, and its name before the facts that mention it. So the store is the memory:
the file is read once for what the items of the classes are, once for facts, and once for names.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from kg_cache.dump.block import Block, Fact, Wanted
from kg_cache.ids import as_id, check_entity_id, check_relation_id
from kg_cache.store import Store

_INSTANCE_OF, _SUBCLASS_OF = 31, "P279"
_MOST = 10_000_000  # subclasses of one class; Wikidata has about five million in all


class Run(NamedTuple):
    """One reading of a file.

    Attributes:
        wanted: What is read.
        first: Whether it is the one that counts what is of no use and what cannot be read.
        classes: Whether it is for what items are instances of.
    """

    wanted: Wanted
    first: bool = True
    classes: bool = False


class Selection:
    """What is to be kept of a file.

    Args:
        store: Where it goes, and what tells of what is stored already.
        language: Of names.
        properties: Ids of the properties whose facts are wanted; all if none are given.
        classes: Ids of the items whose instances' facts are wanted; all items' if none are given.

    Raises:
        InvalidId: A property or class is none.
    """

    def __init__(self, store: Store, language: str, properties: Collection[str], classes: Collection[str]) -> None:
        self._store, self._language = store, language
        self._properties = frozenset(int(check_relation_id(as_id(text))[1:]) for text in properties)
        self._asked = frozenset(check_entity_id(as_id(text)) for text in classes)
        self._classes = frozenset(int(id[1:]) for id in self._with_subclasses())
        self._known: tuple[int | str, bool] = (0, False)  # what was asked last, since a dump goes item by item

    def told(self) -> list[object]:
        """The selection, to tell one import from another."""
        return [self._language, sorted(self._properties), sorted(self._asked)]

    def runs(self) -> list[Run]:
        """The readings of the file, in order."""
        if not (self._properties or self._classes):
            return [Run(Wanted(self._language))]
        facts, names = Wanted(self._language, names=False), Wanted(self._language, facts=False)
        instances = [Run(facts, first=False, classes=True)] if self._classes else []
        return [*instances, Run(facts), Run(names, first=False)]

    def keep(self, run: Run, block: Block) -> Block:
        """What is kept of a block, in one of the runs; what is not counts with what no store holds."""
        if not (self._properties or self._classes):
            return block
        instances, others = self._instances(block.facts)
        if run.classes:
            return block._replace(facts=instances, others=0, unreadable=[])
        facts = [fact for fact in others if self._is_wanted(fact)]
        names = [names for names in block.names if self._is_mentioned(names.id)]
        useless = len(others) - len(facts) + len(block.names) - len(names) + (block.others if run.first else 0)
        unreadable = block.unreadable if run.first else []
        return block._replace(facts=facts, names=names, others=useless, unreadable=unreadable)

    def _instances(self, facts: Sequence[Fact]) -> tuple[list[Fact], list[Fact]]:
        """The facts that make items instances of the classes, and the others."""
        parts: tuple[list[Fact], list[Fact]] = ([], [])
        for fact in facts:
            parts[fact[1] != _INSTANCE_OF or fact[2] not in self._classes].append(fact)
        return parts

    def _with_subclasses(self) -> set[str]:
        found, ahead = set(self._asked), list(self._asked)
        while ahead:
            below = self._store.subjects(_SUBCLASS_OF, ahead.pop(), limit=_MOST)
            ahead += [id for id in below if id not in found]
            found.update(below)
        return found

    def _is_wanted(self, fact: Fact) -> bool:
        if self._properties and fact[1] not in self._properties:
            return False
        return not self._classes or self._is_instance(fact[0])

    def _is_instance(self, item: int) -> bool:
        if self._known[0] != item:
            rows = self._store.database.rows(
                "SELECT object FROM triple WHERE subject = ? AND relation = ?", (item, _INSTANCE_OF)
            )
            self._known = item, any(of in self._classes for (of,) in rows)
        return self._known[1]

    def _is_mentioned(self, id: str) -> bool:
        """Whether a fact mentions an item; a property, whether its facts are wanted."""
        if id.startswith("P"):
            also = self._classes and id == f"P{_INSTANCE_OF}"
            return not self._properties or int(id[1:]) in self._properties or bool(also)
        if self._known[0] != id:
            self._known = id, self._store.knows(id)
        return self._known[1]
