"""Changes of facts that other facts lead to, patched by ingestion: do questions that pass through them follow?

    python -m benchmarks.patched_through --out OUT.json
    python -m benchmarks.patched_through --set later_layers=[3,4] --out OUT.json

"The capital of the country of citizenship of X" passes through a changed capital without naming the country. The
changes are made of facts of the bundled model, by the seed, whose subjects are objects of other facts that it knows.
They are patched batch by batch, and after the last one is asked by free decoding, of the accepted ones:

- right: the edit prompt; paraphrase: other statements and a question, which nothing trains;
- through: questions over one fact that leads to the subject, in wordings that nothing optimises;
- unrelated: facts that were neither protected nor watched.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from benchmarks.many_changes import share
from kgedit.cli.progress import working
from kgedit.ingest.decide.known_facts import ask_all
from kgedit.ingest.feeds.base import open_feed
from kgedit.ingest.final_measure import final_measure
from kgedit.ingest.runner import apply_feed
from kgedit.ingest.session import open_session
from kgedit.ingest.store.entry import State
from kgedit.mini.cases import Casebook, MiniCase
from kgedit.mini.corpus import Fact
from kgedit.text.template import fill

Reached = tuple[MiniCase, list[tuple[str, str]]]  # a change, and questions that pass through it

_MOST = 8  # questions asked of each change that pass through it


def passing(book: Casebook, case: MiniCase, rng: random.Random) -> list[tuple[str, str]]:
    """Questions that lead over one known fact and then the changed one."""
    ways = [fact for fact in book.facts if fact.object == case.edit.subject and book.text[fact.relation].single]
    asked = []
    for fact in rng.sample(ways, len(ways)):
        path = (fact.relation, case.edit.relation or "")
        if len(asked) < _MOST and fact.subject != case.edit.target_new and book.text.composable(path):
            wording = rng.choice(book.text.held_out(path))
            asked.append((fill(wording, book.labels[fact.subject]), case.target_new))
    return asked


def reached_changes(book: Casebook, count: int, rng: random.Random) -> list[Reached]:
    """So many changes of different subjects that something leads to, each with its questions."""

    def drawn(facts: Sequence[Fact]) -> Iterator[Reached]:
        subjects: set[str] = set()
        for fact in facts:
            targets = book.targets(fact) if book.text[fact.relation].single and fact.subject not in subjects else []
            if targets:
                case = book.case(fact, rng.choice(targets), rng)
                if asked := passing(book, case, rng):
                    subjects.add(fact.subject)
                    yield case, asked

    return list(islice(drawn(rng.sample(book.facts, len(book.facts))), count))


def main() -> None:
    """Patch the changes in a temporary store, and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=32)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--method", default="glame")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="of the method's settings")
    parser.add_argument("--guard", choices=("refuse", "warn"), default="refuse")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    book = Casebook()
    cases = reached_changes(book, given.changes, random.Random(given.seed))
    settings = {given.method: {name: json.loads(value) for name, value in (one.split("=") for one in given.set)}}
    with tempfile.TemporaryDirectory() as folder, working("Loading mini") as advance, open_session(
        Path(folder) / "store", model="mini", method=given.method, seed=given.seed, settings=settings,
        guard=given.guard, progress=advance,
    ) as session:  # fmt: skip
        model, tokenizer = session.editor.model, session.editor.tokenizer
        through = {}  # subject -> those questions that the unedited model answers with the old object
        for case, asked in cases:
            right = ask_all(model, tokenizer, [(prompt, case.target_true) for prompt, _ in asked])
            through[case.edit.subject] = [pair for pair, was in zip(asked, right, strict=True) if was]
        feed = Path(folder) / "feed.jsonl"
        feed.write_text("".join(case.edit.model_dump_json(exclude_none=True) + "\n" for case, _ in cases), "utf-8")
        began = time.process_time()
        apply_feed(session, str(feed), open_feed(str(feed)), fingerprint=None, batch=given.batch, check_kinds=False)
        seconds = time.process_time() - began
        taken = {entry.edit.subject for entry in session.store.journal.in_force()}
        refused = [entry.reason for entry in session.store.journal.entries(State.REFUSED)]
        kept = [case for case, _ in cases if case.edit.subject in taken]
        questions = {
            "right": [case.probes["efficacy"][0] for case in kept],
            "paraphrase": [pair for case in kept for pair in case.probes["paraphrase"]],
            "through": [pair for case in kept for pair in through[case.edit.subject]],
        }
        found = {name: share(ask_all(model, tokenizer, pairs)) for name, pairs in questions.items()}
        last = final_measure(session, "", {})
    measured = {
        "command": " ".join(["python -m benchmarks.patched_through", *sys.argv[1:]]),
        "changes": len(cases), "accepted": len(kept), **found, "of through": len(questions["through"]),
        "unrelated": round(100 * last.unrelated_recalled, 1), "of unrelated": last.unrelated_asked,
        "processor seconds": round(seconds, 1), "refused": refused,
    }  # fmt: skip
    sys.stdout.write(json.dumps(measured, indent=1) + "\n")
    if given.out:
        given.out.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
