"""Writes the benchmark files about what a model knows: which cases, in which order, in which file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from kgedit.errors import DataError
from kgedit.evaluate.benchmarks.counterfact import record as counterfact_format
from kgedit.evaluate.benchmarks.counterfact.record import CounterFactRecord
from kgedit.evaluate.benchmarks.mquake import record as mquake_format
from kgedit.evaluate.benchmarks.mquake.record import MQuakeRecord
from kgedit.evaluate.benchmarks.records import Record
from kgedit.evaluate.benchmarks.reverse import record as reverse_format
from kgedit.evaluate.benchmarks.reverse.record import ReverseRecord
from kgedit.evaluate.made import counterfact, mquake, reverse
from kgedit.evaluate.made.asking import StartAsking, asking_workers
from kgedit.evaluate.made.book import Book
from kgedit.evaluate.made.mined import MinedBook, MinedFacts
from kgedit.evaluate.made.recall import Draft, Gathering, RecallFilter, Slot
from kgedit.io.atomic_files import write_files
from kgedit.mini import MINI
from kgedit.progress import Progress
from kgedit.workers.pool import WorkerPlan

SUITES = ("mquake", "counterfact", "reverse")
PARTS = ("dev", "test")
# The most cases about a model that was not trained on the facts; for MQuAKE of each number of hops.
_SINGLES, _CHAINS = {"dev": 60, "test": 120}, {"dev": 20, "test": 50}


class MadeBenchmark(BaseModel):
    """The files that `make_benchmark` wrote.

    Attributes:
        suite: "mquake", "counterfact" or "reverse".
        seed: Seed of everything drawn.
        files: Part -> path of its file.
        cases: Part -> number of cases.
        classes: Part -> class -> number of cases: "2 hops, 1 edit", or the id of the edited relation.
        model: The model whose knowledge the cases are about.
        asked: Facts that it was asked for, in the editing prompt; None for the bundled model, whose facts are listed.
        recalled: Those that it gave, there and in another statement.
    """

    model_config = ConfigDict(frozen=True)

    suite: str
    seed: int
    files: dict[str, str]
    cases: dict[str, int]
    classes: dict[str, dict[str, int]]
    model: str = MINI
    asked: int | None = None
    recalled: int | None = None


def make_benchmark(
    suite: str,
    out: Path,
    *,
    seed: int = 0,
    sizes: Mapping[str, int] | None = None,
    progress: Progress | None = None,
    plan: WorkerPlan | None = None,
) -> MadeBenchmark:
    """Write OUT/SUITE-dev.json and OUT/SUITE-test.json; the same seed gives the same bytes.

    Built from the facts that the bundled model was trained on and from the chains that they make, trained or not, as
    far as it knows them: the unedited model was asked every case beforehand in the very prompts of its file, and only
    cases whose facts, old answers and pre-edit chains are all exactly right are in. The two files share no edited
    subject. Questions have the form "Q: ... A:", which is how this model is asked. No prompt but that of the edit is
    in a wording that an editing method optimises (`Verbalizer.edit_wordings`).

    Args:
        suite: "mquake", "counterfact" or "reverse".
        out: Folder of the files.
        seed: Seed of everything drawn.
        sizes: Part -> cases, for MQuAKE of each number of hops; the full size by default.
        progress: Called with (what, done, total).
        plan: Workers that ask the model; None for this process alone. The bytes are the same.

    Raises:
        DataError: No such benchmark, or the facts are too few for so many cases.
        SaveFailed: The files cannot be written.
    """
    _check(suite)
    book = Book()
    # Drafts are drawn until each place of a file has one whose facts the model recalls.
    records: dict[str, list[Record]] = {}
    with asking_workers(StartAsking(MINI, {"dtype": "float32"}), plan) as workers:
        recall = RecallFilter(progress=progress, workers=workers)
        if suite == "mquake":
            gathering = Gathering(recall, mquake.sources(book, seed))
            for part, count in (sizes or mquake.PER_HOPS).items():
                records[part] = gathering.fill(mquake.slots(part, count))
        else:
            made = counterfact if suite == "counterfact" else reverse
            plain = Gathering(recall, made.sources(book, seed))
            for part, count in (sizes or made.RECORDS).items():
                records[part] = plain.fill([part] * count)
    return _write(suite, out, records, seed=seed)


def make_recalled_benchmark(
    suite: str,
    out: Path,
    mined: MinedFacts,
    *,
    model: str,
    seed: int = 0,
    sizes: Mapping[str, int] | None = None,
) -> MadeBenchmark:
    """Write the same files about the facts that a model was found to recall; as many cases as they give.

    Every fact of a chain before and after its edits, every old object, every neighbour and every fact that a
    portability question leads to is among the found ones, each asked in a wording in which the model gives it. The
    questions of several hops are not asked beforehand: few models answer those. CounterFact records have a portability
    question where the found facts give one.

    Args:
        suite: "mquake", "counterfact" or "reverse".
        out: Folder of the files.
        mined: See `mined.mine`.
        model: Its name.
        seed: Seed of everything drawn.
        sizes: Part -> the most cases, for MQuAKE of each number of hops.

    Raises:
        DataError: No such benchmark, or the facts give no case.
        SaveFailed: The files cannot be written.
    """
    _check(suite)
    book = MinedBook(mined)
    records: dict[str, list[Record]] = {}
    if suite == "mquake":
        chains = mquake.sources(book, seed)
        for part, count in (sizes or _CHAINS).items():
            records[part] = _as_many(chains, mquake.slots(part, count))
    else:
        wanted = sizes or _SINGLES
        singles = (
            reverse.sources(book, seed, sizes=wanted)
            if suite == "reverse"
            else counterfact.sources(book, seed, sizes=wanted, portable=False)
        )
        for part, count in wanted.items():
            records[part] = _as_many(singles, [part] * count)
    if not any(records.values()):
        raise DataError(
            f"{model} recalls {len(mined.wordings)} of the {mined.asked} facts that it was asked for in several "
            f"wordings, which give no case of {suite}; let it be asked for more (--facts)"
        )
    made = _write(suite, out, records, seed=seed)
    return made.model_copy(update={"model": model, "asked": mined.asked, "recalled": len(mined.wordings)})


def _as_many(sources: Mapping[Slot, Iterator[Draft]], slots: Iterable[Slot]) -> list[Record]:
    """One record for each place whose source has one."""
    drafts = (next(sources[slot], None) for slot in slots)
    return [draft.record for draft in drafts if draft is not None]


def _check(suite: str) -> None:
    if suite not in SUITES:
        raise DataError(f"no benchmark {suite!r} can be made; there are: {', '.join(SUITES)}")


def _write(suite: str, out: Path, records: Mapping[str, list[Record]], *, seed: int) -> MadeBenchmark:
    numbered = _numbered(records, first=1 if suite == "mquake" else 0)
    names = {part: f"{suite}-{part}.json" for part in numbered}
    write_files(out, {names[part]: _bytes(cases) for part, cases in numbered.items()})
    return MadeBenchmark(
        suite=suite,
        seed=seed,
        files={part: str(out / name) for part, name in names.items()},
        cases={part: len(cases) for part, cases in numbered.items()},
        classes={part: dict(sorted(Counter(map(_class, cases)).items())) for part, cases in numbered.items()},
    )


def _numbered(records: Mapping[str, list[Record]], first: int) -> dict[str, list[Record]]:
    """Case numbers run on from one file to the next, so that a number means one case."""
    numbered = {}
    for part, cases in records.items():
        numbered[part] = [case.model_copy(update={"case_id": first + i}) for i, case in enumerate(cases)]
        first += len(cases)
    return numbered


def _bytes(records: list[Record]) -> bytes:
    written = [_original(record) for record in records]
    if any("portability" in record for record in written):
        # Where only some have the question, null says of the others that it was not lost.
        written = [record | {"portability": record.get("portability")} for record in written]
    return (json.dumps(written, ensure_ascii=False, indent=1) + "\n").encode()


def _original(record: Record) -> dict[str, Any]:
    if isinstance(record, MQuakeRecord):
        return mquake_format.to_original(record)
    if isinstance(record, ReverseRecord):
        return reverse_format.to_original(record)
    if isinstance(record, CounterFactRecord):
        return counterfact_format.to_original(record)
    raise TypeError(f"no layout is known for {type(record).__name__}")


def _class(record: Record) -> str:
    if isinstance(record, MQuakeRecord):
        edits = len(record.rewrites)
        return f"{len(record.hops)} hops, {edits} edit{'s' if edits > 1 else ''}"
    return str(record.rewrite.relation_id)
