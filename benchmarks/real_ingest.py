"""Ingestion on a real model: made changes of facts that it recalls are planned, applied, checked, exported and undone.

    python benchmarks/real_ingest.py --model smollm2 --changes 30 --seed 0 --out OUT.json

The changes are drawn with a seed (`made_changes`). The run is verified from a PEFT adapter and a GGUF LoRA that were
written from the store; then the changes are undone one by one (by a counter-patch while others share their adapter),
until the weights are the unedited ones bit for bit.
Prints figures as JSON: accepted changes, how many of them are right at the end, how many unrelated facts are kept, and
seconds per step.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kg_cache.settings import Settings
from kgedit.cli.progress import working
from kgedit.delta.gguf.lora import export_gguf_lora
from kgedit.delta.low_rank import as_low_rank
from kgedit.editor import Editor
from kgedit.errors import JournalError
from kgedit.ingest import ExportKind, State, export, run, verify, verify_export
from kgedit.ingest.chosen_method import patching_method
from kgedit.ingest.decide.made_changes import made_changes
from kgedit.ingest.maintenance import undo_in
from kgedit.ingest.session import open_edited, open_session
from kgedit.lm.scoring.right_answers import ends_name
from kgedit.lm.sources.catalogue import FETCHABLE
from kgedit.lm.sources.fetch import fetched_file
from kgedit.trials.draw import fact_pool


class Clock:
    """Seconds of each step."""

    def __init__(self) -> None:
        """Begin with no step."""
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time the block."""
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 1)
        print(f"{name}: {self.seconds[name]} s", file=sys.stderr)


def write_changes(path: Path, model: str, count: int, seed: int) -> int:
    """Draw changes and write them as a feed; returns their number."""
    with working(f"Loading {model}") as advance:
        editor = Editor.from_pretrained(model, method=None, progress=advance)
        edits = made_changes(fact_pool(editor), editor.model, editor.tokenizer, count, seed=seed)
    lines = (json.dumps(edit.model_dump(exclude_none=True), ensure_ascii=False) for edit in edits)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return len(edits)


def asked_by_llama_cpp(store: Path, out: Path) -> tuple[int, int]:
    """Write a GGUF LoRA, load it in llama.cpp on the untouched file, ask each change; right answers and changes.

    (0, 0) where the model is not from a GGUF file.
    """
    with open_edited(store) as (opened, editor, weights):
        source = getattr(editor.model.config, "gguf_source", None)
        if source is None:
            return 0, 0
        export_gguf_lora(as_low_rank(weights.composed()), editor.model, out)
        requests = [editor.resolver.resolve(entry.edit).request for entry in opened.journal.in_force()]
        base = fetched_file(FETCHABLE[opened.model], Settings().cache_dir)
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
    from llama_cpp import LlamaCpp  # of the tests: llama.cpp in this process

    judge = LlamaCpp(base, [out])
    judge.scales(1.0)
    right = 0
    for request in requests:
        answer = judge.greedy(request.question, 16).strip().removeprefix("the ")
        right += answer.startswith(request.target) and ends_name(answer[len(request.target) :])
    return right, len(requests)


def undone_one_by_one(store: Path, model: str) -> tuple[str, list[str]]:
    """Undo all changes in their order; the hash of the weights then, and why some could not be undone.

    What no counter-patch undoes is tried again behind the others: the last change of an adapter goes with it.
    """
    failed: dict[int, str] = {}
    with (
        working(f"Loading {model}") as advance,
        open_session(store, model=model, method=patching_method(model), progress=advance) as session,
    ):
        left = [entry.id for entry in session.store.entries(State.CHECKED)]
        while left:
            failed = {}
            for id in left:
                try:
                    undo_in(session, id, counter_patch=True)
                except JournalError as error:
                    failed[id] = str(error)
            if len(failed) == len(left):
                break
            left = list(failed)
        return session.store.weights_hash, list(failed.values())


def measured(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Every step once, with its figures."""
    clock, store, feed = Clock(), folder / "store", folder / "changes.jsonl"
    with clock.step("draw changes"):
        drawn = write_changes(feed, arguments.model, arguments.changes, arguments.seed)
    with clock.step("plan, apply and check"), working(f"Loading {arguments.model}") as advance:
        result = run(
            store, feed, model=arguments.model, method=arguments.method, moments=arguments.moments or "collect",
            guard=arguments.guard, seed=arguments.seed, progress=advance,
        )  # fmt: skip
    with clock.step("export PEFT and verify"):
        export(store, folder / "peft", ExportKind.ADAPTER)
        peft = verify_export(folder / "peft")
    with clock.step("export GGUF and ask llama.cpp"):
        gguf = asked_by_llama_cpp(store, folder / "edits.gguf")
    with clock.step("verify the store"):
        base = verify(store).base_hash
    with clock.step("undo one by one"):
        undone_hash, not_undone = undone_one_by_one(store, arguments.model)
    return {
        "model": arguments.model,
        "method": result.method,
        "seed": arguments.seed,
        "changes": drawn,
        "classes": result.classes,
        "accepted": result.accepted,
        "accepted_right": result.accepted_right,
        "unrelated_recalled": result.unrelated_recalled,
        "unrelated_asked": result.unrelated_asked,
        "watched": result.watched,
        "refusals": [refusal.reason for refusal in result.refusals],
        "peft_checks": [peft.right, peft.checks],
        "gguf_checks": gguf,
        "undone": result.accepted - len(not_undone),
        "not_undone": not_undone,
        "undone_to_base": undone_hash == base,
        "seconds": clock.seconds,
        "seconds_in_all": round(sum(clock.seconds.values()), 1),
    }


def main() -> None:
    """Parse arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--method", help="by default the one of the model's preset")
    parser.add_argument("--guard", choices=("refuse", "warn"), default="refuse")
    parser.add_argument("--changes", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--moments", type=Path)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measured(arguments, Path(folder))
    text = json.dumps(figures, indent=1, ensure_ascii=False)
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
