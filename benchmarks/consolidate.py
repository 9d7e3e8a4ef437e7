"""Patch, then consolidate: what a store holds after each step, and what a later consolidation costs beside a full one.

    python -m benchmarks.consolidate --out OUT.json                    # all of examples/changes.jsonl, in one go
    python -m benchmarks.consolidate --records 100 --later 30 --out OUT.json

The first records of the feed are patched and consolidated, then the later ones, if any are wanted, on top of them; at
the end everything is trained anew, which says what going on from the adapter in force has saved. Prints as JSON:
accepted changes, how many of them are right by free decoding, how many unrelated facts are kept, seconds.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

from kgedit.cli.progress import working
from kgedit.ingest import Consolidated, consolidate, run, verify

FEED = Path(__file__).resolve().parents[1] / "examples" / "changes.jsonl"


def figures(result: Consolidated) -> dict[str, Any]:
    """What is reported of a consolidation."""
    numbers = result.model_dump(mode="json", exclude={"refused", "failed", "delta", "weights_hash"})
    return {**numbers, "accepted": result.trained + result.patches, "refused now": len(result.refused)}


def main() -> None:
    """Run the steps in a temporary store and print what was measured after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--feed", type=Path, default=FEED)
    parser.add_argument("--patch", default="glame", help="closed-form method")
    parser.add_argument("--method", default="finetune-adapter", help="method that consolidates")
    parser.add_argument("--records", type=int, default=10**9, help="of the feed, for the first consolidation")
    parser.add_argument("--later", type=int, default=0, help="further records, for a second one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    measured: dict[str, Any] = {"command": " ".join(["python -m benchmarks.consolidate", *sys.argv[1:]])}

    def step(name: str, result: dict[str, Any]) -> None:
        measured[name] = result
        print(json.dumps({name: result}, indent=1), file=sys.stderr)
        if given.out:
            given.out.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")

    with tempfile.TemporaryDirectory() as folder, working(f"Loading {given.model}") as advance:
        store = Path(folder) / "store"
        with given.feed.open(encoding="utf-8") as feed:
            parts = [list(islice(feed, given.records)), list(islice(feed, given.later))]
        for name, lines in zip(("first", "later"), parts, strict=True):
            if not lines:
                continue
            part = Path(folder) / f"{name}.jsonl"
            part.write_text("".join(lines), encoding="utf-8")
            patched = run(store, part, model=given.model, method=given.patch, seed=given.seed, progress=advance)
            step(f"{name}, patched", patched.model_dump(mode="json", exclude={"refusals", "weights_hash", "notes"}))
            result = consolidate(store, method=given.method, seed=given.seed, progress=advance)
            step(f"{name}, consolidated", figures(result))
        if parts[1]:
            again = consolidate(store, method=given.method, seed=given.seed, anew=True, progress=advance)
            step("anew", figures(again) | {"going on took of this": round(result.seconds / again.seconds, 3)})
        step("verified", verify(store).model_dump(mode="json", exclude={"base_hash", "weights_hash"}))
    print(json.dumps(measured, indent=1))


if __name__ == "__main__":
    main()
