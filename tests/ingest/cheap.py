"""A tiny model and changes whose deltas are drawn from their keys: everything of a store but the editing itself."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import nn

from kgedit.delta import DeltaStack, LowRankDelta, WeightUpdate, hash_weights
from kgedit.edit import Edit
from kgedit.ingest.store.commit import commit, recover
from kgedit.ingest.store.consolidate import switch_to
from kgedit.ingest.store.decision import Accepted, Decision, Refusal
from kgedit.ingest.store.entry import Entry, PlannedEdit, Received, State
from kgedit.ingest.store.store import IngestStore, open_store

NAMES = ("0.weight", "2.weight")


def tiny_model(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4))


def received(name: str, slot: str | None = None) -> Received:
    edit = Edit(subject=slot or name, relation="P1", target_new=name)
    return Received(key=f"key-{name}", slot=f"slot-{slot or name}", change=PlannedEdit(edit=edit))


def delta_of(key: str, model: nn.Module) -> LowRankDelta:
    """The delta of a change: a function of its key alone."""
    generator = torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big"))
    updates = []
    for name in NAMES:
        d_out, d_in = model.get_parameter(name).shape
        left, right = torch.randn(d_in, 1, generator=generator), torch.randn(d_out, 1, generator=generator)
        updates.append(WeightUpdate(name, left / 7, right / 7))
    return LowRankDelta(tuple(updates), hash_weights(tiny_model(), NAMES))


def refused(key: str) -> bool:
    """One change in five is refused, always the same ones."""
    return hashlib.sha256(key.encode()).digest()[5] % 5 == 0


def decide(entries: Iterable[Entry], model: nn.Module) -> Decision:
    drawn = list(entries)
    return Decision(
        tuple(Accepted(entry, delta_of(entry.key, model), {"p": 0.5}) for entry in drawn if not refused(entry.key)),
        tuple(Refusal(entry, "drawn", {"x": 1.0}) for entry in drawn if refused(entry.key)),
    )


def batches(store: IngestStore, weights: DeltaStack, size: int, after: Callable[[], None] = lambda: None) -> None:
    """Take all received changes in, batch by batch; `after` is called behind each."""
    while entries := list(store.journal.entries(State.RECEIVED, limit=size)):
        commit(store, weights, decide(entries, weights.model))
        after()


def reopen(directory: Path) -> tuple[IngestStore, DeltaStack]:
    """The store and an unedited model brought to what the journal says."""
    weights = DeltaStack(tiny_model(), sole_writer=True)
    store = open_store(directory, write=True)
    try:
        store.bind("tiny", weights.hash_unedited())
        recover(store, weights)
    except BaseException:
        store.close()
        raise
    return store, weights


def names(seed: int, count: int) -> list[str]:
    rng = random.Random(seed)
    return [f"{rng.randrange(10**9)}" for _ in range(count)]


def check_invariant(store: IngestStore, weights: DeltaStack) -> None:
    """The weights are the unedited ones with the live deltas applied one after another, bit for bit."""
    fresh = tiny_model()
    for delta in store.live_deltas():
        delta.apply(fresh, check=False)
    for name, parameter in fresh.named_parameters():
        assert torch.equal(parameter, weights.model.get_parameter(name)), name
    assert weights.hash() == store.weights_hash == DeltaStack(fresh, sole_writer=True).hash_unedited()


def consolidate_cheaply(store: IngestStore, weights: DeltaStack, *, patches: int = 1, name: str = "all") -> None:
    """Switch to one delta of all changes in force; the last ones stay patches on top of it."""
    live = store.journal.in_force()
    held, others = live[: len(live) - patches], live[len(live) - patches :]
    shared = delta_of(name, weights.model)
    trained = Decision(tuple(Accepted(entry, shared, {"p": 0.9}) for entry in held))
    on_top = [Accepted(entry, delta_of(f"{entry.key} on {name}", weights.model), {"p": 0.8}) for entry in others]
    switch_to(store, weights, trained, Decision(tuple(on_top)))
