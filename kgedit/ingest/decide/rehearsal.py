"""The curriculum of a batch: its changes, those applied before, and known facts, as training material.

For methods that train on a whole batch (`Workbench.curriculum`).
"""

from __future__ import annotations

from collections.abc import Sequence

from kgedit.delta import Delta
from kgedit.ingest.decide.known_facts import FactPool
from kgedit.ingest.decide.probes import NEIGHBOURS
from kgedit.ingest.decide.recall_walk import KnownFact
from kgedit.ingest.decide.resolved_change import ResolvedChange
from kgedit.methods.curriculum import Curriculum, Lesson
from kgedit.methods.finetune_adapter.lessons import wordings_of

_EARLIER_WORDINGS = 3  # of a change applied before


def batch_curriculum(
    items: Sequence[ResolvedChange],
    earlier: Sequence[ResolvedChange],
    facts: Sequence[KnownFact],
    pool: FactPool,
    *,
    begin: Delta | None,
) -> Curriculum:
    """What a batch is trained on.

    Args:
        items: Its changes.
        earlier: Changes applied before.
        facts: Known facts that may be rehearsed.
        pool: Wordings of facts.
        begin: What a first attempt at the same changes made, if there was one.
    """
    # Changes speak of facts that the unedited model had otherwise.
    changed = {item.slot for item in (*items, *earlier)}
    staying = [fact for fact in facts if (fact.subject, fact.relation) not in changed]
    before = [lesson(item, pool, ()) for item in earlier]
    return Curriculum(
        lessons=tuple(lesson(item, pool, staying) for item in items),
        earlier=tuple(Lesson(old.wordings[:_EARLIER_WORDINGS], old.paths) for old in before),
        facts=tuple(pool.questions(fact) for fact in staying),
        begin=begin,
    )


def lesson(item: ResolvedChange, pool: FactPool, facts: Sequence[KnownFact]) -> Lesson:
    """What is learned of one change; the wordings that its check asks are not among them.

    Args:
        item: The change.
        pool: Wordings of facts.
        facts: Known facts that may be rehearsed; none that a guard watches is among them.
    """
    probes, relation = item.probes, item.request.relation
    wordings = tuple(pair for pair in wordings_of(item.request, pool.text) if pair not in probes.wordings)
    # Neighbours: the same relation of other subjects, those with the same old object first.
    near = [fact for fact in facts if fact.relation == relation and fact.subject != item.edit.subject]
    near.sort(key=lambda fact: fact.object != item.edit.target_true)
    return Lesson(wordings, probes.paths, (*probes.subject, *map(pool.question, near[:NEIGHBOURS])))
