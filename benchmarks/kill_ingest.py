"""`kgedit ingest run` killed at random moments and started again, until so many kills are used up.

    .venv/bin/python benchmarks/kill_ingest.py [--kills 50] [--changes 6] [--method rome] [--seed 0] [--out DIR]

The moments are drawn evenly over the time that an undisturbed run takes. After every kill, journal and weights must
agree and no accepted change may be gone; each time a run comes to its end, its weights must have the hash of the
undisturbed run's, and each change must have been accepted once. Then a new store is begun. Prints one JSON object;
exit code 1 if anything was lost or done twice.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from kgedit.delta import DeltaStack
from kgedit.errors import KgeditError
from kgedit.ingest.store.commit import apply_live
from kgedit.ingest.store.entry import State
from kgedit.ingest.store.store import JOURNAL, open_store
from kgedit.lm.load import load_model
from kgedit.mini import MINI
from kgedit.mini.cases import Casebook


def main() -> None:
    """Kills, checks and prints."""
    parser = argparse.ArgumentParser(description="Kills runs at random moments.")
    parser.add_argument("--kills", type=int, default=50, help="processes to kill")
    parser.add_argument("--changes", type=int, default=6, help="changes of the feed")
    parser.add_argument("--method", default="rome", help="editing method")
    parser.add_argument("--seed", type=int, default=0, help="draws changes and moments")
    parser.add_argument("--out", type=Path, help="folder to keep the stores in; a temporary one by default")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        report = measured(folder, chosen)
    print(json.dumps(report, indent=2))
    sys.exit(0 if not report["failures"] else 1)


def measured(folder: Path, chosen: argparse.Namespace) -> dict[str, Any]:
    """Everything that is printed."""
    feed = folder / "changes.jsonl"
    cases = Casebook().draw(chosen.changes, seed=chosen.seed)
    feed.write_text("".join(case.edit.model_dump_json(exclude_none=True) + "\n" for case in cases), encoding="utf-8")
    first = finished(started(feed, folder / "first", chosen.method))  # collects what is cached for later runs
    begun = time.monotonic()
    calm = finished(started(feed, folder / "calm", chosen.method))
    seconds = time.monotonic() - begun
    failures = [] if first == calm else [f"two undisturbed runs end with {first} and {calm}"]
    model, _ = load_model(MINI)
    weights = DeltaStack(model, sole_writer=True)
    rng, kills, rounds, moments = random.Random(chosen.seed), 0, 0, []
    killed_at: Counter[str] = Counter()
    while kills < chosen.kills:
        rounds += 1
        store, accepted, ended = folder / f"round-{rounds}", set[str](), False
        while not ended:
            process = started(feed, store, chosen.method)
            if kills < chosen.kills:
                moment = rng.uniform(0, seconds)
                try:
                    process.wait(moment)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.communicate()
                    kills += 1
                    moments.append(round(moment, 2))
                    accepted = checked(store, weights, accepted, failures, f"kill {kills}")
                    killed_at[f"{len(accepted)} accepted"] += 1
                    continue
            found, ended = finished(process), True
            accepted = checked(store, weights, accepted, failures, f"round {rounds}")
            if found != calm:
                failures.append(f"round {rounds} ends with {found}, not {calm}")
    return {
        "kills": kills,
        "rounds": rounds,
        "changes": chosen.changes,
        "method": chosen.method,
        "seed": chosen.seed,
        "undisturbed_seconds": round(seconds, 1),
        "seconds_before_each_kill": moments,
        "killed_with": dict(sorted(killed_at.items())),
        "accepted": calm["accepted"],
        "weights_hash": calm["weights_hash"],
        "failures": failures,
    }


def started(feed: Path, store: Path, method: str) -> subprocess.Popen[bytes]:
    """A run in a process of its own; one change a batch, and guards that only warn: much to interrupt and to lose."""
    words = ["ingest", "run", feed, "--store", store, "--method", method, "--batch", "1", "--guard", "warn", "--json"]
    return subprocess.Popen(
        [sys.executable, "-m", "kgedit", *map(str, words)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip


def finished(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """What a run that may come to its end says about the outcome."""
    out, err = process.communicate()
    if process.returncode:
        sys.exit(f"a run ended with exit code {process.returncode}: {err.decode(errors='replace')}")
    result = json.loads(out)
    return {name: result[name] for name in ("weights_hash", "accepted", "refused", "accepted_right")}


def checked(store: Path, weights: DeltaStack, before: set[str], failures: list[str], when: str) -> set[str]:
    """Keys of the accepted changes, after checks that journal and weights agree and nothing is lost or doubled."""
    if not (store / JOURNAL).exists():  # killed before it began
        return before
    with open_store(store, write=True) as opened:  # a writer, for SQLite may have to roll a killed one's work back
        if not opened.base_hash:  # killed before the store was bound to its model
            return before
        try:
            apply_live(opened, weights)
        except KgeditError as error:
            failures.append(f"{when}: {error}")
        entries = list(opened.entries(State.CHECKED))
        for entry in entries:
            times = sum(step.state == State.CHECKED for step in opened.journal.steps(entry.id))
            if times != 1:
                failures.append(f"{when}: change {entry.id} was accepted {times} times")
    weights.put([])
    now = {entry.key for entry in entries}
    if len(now) != len(entries):
        failures.append(f"{when}: a change is in force twice")
    if before - now:
        failures.append(f"{when}: lost {sorted(before - now)}")
    return now


if __name__ == "__main__":
    main()
