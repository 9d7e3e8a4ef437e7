"""Second moments on several workers: each sums up every so many-th block of the texts; the sums are added up here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kgedit.cli.passages import PassageSource
from kgedit.errors import MomentError
from kgedit.lm.load import load_model
from kgedit.lm.loading import Loading
from kgedit.lm.second_moment.checkpoint import Sums
from kgedit.lm.second_moment.collect import Collection
from kgedit.lm.second_moment.convergence import SAMPLE_KEYS, HalvesChange
from kgedit.lm.second_moment.matrix import SecondMoment
from kgedit.progress import Progress
from kgedit.workers.pool import NamedTask, WorkerPlan
from kgedit.workers.ray_workers import ray_workers


@dataclass(frozen=True)
class StartShards:
    """Makes a worker, with a model of its own.

    Attributes:
        model: Name of the model.
        loading: How it is loaded.
        passages: The texts.
        layers: Layers whose keys are wanted.
        max_length: Texts are cut to so many tokens.
        max_tokens: Texts are read up to so many tokens.
        skip_first: First tokens of each text that are left out.
        folder: Where the sums go: the workers' and this process's own.
        shards: In how many shards.
    """

    model: str
    loading: Loading
    passages: PassageSource
    layers: tuple[int, ...]
    max_length: int
    max_tokens: int | None
    skip_first: int
    folder: Path
    shards: int

    def collection(self, model: Any) -> Collection:
        """What all of them do."""
        return Collection(model, self.layers, self.max_length, self.skip_first, halves=True)

    def __call__(self) -> Callable[[int], int]:
        """Load the model; the handler leaves the sums of a shard in the folder, and says over how many tokens."""
        loaded, tokenizer = load_model(self.model, **self.loading)
        texts, work = self.passages(loaded, tokenizer), self.collection(loaded)

        def sum_up(shard: int) -> int:
            checkpoint = work.checkpoint(self.folder, shard, self.shards)
            sums = work.summed(
                tokenizer, texts(), checkpoint, max_tokens=self.max_tokens, shard=shard, shards=self.shards
            )
            checkpoint.write(sums)
            return sums.count

        return sum_up


def collect_shared(
    start: StartShards,
    model: Any,
    plan: WorkerPlan,
    *,
    progress: Progress | None = None,
    on_halves: Callable[[HalvesChange], None] | None = None,
) -> dict[int, SecondMoment]:
    """`collect` by several workers.

    A shard of a lost worker goes on from its checkpoint. The sums are added up in the order of the shards, in float64:
    the result depends on their number by rounding alone, and on nothing else.

    Args:
        start: What is collected.
        model: The model, in this process.
        plan: The workers; one shard for each.
        progress: Called with (what, shards done, shards).
        on_halves: See `collect`; called once, at the end.

    Raises:
        WorkerFailed: A worker could not do its shard.
        MomentError: A shard is not in the folder: workers of other machines write to another one.
    """
    shards = range(start.shards)
    with ray_workers(start, plan) as workers:
        tasks = [NamedTask(f"shard {shard + 1} of {start.shards}", shard) for shard in shards]
        for done, _ in enumerate(workers.map(tasks), start=1):
            if progress:
                progress("Summing up shards", done, start.shards)
    work, parts = start.collection(model), list[Sums]()
    checkpoints = [work.checkpoint(start.folder, shard, start.shards) for shard in shards]
    for checkpoint in checkpoints:
        sums = checkpoint.read()
        if sums is None:
            raise MomentError(
                f"the sums of a shard are not in {start.folder}; workers of other machines must see the same folder "
                "there (--out, or KGEDIT_CACHE_DIR)"
            )
        if parts:
            parts[0].plus(sums, SAMPLE_KEYS)
        else:
            parts.append(sums)
    moments = work.moments(parts[0], on_halves)
    for checkpoint in checkpoints:
        checkpoint.remove()
    return moments
