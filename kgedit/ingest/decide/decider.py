"""What becomes of each change of a batch: written on trial, checked, tried once more, halved, accepted or refused.

Everything here happens in memory, and the weights are at the end as they were: what is decided depends on the
unedited model, the changes in force and the batch alone, so a run that was killed decides the same once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch

from kg_cache.errors import KnowledgeGraphError
from kgedit.delta import LowRankDelta
from kgedit.edit import Edit
from kgedit.editor import Editor
from kgedit.errors import EditError
from kgedit.ingest.decide.guard import Guard, Mode
from kgedit.ingest.decide.known_facts import FactPool
from kgedit.ingest.decide.probes import fact_probes, make_probes, measure, rounded
from kgedit.ingest.decide.resolved_change import Accepted, Decision, Refusal, ResolvedChange
from kgedit.ingest.decide.writer import Writer
from kgedit.ingest.store.entry import Entry
from kgedit.ingest.store.in_force import WeightsInForce
from kgedit.lm.tokens import encode_target
from kgedit.progress import Progress

Measured = tuple[ResolvedChange, LowRankDelta, dict[str, float], list[str]]


class Decider:
    """Decides batches for one model, method and set of guards."""

    def __init__(
        self,
        editor: Editor,
        weights: WeightsInForce,
        pool: FactPool,
        guard: Guard,
        writer: Writer,
        *,
        mode: Mode = "refuse",
        progress: Progress | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            editor: Model, tokenizer, graph and method.
            weights: The model's weights in force.
            pool: Known facts.
            guard: The guards.
            writer: What computes deltas.
            mode: "warn" lets through what the guards would refuse, except what is not finite.
            progress: Called with (what, done, total).
        """
        self.editor, self.weights, self.pool, self.guard, self.writer = editor, weights, pool, guard, writer
        self.mode, self.progress = mode, progress
        self._known: dict[int, ResolvedChange] = {}

    def item(self, entry: Entry, replaces: Entry | None = None) -> ResolvedChange:
        """Resolve an entry's names and collect its questions; the model is asked as it is.

        Raises:
            EditError: It cannot be carried out.
            KnowledgeGraphError: A name means nothing, or several things.
        """
        edit = Edit.model_validate(entry.change["edit"])
        editor = self.editor
        request, subgraph = editor.prepare(edit)
        encode_target(editor.tokenizer, request.target)
        probes = make_probes(editor.model, editor.tokenizer, request, subgraph, edit, self.pool, editor.text)
        return ResolvedChange(entry, edit, request, subgraph, probes, replaces)

    def known(self, entry: Entry) -> ResolvedChange:
        """The item of a change in force, with questions about the new fact only; made once.

        No model is asked: what it recalls by now would tell a run that went on after a crash from one that did not.
        """
        if entry.id not in self._known:
            edit = Edit.model_validate(entry.change["edit"])
            request, subgraph = self.editor.prepare(edit)
            probes = fact_probes(request, self.editor.text)
            self._known[entry.id] = ResolvedChange(entry, edit, request, subgraph, probes)
        return self._known[entry.id]

    @torch.inference_mode(False)
    def decide(
        self,
        entries: Sequence[Entry],
        live: Sequence[tuple[LowRankDelta, Sequence[Entry]]],
        of_slot: Callable[[str], Entry | None],
    ) -> Decision:
        """Decide a batch.

        Args:
            entries: Its changes.
            live: The deltas in force, each with its changes.
            of_slot: The change in force of a slot.
        """
        decision = Decision()
        items = self._ready(entries, of_slot, decision)
        gone = {item.replaces.id for item in items if item.replaces}
        earlier = [self.known(entry) for _, mine in live for entry in mine if entry.id not in gone]
        below = remaining(live, gone)
        try:
            with self.weights.trial(below):
                proposed = self._proposed(items, earlier, below, decision)
            self._admit(proposed, live, decision)
        except EditError as error:
            decision.refused += [
                Refusal(item.entry, str(error)) for item in items if item.entry.id not in _decided(decision)
            ]
        return decision

    def _ready(
        self, entries: Sequence[Entry], of_slot: Callable[[str], Entry | None], decision: Decision
    ) -> list[ResolvedChange]:
        items = []
        for entry in entries:
            try:
                items.append(self.item(entry, of_slot(entry.slot)))
            except (EditError, KnowledgeGraphError) as error:
                decision.refused.append(Refusal(entry, str(error)))
        return items

    def _proposed(
        self,
        items: list[ResolvedChange],
        earlier: list[ResolvedChange],
        below: Sequence[LowRankDelta],
        decision: Decision,
    ) -> list[Measured]:
        """Deltas of the changes that do what they should; those that do not get a second attempt."""
        if not items:
            return []
        self._tell("writing", 0, len(items))
        first = self._measured(items, self.writer.propose(items, earlier, more=False), below)
        good = [one for one in first if not one[3]]
        bad = [one for one in first if one[3]]
        if not bad:
            return good
        self._tell("writing once more", 0, len(bad))
        if self.writer.shared:
            again = [item for item, *_ in first]
            second = self._measured(again, self.writer.propose(again, earlier, more=True), below)
            if any(one[3] for one in second) and self.mode == "refuse":
                self._refuse(second, decision)
                # What is refused must not stay in a delta that others share.
                again = [item for item, _, _, reasons in second if not reasons]
                second = self._measured(again, self.writer.propose(again, earlier, more=True), below) if again else []
        else:
            again = [item for item, *_ in bad]
            beside = [*below, *(delta for _, delta, _, _ in good)]
            with self.weights.trial(beside):
                deltas = self.writer.propose(again, [*earlier, *(item for item, *_ in good)], more=True)
            second = good + self._measured(again, deltas, beside)
        let_through = [one for one in second if not one[3] or (self.mode == "warn" and _finite(one[2]))]
        self._refuse([one for one in second if one not in let_through], decision)
        return let_through

    def _refuse(self, measured: Sequence[Measured], decision: Decision) -> None:
        for item, _, numbers, reasons in measured:
            if reasons:
                decision.refused.append(Refusal(item.entry, "; ".join(reasons), rounded(numbers)))

    def _measured(
        self, items: Sequence[ResolvedChange], deltas: Sequence[LowRankDelta], below: Sequence[LowRankDelta]
    ) -> list[Measured]:
        """What each change does in the company of its batch, and which of its own guards it fails."""
        model, tokenizer = self.editor.model, self.editor.tokenizer
        deltas = [self.weights.on_base(delta) for delta in deltas]
        with self.weights.trial(()):  # against the unedited weights: those in force grow with every change
            norms = [max(delta.norms(model).values()) for delta in deltas]
        with self.weights.trial([*below, *unique(deltas)]):
            found = measure(model, tokenizer, [item.probes for item in items])
        measured = []
        for item, delta, numbers, norm in zip(items, deltas, found, norms, strict=True):
            if not self.writer.shared:  # a shared delta's norm is no one change's
                numbers["norm"] = norm
            measured.append((item, delta, numbers, self.guard.failures(numbers)))
        return measured

    def _admit(
        self, proposed: Sequence[Measured], live: Sequence[tuple[LowRankDelta, Sequence[Entry]]], decision: Decision
    ) -> None:
        """Accept the changes if the guards allow them together with all accepted so far; else each half by itself."""
        if not proposed:
            return
        self._tell("checking", len(decision.accepted), len(decision.accepted) + len(proposed))
        accepted = decision.accepted
        gone = {
            item.replaces.id
            for item in (*(a.item for a in accepted), *(item for item, *_ in proposed))
            if item.replaces
        }
        earlier = [self.known(entry) for _, mine in live for entry in mine if entry.id not in gone]
        earlier += [one.item for one in accepted]
        now = [
            *remaining(live, gone),
            *unique([*(a.delta for a in accepted), *(delta for _, delta, _, _ in proposed)]),
        ]
        changed = {item.slot for item in (*earlier, *(item for item, *_ in proposed))}
        with self.weights.trial(now):
            numbers = self.guard.batch(self.editor.model, [item.question for item in earlier], changed)
            norms = self.weights.norms()
            numbers["norm_cumulative"] = max(norms.values(), default=0.0)
            own = measure(self.editor.model, self.editor.tokenizer, [item.probes for item, *_ in proposed])
        reasons = self.guard.failures(numbers)
        # Beside others a change may do less than it did beside its own batch.
        still = [self.guard.failures(mine) for mine in own]
        warned = self.mode == "warn" and _finite(numbers)
        if warned or (not reasons and not any(still)):
            for (item, delta, first, notes), mine, more in zip(proposed, own, still, strict=True):
                warnings = (*notes, *more, *reasons) if warned else ()
                accepted.append(Accepted(item, delta, rounded({**first, **mine, **numbers}), warnings))
        elif len(proposed) == 1 or self.writer.shared:
            for (item, _, first, _), mine, more in zip(proposed, own, still, strict=True):
                why = "; ".join([*more, *reasons]) or "another change of its batch failed"
                decision.refused.append(Refusal(item.entry, why, rounded({**first, **mine, **numbers})))
        else:
            middle = len(proposed) // 2
            self._admit(proposed[:middle], live, decision)
            self._admit(proposed[middle:], live, decision)

    def _tell(self, what: str, done: int, total: int) -> None:
        if self.progress:
            self.progress(what, done, total)


def question_of(editor: Editor, entry: Entry) -> tuple[str, str]:
    """The edit prompt of a change and its new object, without any model."""
    request = editor.resolver.resolve(Edit.model_validate(entry.change["edit"])).request
    return request.prompt.replace("{}", request.subject), request.target


def remaining(live: Sequence[tuple[LowRankDelta, Sequence[Entry]]], gone: set[int]) -> list[LowRankDelta]:
    """The deltas that still make a change when some are gone."""
    return [delta for delta, entries in live if any(entry.id not in gone for entry in entries)]


def unique(deltas: Iterable[LowRankDelta]) -> list[LowRankDelta]:
    """Each delta once, in order."""
    return list({delta.id: delta for delta in deltas}.values())


def _decided(decision: Decision) -> set[int]:
    return {one.item.entry.id for one in decision.accepted} | {one.entry.id for one in decision.refused}


def _finite(numbers: dict[str, float]) -> bool:
    return all(abs(value) < float("inf") for value in numbers.values())
