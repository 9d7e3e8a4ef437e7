"""Shards of a text give the sums of one process, and a shard that is missing is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from kgedit.cli import moments_shards
from kgedit.cli.moments_shards import StartShards, collect_shared
from kgedit.cli.passages import Passages, PassageSource
from kgedit.errors import MomentError
from kgedit.lm.load import load_model
from kgedit.lm.second_moment import collect as collecting
from kgedit.lm.second_moment.collect import collect
from kgedit.workers.pool import WorkerPlan


class InTurn:
    """One worker in this process."""

    def __init__(self, start: Any) -> None:
        self.handler = start()

    def map(self, tasks: Any) -> Iterator[Any]:
        return (self.handler(named.task) for named in tasks)


def test_the_shards_add_up_to_the_whole(tiny: str, tmp_path, monkeypatch) -> None:
    @contextmanager
    def workers(start: Any, plan: WorkerPlan) -> Iterator[InTurn]:
        yield InTurn(start)

    monkeypatch.setattr(moments_shards, "ray_workers", workers)
    monkeypatch.setattr(collecting, "_BATCHES_PER_SORT", 1)  # blocks of few texts
    (tmp_path / "text.txt").write_text("\n".join(f"Number {n} is in Paris and in Rome." for n in range(600)))
    source, (model, tokenizer) = PassageSource(Passages(str(tmp_path / "text.txt")), None, 0), load_model(tiny)
    folder = tmp_path / "sums"
    start = StartShards(tiny, {}, source, (1,), 1024, 9_000, 0, folder, 3)
    changes: list[Any] = []
    shared = collect_shared(start, model, WorkerPlan(2), on_halves=changes.append)
    halves: list[Any] = []
    how: dict[str, Any] = {"max_tokens": 9_000, "on_halves": halves.append}
    alone = collect(model, tokenizer, source(model, tokenizer)(), [1], **how)
    assert (shared[1].count, shared[1].key) == (alone[1].count, alone[1].key)
    assert torch.allclose(shared[1].matrix, alone[1].matrix, rtol=1e-6, atol=0)
    assert changes[0].tokens == halves[-1].tokens
    assert list(folder.iterdir()) == []

    monkeypatch.setattr(InTurn, "map", lambda self, tasks: iter(()))
    with pytest.raises(MomentError, match="must see the same folder"):
        collect_shared(start, model, WorkerPlan(2))
