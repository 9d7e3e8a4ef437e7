"""`ingest run`, `consolidate` and `follow` killed at random moments and called again, until so many kills are used up.

    python -m benchmarks.kills [--of run,consolidate,follow] [--kills 50] [--changes 5] [--seed 0]

The rounds take turns: one reads a feed into a new store, change by change; one consolidates a copy of a patched store;
one follows a folder of feed files from nothing, patches, consolidates by threshold and publishes. Each attempt is a
process of its own, forked from this one, which has loaded the libraries, and ended by SIGKILL at a moment drawn evenly
over the processor time of an undisturbed one. After every kill journal and weights must agree, no accepted change may
be gone or in force twice, and what `current` leads to must be a whole export. At the end of a round every change must
have the state, the delta and the number of acceptances of an undisturbed run, and the weights its hash. Prints one
JSON object; exit code 1 if anything was otherwise.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import random
import resource
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import peft  # noqa: F401 - loaded here once, not in every process
import torch

from kgedit.delta import DeltaStack
from kgedit.errors import KgeditError
from kgedit.ingest import consolidate, follow, run
from kgedit.ingest.exports.manifest import hashes, read_record
from kgedit.ingest.following.publish import CURRENT
from kgedit.ingest.store.commit import apply_live
from kgedit.ingest.store.consolidate import CONSOLIDATED
from kgedit.ingest.store.entry import State
from kgedit.ingest.store.store import JOURNAL, open_store
from kgedit.lm.load import load_model
from kgedit.mini import MINI
from kgedit.mini.cases import Casebook

# Little of everything: the moments between two writes matter here, not what the model holds.
SETTINGS: dict[str, dict[str, Any]] = {
    "guards": {
        "facts": 40, "probability": 0.0, "locality": 0.3, "neighbours": 0.0, "subject": 0.0, "norm": 99.0,
        "norm_cumulative": 99.0, "perplexity": 99.0, "kept": 0.0,
    },
    "ingest": {"facts": 60},
    "finetune-adapter": {
        "epochs": 7, "learning_rate": 6e-3, "rows": 8, "rehearsed": 1.0, "least_rehearsed": 4, "beside": 1,
        "inverse": False, "facts": 20, "rank": 8,
    },
}  # fmt: skip
FILES, BATCH, AFTER = 3, 2, 3  # of a followed folder; changes in a batch, and between consolidations
KINDS = ("run", "consolidate", "follow")

Outcome = dict[str, Any]


@dataclass
class Kind:
    """What is killed.

    Attributes:
        name: "run", "consolidate" or "follow".
        begin: Makes the folder of a round.
        work: The whole work in that folder; called again after each kill.
        seconds: What an undisturbed process takes.
        calm: How an undisturbed round ends.
        found: What a kill left, over all kills.
    """

    name: str
    begin: Callable[[Path], None]
    work: Callable[[Path], None]
    seconds: float = 0.0
    calm: Outcome = field(default_factory=dict)
    found: Counter[str] = field(default_factory=Counter)


def main() -> None:
    """Kills, checks and prints."""
    parser = argparse.ArgumentParser(description="Kills runs, consolidations and followers at random moments.")
    parser.add_argument("--of", type=named, default=KINDS, metavar=",".join(KINDS), help="what is killed, in turns")
    parser.add_argument("--kills", type=int, default=50, help="processes to kill")
    parser.add_argument("--changes", type=int, default=5, help="changes of the feed")
    parser.add_argument("--seed", type=int, default=0, help="draws changes and moments")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    importlib.import_module("kgedit.ingest.final_measure").UNRELATED = 20  # type: ignore[attr-defined] # facts asked at the end, which no kill concerns
    with tempfile.TemporaryDirectory() as folder:
        report = measured(Path(folder), chosen)
    sys.stdout.write(json.dumps(report, indent=1) + "\n")
    sys.exit(1 if report["failures"] else 0)


def named(text: str) -> tuple[str, ...]:
    """Names of kinds, with commas between them."""
    names = tuple(text.split(","))
    if unknown := [name for name in names if name not in KINDS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(KINDS)}")
    return names


def measured(folder: Path, chosen: argparse.Namespace) -> dict[str, Any]:
    """Everything that is printed."""
    feeds = folder / "feeds"
    feeds.mkdir()
    lines = [one.edit.model_dump_json(exclude_none=True) for one in Casebook().draw(chosen.changes, seed=chosen.seed)]
    for number in range(FILES):
        (feeds / f"{number}.jsonl").write_text("".join(f"{one}\n" for one in lines[number::FILES]), encoding="utf-8")
    feed, patched = folder / "feed.jsonl", folder / "patched"
    feed.write_text("".join(f"{one}\n" for one in lines), encoding="utf-8")

    def patch(round: Path) -> None:
        for feed in sorted(feeds.iterdir()):
            run(round / "store", feed, method="rome", batch=4, guard="warn", settings=SETTINGS)

    waited(process(patch, patched))
    all_kinds = [
        Kind("run", lambda round: None, lambda round: read(round, feed)),
        Kind("consolidate", lambda round: copied(patched, round), consolidated),
        Kind("follow", lambda round: None, lambda round: followed(round, feeds)),
    ]
    kinds = [kind for kind in all_kinds if kind.name in chosen.of]
    killing = Killing(chosen.kills, random.Random(chosen.seed), DeltaStack(load_model(MINI)[0], sole_writer=True))
    for kind in kinds:
        undisturbed(kind, folder / kind.name)
    rounds = 0
    while killing.done < killing.most:
        kind = kinds[rounds % len(kinds)]
        rounds += 1
        killing.round(kind, folder / f"round-{rounds}", rounds)
    return {
        "command": " ".join(["python -m benchmarks.kills", *sys.argv[1:]]),
        "kills": killing.done,
        "rounds": rounds,
        "undisturbed processor seconds": {kind.name: float(f"{kind.seconds:.1f}") for kind in kinds},
        "killed with": {kind.name: dict(sorted(kind.found.items())) for kind in kinds},
        "accepted": {kind.name: len(kind.calm["accepted"]) for kind in kinds},
        "failures": killing.failures,
    }


def undisturbed(kind: Kind, round: Path) -> None:
    """Note how a round without a kill ends, and how long it takes."""
    round.mkdir()
    kind.begin(round)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    waited(process(kind.work, round))
    after, kind.calm = resource.getrusage(resource.RUSAGE_CHILDREN), outcome(round)
    kind.seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    sys.stderr.write(f"{kind.name}: {kind.seconds:.1f} s undisturbed, {len(kind.calm['accepted'])} accepted\n")


@dataclass
class Killing:
    """The kills of all rounds.

    Attributes:
        most: Processes to kill.
        rng: Draws the moments.
        weights: The bundled model's, on which journals are tried.
        done: Processes killed so far.
        failures: What was found wrong, in words.
    """

    most: int
    rng: random.Random
    weights: DeltaStack
    done: int = 0
    failures: list[str] = field(default_factory=list)

    def round(self, kind: Kind, folder: Path, number: int) -> None:
        """Kill processes that do the work in a folder until one comes to its end; the folder is gone then."""
        folder.mkdir()
        kind.begin(folder)
        accepted = set[str]()
        while self._killed(attempt := process(kind.work, folder), kind.seconds):
            accepted = checked(folder, self.weights, accepted, kind, self.failures, f"{kind.name}, kill {self.done}")
            kind.found[left(folder)] += 1
            sys.stderr.write(f"{kind.name}: kill {self.done}, {left(folder)}; {len(self.failures)} failures\n")
        waited(attempt)
        checked(folder, self.weights, accepted, kind, self.failures, f"{kind.name}, round {number}")
        if (found := outcome(folder)) != kind.calm:
            self.failures.append(f"{kind.name}, round {number} ends with {found}, not {kind.calm}")
        shutil.rmtree(folder)

    def _killed(self, attempt: Any, seconds: float) -> bool:
        """Kill a process at a moment of so many processor seconds; false if it ends before, or no kill is left."""
        moment = self.rng.uniform(0, seconds)
        while self.done < self.most and attempt.exitcode is None and worked(attempt.pid) < moment:
            attempt.join(0.02)
        if self.done == self.most or attempt.exitcode is not None:
            return False
        attempt.kill()
        attempt.join()
        self.done += 1
        return True


def copied(patched: Path, round: Path) -> None:
    """Begin a round with patches."""
    shutil.copytree(patched, round, dirs_exist_ok=True)


def read(round: Path, feed: Path) -> None:
    """Apply a feed to the store of a round, one change a batch: much to interrupt and to lose."""
    run(round / "store", feed, method="rome", batch=1, guard="warn", settings=SETTINGS)


def consolidated(round: Path) -> None:
    """Consolidate the store of a round, unless it was switched before a kill."""
    with open_store(round / "store") as store:
        if any(CONSOLIDATED in delta.manifest for delta in store.live_deltas()):
            return
    consolidate(round / "store", settings=SETTINGS, refused=False)


def followed(round: Path, feeds: Path) -> None:
    """Follow the feeds with the store of a round."""
    follow(
        round / "store", feeds, method="rome", guard="warn", batch=BATCH, consolidate_after=AFTER, out=round / "out",
        once=True, settings=SETTINGS,
    )  # fmt: skip


def process(work: Callable[[Path], None], round: Path) -> Any:
    """A forked process that is at work."""
    started = multiprocessing.get_context("fork").Process(target=work, args=(round,))
    started.start()
    return started


def waited(started: Any) -> None:
    """Wait for a process that may come to its end."""
    started.join()
    if started.exitcode:
        sys.exit(f"a process ended with exit code {started.exitcode}")


def worked(pid: int) -> float:
    """Processor seconds of a process so far (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def outcome(round: Path) -> Outcome:
    """How a round ended."""
    with open_store(round / "store") as store:
        entries = list(store.entries())
        times = {one.key: sum(step.state == State.CHECKED for step in store.journal.steps(one.id)) for one in entries}
        found: Outcome = {
            "weights_hash": store.weights_hash,
            "changes": {one.key: (str(one.state), one.delta, times[one.key]) for one in entries},
            "accepted": sorted(one.key for one in entries if one.state == State.CHECKED),
        }
    if (round / "out" / CURRENT).exists():
        found["published"] = read_record(round / "out" / CURRENT).weights_hash
    return found


def left(round: Path) -> str:
    """What a kill left, in words."""
    if not (round / "store" / JOURNAL).exists():
        return "no store"
    with open_store(round / "store", write=True) as store:
        counts = store.journal.counts()
        deltas = len(store.live())
    published = "published" if (round / "out" / CURRENT).exists() else "not published"
    return f"{counts[State.CHECKED]} accepted, {counts[State.RECEIVED]} waiting, {deltas} deltas, {published}"


def checked(
    round: Path, weights: DeltaStack, before: set[str], kind: Kind, failures: list[str], when: str
) -> set[str]:
    """Keys of the accepted changes, after checks that nothing is lost, doubled or half-written."""
    now = before
    if (round / "store" / JOURNAL).exists():
        with open_store(round / "store", write=True) as opened:  # SQLite may have to roll a killed one's work back
            if opened.base_hash:
                try:
                    apply_live(opened, weights)
                except KgeditError as error:
                    failures.append(f"{when}: {error}")
            keys = [entry.key for entry in opened.entries(State.CHECKED)]
        weights.put([])
        now = set(keys)
        if len(now) != len(keys):
            failures.append(f"{when}: a change is in force twice")
        if lost := (before - now) & set(kind.calm["accepted"]):  # others are refused in a calm round as well
            failures.append(f"{when}: lost {sorted(lost)}")
    if (current := round / "out" / CURRENT).exists():
        record, present = read_record(current), hashes(current)
        if damaged := [name for name, hash in record.files.items() if present.get(name) != hash]:
            failures.append(f"{when}: the published version has other files than its record: {damaged}")
    return now


if __name__ == "__main__":
    main()
