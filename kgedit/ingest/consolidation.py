"""Consolidation: trains all changes in force into one delta from the unedited model, and drops their patches.

As a database merges what it has written ahead into one file. A patch serves at once and can be taken out exactly, but
closed forms hold few changes beside each other; one trained delta holds many. What it does not hold stays a patch on
top. Until the switch, one transaction of the journal, the store is as it was: a killed consolidation is begun again.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from pathlib import Path
from typing import Any, Unpack

from pydantic import BaseModel, ConfigDict

from kgedit.delta import Delta
from kgedit.errors import JournalError, SettingError
from kgedit.ingest.chosen_method import BATCH, patching_method
from kgedit.ingest.decide.decider import Decider
from kgedit.ingest.decide.guard import Mode
from kgedit.ingest.decide.writer import trained_by
from kgedit.ingest.final_measure import final_measure
from kgedit.ingest.session import Session, open_session
from kgedit.ingest.store.consolidate import CONSOLIDATED, switch_to
from kgedit.ingest.store.decision import Accepted, Decision, Refusal
from kgedit.ingest.store.entry import Entry, State
from kgedit.ingest.store.journal import Journal
from kgedit.ingest.store.run_record import RefusedChange
from kgedit.ingest.store.store import open_store
from kgedit.ingest.store.undo import undoable
from kgedit.lm.loading import Loading
from kgedit.lm.second_moment.find import MomentSource
from kgedit.methods.base import Method
from kgedit.methods.registry import load_method, parse_variant
from kgedit.progress import Progress

METHOD = "finetune-adapter"
_IN_VAIN = "consolidated_in_vain"  # the last batch of a consolidation that was not accepted


class Consolidated(BaseModel):
    """The result of a consolidation; `kgedit ingest consolidate` prints it.

    Attributes:
        method: Name of the method that trained the delta.
        asked: Number of changes that were to be consolidated.
        switched: Whether the store was switched; else it is as it was.
        delta: Id of the trained delta.
        trained: Number of changes that it makes.
        patches: Number of changes that stay patches on top of it.
        tried_again: How many of these had been refused as patches before.
        refused: Changes that were in force and are refused now, with their numbers.
        failed: Why the trained delta as a whole, or each change, was not accepted, where nothing was switched.
        accepted_right: Share of the applied changes whose edit prompt is answered right.
        unrelated_recalled: Share of unrelated facts, recalled by the unedited model, that are still recalled.
        unrelated_asked: Number of these facts.
        weights_hash: Hash of the edited weights.
        seconds: Wall-clock time.
    """

    model_config = ConfigDict(frozen=True)

    method: str
    asked: int
    switched: bool
    delta: str = ""
    trained: int = 0
    patches: int = 0
    tried_again: int = 0
    refused: tuple[RefusedChange, ...] = ()
    failed: tuple[RefusedChange, ...] = ()
    accepted_right: float = 1.0
    unrelated_recalled: float = 1.0
    unrelated_asked: int = 0
    weights_hash: str = ""
    seconds: float = 0.0


def consolidate(
    directory: str | Path,
    *,
    method: str = METHOD,
    patch_method: str | None = None,
    refused: bool = True,
    anew: bool = False,
    without: Collection[int] = (),
    guard: Mode = "refuse",
    moments: MomentSource = "auto",
    seed: int = 0,
    settings: dict[str, dict[str, Any]] | None = None,
    progress: Progress | None = None,
    **loading: Unpack[Loading],
) -> Consolidated:
    """Train all changes in force of a store into one delta, and switch the store to it.

    Args:
        directory: Folder of the store.
        method: A method whose changes share one delta: "finetune-adapter" (a LoRA adapter) or "locft" (one matrix).
        patch_method: Patches what the delta does not hold; by default the method of the store's last run.
        refused: Also try the changes that patching refused, where nothing has happened to their fact since. What a
            person refused is not tried.
        anew: Train from the unedited model also where a delta of the same method is in force, and do not read the
            deltas in force, so that a damaged one is replaced.
        without: Changes that are undone by leaving them out.
        guard: See `open_session`. Many changes at once may cost a small model more of its facts than a guard allows.
        moments: See `open_session`.
        seed: See `open_session`.
        settings: See `open_session`.
        progress: Called with (what, done, total).
        **loading: See `open_session`.

    Raises:
        JournalError: There is no store, nothing in it to consolidate, or a change of `without` is not applied.
        SettingError: The changes of the method do not share a delta.
        KgeditError: See `open_session`.
    """
    check_methods(method, patch_method)
    check_installed(method)
    with open_store(directory) as store:
        if not _candidates(store.journal, refused=refused, without=without):
            raise JournalError(f"no change of the store {directory} is applied, so there is nothing to consolidate")
        for id in without:
            undoable(store, id)
        model, graph, patching = store.model, store.graph, patch_method or patching_method(store.model, store.journal)
    with open_session(
        directory, model=model, method=patching, graph=graph, guard=guard, moments=moments, seed=seed,
        settings=settings, check=not anew, progress=progress, **loading,
    ) as session:  # fmt: skip
        return consolidate_in(session, method, refused=refused, anew=anew, without=without)


def consolidate_in(
    session: Session,
    method: str = METHOD,
    *,
    refused: bool = True,
    anew: bool = False,
    without: Collection[int] = (),
) -> Consolidated:
    """Consolidate an open store; the session's own method patches what the trained delta does not hold.

    Args:
        session: The open store.
        method: See `consolidate`.
        refused: See `consolidate`.
        anew: See `consolidate`.
        without: See `consolidate`.

    Raises:
        SettingError: The changes of the method do not share a delta, or those of the session's method do.
    """
    check_methods(method, session.decider.writer.name)
    started, store, weights = time.monotonic(), session.store, session.weights
    entries = _candidates(store.journal, refused=refused, without=without)
    left_out = [undoable(store, id) for id in without]
    # 1. One delta of all changes, on the unedited model, under all guards; what fails twice is left out.
    trainer = session.decider_by(method)
    begin = None if anew or left_out else _in_force(session, trainer.editor.method, trainer.writer.closure)
    with weights.trial(()):
        trained = trainer.decide(entries, [], begin=begin)
        # What was trained further and further may harm the model as a whole where one training of all does not.
        if begin is not None and not trained.accepted:
            trained = session.decider_by(method).decide(entries, [])
    about = {"method": trainer.writer.name, "asked": len(entries)}
    if not trained.accepted:
        failed = tuple(map(_refused, trained.refused))
        return Consolidated(
            **about, switched=False, failed=failed, weights_hash=store.weights_hash, seconds=_since(started)
        )
    # 2. What it does not hold is patched on top of it, batch by batch, as in a run.
    patches = _patched(session, session.decider, trained)
    # 3. The store is switched.
    switch_to(store, weights, trained, patches, left_out)
    measured = final_measure(session, "", {})
    accepted = [one.entry for one in (*trained.accepted, *patches.accepted)]
    return Consolidated(
        **about,
        switched=True,
        delta=trained.accepted[0].delta.id,
        trained=len(trained.accepted),
        patches=len(patches.accepted),
        tried_again=sum(entry.state == State.REFUSED for entry in accepted),
        refused=tuple(_refused(one) for one in patches.refused if one.entry.state == State.CHECKED),
        accepted_right=measured.accepted_right,
        unrelated_recalled=measured.unrelated_recalled,
        unrelated_asked=measured.unrelated_asked,
        weights_hash=store.weights_hash,
        seconds=_since(started),
    )


def waiting(session: Session) -> int:
    """Number of changes that were decided since a consolidation was last tried, refused ones included."""
    live = zip(session.weights.deltas, session.store.live().values(), strict=True)
    batches = [entry.batch or 0 for delta, entries in live if CONSOLIDATED in delta.manifest for entry in entries]
    journal = session.store.journal
    return journal.decided_after(max([*batches, int(journal.about(_IN_VAIN) or 0)]))


def note_in_vain(session: Session) -> None:
    """Note that a consolidation of all that is decided was not accepted, so that the same is not tried again."""
    batch, _ = session.store.journal.next_numbers()
    session.store.journal.set_about({_IN_VAIN: str(batch - 1)})


def check_methods(method: str, patching: str | None) -> None:
    """Make sure that the changes of a method share a delta, and those of the one that patches do not.

    Raises:
        UnknownMethod, SettingError: It is otherwise, or there is no such method.
    """
    name, patcher = parse_variant(method)[0], parse_variant(patching)[0] if patching else None
    if not load_method(name).shares_change:
        raise SettingError(f"{name} makes a patch of each change; consolidate with finetune-adapter or locft")
    if patcher and load_method(patcher).shares_change:
        raise SettingError(
            f"what {name} does not hold is patched, and {patcher} makes no patches; "
            "use a closed-form method for that, e.g. glame"
        )


def check_installed(method: str) -> None:
    """Make sure that the package which a method needs is there, before hours of work wait for it.

    Raises:
        MissingExtra: It is not.
    """
    load_method(parse_variant(method)[0]).check_installed()


def _in_force(session: Session, method: Method, closure: float | None) -> Delta | None:
    """The consolidated delta in force, if the method trained it as it is set and nothing is to be taken out."""
    if method.config.gate is not None or next(session.store.entries(State.COUNTERED), None) is not None:
        return None
    for delta in session.weights.deltas:
        alike = CONSOLIDATED in delta.manifest and delta.manifest.get("closure") == closure
        if alike and trained_by(method, delta) is not None:
            return delta
    return None


def _candidates(journal: Journal, *, refused: bool, without: Collection[int]) -> list[Entry]:
    """The changes in force, and those that guards refused, if nothing has happened to their fact after that."""
    live = [entry for entry in journal.in_force() if entry.id not in without]
    if not refused:
        return live
    settled = {entry.slot for entry in live} | {journal.entry(id).slot for id in without}
    last = [entry for entry in journal.last_of_slots() if entry.slot not in settled]
    # What a person refused was decided in no batch.
    return [*live, *(entry for entry in last if entry.state == State.REFUSED and entry.batch is not None)]


def _patched(session: Session, patcher: Decider, trained: Decision) -> Decision:
    """Patches on top of a trained delta for the changes that it does not hold."""
    delta = session.weights.on_base(trained.accepted[0].delta)
    live = [(delta, [one.entry for one in trained.accepted])]
    accepted: list[Accepted] = []
    refused: list[Refusal] = []
    failing = [one.entry for one in trained.refused]
    for start in range(0, len(failing), BATCH):
        with session.weights.trial([delta for delta, _ in live]):
            decision = patcher.decide(failing[start : start + BATCH], live)
        live += [(session.weights.on_base(one.delta), [one.entry]) for one in decision.accepted]
        accepted += decision.accepted
        refused += decision.refused
    return Decision(tuple(accepted), tuple(refused))


def _refused(refusal: Refusal) -> RefusedChange:
    return RefusedChange.of(refusal.entry, refusal.reason, refusal.numbers)


def _since(started: float) -> float:
    return round(time.monotonic() - started, 1)
