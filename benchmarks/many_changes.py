"""Many made changes of the bundled model, batch by batch, each consolidated; what holds, and what each step costs.

    python -m benchmarks.many_changes --first 200 --later 20 --anew --out OUT.json
    python -m benchmarks.many_changes --first 50 --later 950 --batch 50 --out OUT.json

The changes are facts that the model knows, each with another object that the relation has elsewhere and of which the
model knows something (`kgedit.mini.cases`, by the seed). None is patched: each waits for the consolidation behind its
batch. After each step all changes so far are asked by free decoding:

- right: the edit prompt; paraphrase: other statements and a question, which nothing trains;
- two hops: what follows over a fact of the new object, in wordings that nothing trains, as it is after all changes;
- implied: what follows by rules of the graph that hold in nine of ten cases (or as `--closure` says), in wordings that
  nothing trains; without `--closure` nothing trains the facts either;
- unrelated: facts that were neither protected nor watched, and that speak of no subject or object of any change.

`--anew` trains everything once more from the unedited model: the cost that going on is compared with. A run of hours
keeps its store with `--store DIR`, and goes on behind the last step in OUT.json when the same command is given again.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any, cast

from kg_cache.graph import Triple
from kg_cache.store import Store
from kgedit.cli.progress import working
from kgedit.graph.rules import implied_facts, mine_rules
from kgedit.ingest.consolidation import consolidate_in, waiting
from kgedit.ingest.decide.known_facts import ask_all
from kgedit.ingest.feeds.base import open_feed
from kgedit.ingest.final_measure import final_measure
from kgedit.ingest.intake import plan_in, take_in
from kgedit.ingest.session import Session, open_session
from kgedit.ingest.store.commit import commit
from kgedit.ingest.store.decision import Decision, Refusal
from kgedit.ingest.store.entry import State
from kgedit.mini.cases import Casebook, MiniCase
from kgedit.text.template import fill


def made_changes(book: Casebook, count: int, *, seed: int) -> list[MiniCase]:
    """So many changes of different subjects."""
    found: dict[str, MiniCase] = {}
    for case in book.draw(len(book.facts), seed=seed):
        found.setdefault(case.edit.subject, case)
    return list(islice(found.values(), count))


def two_hops(book: Casebook, cases: Sequence[MiniCase]) -> list[tuple[str, str]]:
    """Questions over a fact of each new object, whose answer is the one after all changes."""
    now = {(case.edit.subject, case.edit.relation): case.edit.target_new for case in cases}
    asked = []
    for case in cases:
        first = case.edit.relation or ""
        known = next(fact for fact in book.of_subject[case.edit.subject] if fact.relation == first)
        for path, answer in book.onward(known, case.edit.target_new):
            after = now.get((case.edit.target_new, path[1]), answer)
            asked.append((fill(book.text.held_out(path)[0], case.subject), book.labels[after]))
    return asked


def implied(session: Session, cases: Sequence[MiniCase], closure: float) -> list[tuple[str, str]]:
    """Questions about what follows by rules, where no change says it itself and no two imply different things."""
    graph, text = session.editor.graph, session.editor.text
    rules = mine_rules(cast("Store", graph).triples(), text, least_confidence=closure)
    said = {(case.edit.subject, case.edit.relation) for case in cases}
    found: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for case in cases:
        edit = Triple(case.edit.subject, case.edit.relation or "", case.edit.target_new)
        for one in implied_facts(graph, rules, edit, case.edit.target_true):
            wording = text.held_out((one.fact.relation,))[0]
            found.setdefault(one.slot, set()).add((fill(wording, one.subject_label), one.object_label))
    return [pair for slot, pairs in found.items() if slot not in said and len(pairs) == 1 for pair in pairs]


def share(answers: Sequence[bool]) -> float:
    """Percent."""
    return round(100 * sum(answers) / max(len(answers), 1), 1)


def received(session: Session, feed: Path) -> int:
    """Take a feed in and leave its changes to the consolidation; returns how many wait for it."""
    plan = plan_in(session, open_feed(str(feed)), check_kinds=False)
    take_in(session.store.journal, plan, None, {})
    new = tuple(Refusal(one, "not patched") for one in session.store.journal.entries(State.RECEIVED))
    if new:
        commit(session.store, session.weights, Decision((), new))
    return waiting(session)


def main() -> None:
    """Run the steps in a store and print what was measured after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=50, help="changes of the first consolidation")
    parser.add_argument("--later", type=int, default=950, help="changes after it")
    parser.add_argument("--batch", type=int, help="of the later ones, for each consolidation; all by default")
    parser.add_argument("--anew", action="store_true", help="at the end, train all from the unedited model as well")
    parser.add_argument("--method", default="finetune-adapter", help="method that consolidates")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="of the method's settings")
    parser.add_argument("--guard", action="append", default=[], metavar="NAME=VALUE", help="threshold of a guard")
    parser.add_argument("--closure", type=float, help="train what follows by rules that hold so often")
    parser.add_argument("--patch", default="rome", help="patches what the consolidation does not hold")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--store", type=Path, help="folder that keeps the store; needs --out")
    given = parser.parse_args()
    if given.store and not given.out:
        parser.error("--store needs --out, which says how far it has come")
    book = Casebook()
    cases = made_changes(book, given.first + given.later, seed=given.seed)
    starts = [0, *range(given.first, len(cases), given.batch or max(given.later, 1)), len(cases)]
    settings = {
        table: {name: json.loads(value) for name, value in (one.split("=") for one in named)}
        for table, named in ((given.method, given.set), ("guards", given.guard))
    }
    settings["ingest"] = {"closure": given.closure}
    measured: dict[str, Any] = {"command": " ".join(["python -m benchmarks.many_changes", *sys.argv[1:]]), "steps": []}
    if given.store and given.out.exists():
        before = json.loads(given.out.read_text(encoding="utf-8"))
        if before["command"] != measured["command"]:
            parser.error(f"{given.out} is of another command ({before['command']}); name other files")
        measured = before
    steps = measured["steps"]

    if given.store:
        given.store.mkdir(parents=True, exist_ok=True)
    kept = nullcontext(given.store) if given.store else tempfile.TemporaryDirectory()
    with kept as folder, working("Loading mini") as advance, open_session(
        Path(folder) / "store", model="mini", method=given.patch, seed=given.seed, settings=settings, progress=advance
    ) as session:  # fmt: skip

        def step(so_far: Sequence[MiniCase], new: int, *, anew: bool = False) -> float:
            began = time.process_time()
            result = consolidate_in(session, given.method, anew=anew)
            seconds = time.process_time() - began
            model, tokenizer = session.editor.model, session.editor.tokenizer
            asked = {
                "right": [case.probes["efficacy"][0] for case in so_far],
                "paraphrase": [pair for case in so_far for pair in case.probes["paraphrase"]],
                "two hops": two_hops(book, so_far),
                "implied": implied(session, so_far, given.closure or 0.9),
            }
            found = {name: share(ask_all(model, tokenizer, pairs)) for name, pairs in asked.items()}
            last = final_measure(session, "", {})
            steps.append(
                {
                    "changes": len(so_far), "new": new, "anew": anew, "switched": result.switched,
                    "accepted": last.accepted, "patches": result.patches, **found, "of implied": len(asked["implied"]),
                    "unrelated": round(100 * last.unrelated_recalled, 1), "of unrelated": last.unrelated_asked,
                    "processor seconds": round(seconds, 1), 
                    "failed": sorted({one.reason for one in result.failed})[:3],
                }
            )  # fmt: skip
            sys.stderr.write(json.dumps(steps[-1]) + "\n")
            if given.out:
                given.out.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
            return seconds

        seconds = 0.0
        for number, (start, end) in enumerate(zip(starts, starts[1:], strict=False)):
            if any(one["changes"] == end and not one["anew"] for one in steps):
                continue
            feed = Path(folder) / f"{number}.jsonl"
            lines = (case.edit.model_dump_json(exclude_none=True) + "\n" for case in cases[start:end])
            feed.write_text("".join(lines), encoding="utf-8")
            seconds = step(cases[:end], received(session, feed))
        if given.anew:
            measured["going on took of training anew"] = round(seconds / step(cases, 0, anew=True), 3)
            if given.out:
                given.out.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(measured, indent=1) + "\n")


if __name__ == "__main__":
    main()
