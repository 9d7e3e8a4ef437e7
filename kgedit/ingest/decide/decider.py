"""Decides batches: resolves their changes, computes deltas, checks them under guards, accepts or refuses each.

Everything here happens in memory, and the weights are at the end as they were: a decision depends on the unedited
model, the applied changes and the batch alone, so that a run which was killed decides the same again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from kg_cache.errors import KnowledgeGraphError
from kgedit.delta import Delta, DeltaStack
from kgedit.editor import Editor
from kgedit.errors import EditError
from kgedit.graph.rules import Rule
from kgedit.ingest.decide.guard import Guard, Mode
from kgedit.ingest.decide.independent import decide_independent
from kgedit.ingest.decide.known_facts import FactPool
from kgedit.ingest.decide.resolved_change import ChangeResolver, ResolvedChange
from kgedit.ingest.decide.shared import decide_shared
from kgedit.ingest.decide.trial import Batch, TrialRunner, remaining
from kgedit.ingest.decide.writer import Writer
from kgedit.ingest.store.decision import Decision, Refusal
from kgedit.ingest.store.entry import Entry
from kgedit.progress import Progress
from kgedit.resolve import Resolver

_NOTED_FACTS = 60  # of the fixed ones, that are asked about a patch which the guards cannot refuse


class Decider:
    """Decides batches for one model, method and set of guards.

    Attributes:
        editor: Model, tokenizer, graph and method.
        writer: Computes the deltas.
        guard: The guards.
        changes: Resolves entries of the journal.
        progress: Called with (what, done, total).
    """

    def __init__(
        self,
        editor: Editor,
        weights: DeltaStack,
        names: Resolver,
        pool: FactPool,
        guard: Guard,
        writer: Writer,
        *,
        rules: Sequence[Rule] = (),
        mode: Mode = "refuse",
        progress: Progress | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            editor: Model, tokenizer, graph and method.
            weights: The model's weights with the live deltas applied.
            names: Resolves the names of changes.
            pool: Known facts.
            guard: The guards.
            writer: Computes the deltas.
            rules: Of the graph; what follows from a change by them is made with it, and is not to stay as it was.
            mode: "warn" lets through what the guards would refuse, except what is not finite.
            progress: Called with (what, done, total).
        """
        self.editor, self.guard, self.writer, self.progress = editor, guard, writer, progress
        self.changes = ChangeResolver(editor, names, pool, rules)
        self._weights = weights
        self._runner = self._trials(mode)

    @torch.inference_mode(False)
    def decide(
        self,
        entries: Sequence[Entry],
        live: Sequence[tuple[Delta, Sequence[Entry]]],
        of_slot: Callable[[str], Entry | None] = lambda slot: None,
        *,
        begin: Delta | None = None,
    ) -> Decision:
        """Decide a batch.

        Args:
            entries: Its changes, of different facts.
            live: The live deltas, each with its changes.
            of_slot: The applied change of a slot, which a change of the batch is to supersede.
            begin: A shared delta to go on from, which makes some of the changes already.
        """
        resolved: list[ResolvedChange] = []
        refused: list[Refusal] = []
        ask, together = self.changes.asked_once(), self.changes.made(entries)
        for number, entry in enumerate(entries):
            if self.progress:
                self.progress("asking what is known around the changes", number, len(entries))
            try:
                resolved.append(self.changes.waiting(entry, ask, together, of_slot(entry.slot)))
            except (EditError, KnowledgeGraphError) as error:
                refused.append(Refusal(entry, str(error)))
        if begin is not None:
            self._runner.go_on_from(begin, resolved)
        decide = decide_shared if self.writer.shared else decide_independent
        decision = decide(Batch(resolved, live), self._runner)
        return Decision(decision.accepted, (*refused, *decision.refused))

    @torch.inference_mode(False)
    def patch(self, change: ResolvedChange, live: Sequence[tuple[Delta, Sequence[Entry]]]) -> Decision:
        """A patch of one change whose questions are known; what the guards have against it is only noted.

        So a few of the fixed facts are enough: of a language model, asking all takes most of the time.

        Args:
            change: The change.
            live: The live deltas, each with its changes.
        """
        return decide_independent(Batch([change], live), self._trials("warn", self.guard.of_fewer(_NOTED_FACTS)))

    @torch.inference_mode(False)
    def retrain(self, entries: Sequence[Entry], below: Sequence[tuple[Delta, Sequence[Entry]]], like: Delta) -> Delta:
        """Train the shared delta of some changes again; unlike in `decide`, no guard is asked.

        Args:
            entries: The changes.
            below: The live deltas that are applied before it, each with its changes.
            like: The delta whose place it takes; what stays weighs as much as it did there.
        """
        self.writer.train_like(like)
        earlier = [self.changes.applied(entry) for _, applied in below for entry in applied]
        with self._weights.trial(remaining(below, set())):
            ask, together = self.changes.asked_once(), self.changes.made(entries)
            changes = [self.changes.waiting(entry, ask, together) for entry in entries]
            return self.writer.propose(changes, earlier, more=False)[0]

    def _trials(self, mode: Mode, guard: Guard | None = None) -> TrialRunner:
        parts = self.editor, self._weights, self.changes, guard or self.guard, self.writer
        return TrialRunner(*parts, mode=mode, progress=self.progress)
