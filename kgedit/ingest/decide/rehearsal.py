"""The curriculum of a batch: its changes, those applied before, and known facts, as training material.

For methods that train on a whole batch (`Workbench.curriculum`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from kgedit.delta import Delta
from kgedit.ingest.decide.known_facts import FactPool
from kgedit.ingest.decide.probes import NEIGHBOURS
from kgedit.ingest.decide.recall_walk import KnownFact
from kgedit.ingest.decide.resolved_change import ResolvedChange
from kgedit.methods.curriculum import Curriculum, Lesson, Question
from kgedit.methods.finetune_adapter.lessons import wordings_of
from kgedit.methods.invented import invented_texts
from kgedit.methods.inverse import inverse_edits
from kgedit.text.template import fill

_EARLIER_WORDINGS = 3  # of a change applied before


def batch_curriculum(
    items: Sequence[ResolvedChange],
    earlier: Sequence[ResolvedChange],
    facts: Sequence[KnownFact],
    pool: FactPool,
    *,
    begin: Delta | None,
    follows: Mapping[int, tuple[Question, ...]] = MappingProxyType({}),
) -> Curriculum:
    """What a batch is trained on.

    Args:
        items: Its changes.
        earlier: Changes applied before.
        facts: Known facts that may be rehearsed.
        pool: Wordings of facts.
        begin: What a first attempt at the same changes made, if there was one.
        follows: What follows from each change by its number, where that is known of all of them together.
    """
    # Changes speak of facts that the unedited model had otherwise, also from the objects' side.
    every = (*items, *earlier)
    changed = {item.slot for item in every}
    inverses = {every[one.edit].entry.id: one for one in inverse_edits([(i.request, None) for i in every], pool.text)}
    for item in every:
        if item.entry.id in inverses and (inverse := inverses[item.entry.id].request.relation):
            changed |= {(end, inverse) for end in (item.edit.target_new, item.edit.target_true) if end}
    # What follows by the rules of the graph, where no change says it itself and no other implies something else.
    objects: dict[tuple[str, str], set[str]] = {}
    for one in (one for item in every for one in item.implied if one.slot not in changed):
        objects.setdefault(one.slot, set()).add(one.fact.object)
    implied = {slot for slot, found in objects.items() if len(found) == 1}
    changed |= set(objects)
    staying = [fact for fact in facts if (fact.subject, fact.relation) not in changed]

    def whole(item: ResolvedChange, near: Sequence[KnownFact]) -> Lesson:
        """Its lesson with what the objects' side is asked."""
        back = inverses[item.entry.id].asked if item.entry.id in inverses else ()
        taught = lesson(item, pool, near, follows.get(item.entry.id))
        by_rules = [
            (fill(wording, one.subject_label), one.object_label)
            for one in item.implied
            if one.slot in implied
            for wording in pool.text.edit_wordings((one.fact.relation,))
        ]
        return replace(taught, paths=(*taught.paths, *by_rules), inverse=back)

    def in_short(item: ResolvedChange) -> Lesson:
        """The lesson of a change applied before: in fewer wordings, and without what stays around it."""
        old = whole(item, ())
        return replace(old, wordings=old.wordings[:_EARLIER_WORDINGS], around=())

    return Curriculum(
        lessons=tuple(whole(item, staying) for item in items),
        earlier=tuple(map(in_short, earlier)),
        facts=tuple(pool.questions(fact) for fact in staying),
        begin=begin,
    )


def lesson(
    item: ResolvedChange, pool: FactPool, facts: Sequence[KnownFact], follows: tuple[Question, ...] | None = None
) -> Lesson:
    """What is learned of one change; the wordings that its check asks are not among them.

    Args:
        item: The change.
        pool: Wordings of facts.
        facts: Known facts that may be rehearsed; none that a guard watches is among them.
        follows: What follows from it; by default the paths that its check asks.
    """
    probes, relation = item.probes, item.request.relation
    wordings = tuple(pair for pair in wordings_of(item.request, pool.text) if pair not in probes.wordings)
    # Neighbours: the same relation of other subjects, those with the same old object first.
    near = [fact for fact in facts if fact.relation == relation and fact.subject != item.edit.subject]
    near.sort(key=lambda fact: fact.object != item.edit.target_true)
    paths = probes.paths if follows is None else follows
    others = [(prompt, names[0]) for prompt, names in probes.subject]
    return Lesson(
        wordings,
        paths,
        around=(*others, *map(pool.question, near[:NEIGHBOURS])),
        invented=invented_texts(item.request, [(fact.subject_label, fact.object_label) for fact in near], pool.text),
    )
