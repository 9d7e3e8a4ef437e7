"""Patches by GLAME with its write to later layers: each takes its own part of a batch's write, and is undone alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kgedit.delta import DeltaStack
from kgedit.delta.low_rank import as_low_rank
from kgedit.editor import Editor
from kgedit.ingest import run, undo
from kgedit.ingest.store.store import open_store

CAPITALS = ("Q30", "Q585"), ("Q142", "Q220")  # of the United States Oslo, of France Rome


@pytest.mark.long
def test_one_patch_of_a_batch_is_undone_with_what_it_wrote_to_later_layers(tmp_path: Path) -> None:
    feed, store_path = tmp_path / "capitals.jsonl", tmp_path / "store"
    lines = [json.dumps({"subject": at, "relation": "P36", "target_new": new}) for at, new in CAPITALS]
    feed.write_text("\n".join(lines) + "\n", encoding="utf-8")
    method = "glame:layers=0+1:later_layers=3+4:later_walks=3:steps=6"
    # Guards that let everything pass: a second attempt would go without the later layers.
    least = dict.fromkeys(("probability", "locality", "neighbours", "subject", "kept"), 0.0)
    most = dict.fromkeys(("norm", "norm_cumulative", "perplexity"), 1e9)
    settings = {"ingest": {"facts": 64}, "guards": {**least, **most, "facts": 4}}
    run(store_path, feed, method=method, guard="warn", moments="identity", settings=settings, check_kinds=False)
    with open_store(store_path) as store:
        first, second = map(as_low_rank, store.live_deltas())
    for delta in (first, second):
        assert [name.split(".")[2] for name in delta.names] == ["0", "1", "3", "4"]
        assert delta.manifest["columns"] == 2
    undo(store_path, 1)
    with open_store(store_path) as store:
        (left,) = store.live_deltas()
        noted = store.weights_hash
    assert left.id == second.id
    # What is left is the unedited model with the other change alone.
    weights = DeltaStack(Editor.from_pretrained("mini", method=None).model)
    weights.apply(weights.on_base(left))
    assert weights.hash() == noted
