"""Figures of a real model in one folder per benchmark: results/smollm2/ is made by this command.

kgedit models fetch smollm2
kgedit moments --model smollm2
.venv/bin/python examples/real_model_figures.py --out results/smollm2 --counterfact counterfact.json \
    --zsre zsre.json --mquake MQuAKE-CF-3k-v2.json

Without --out the plan is shown and nothing is run. Benchmarks of the literature are your own downloads (see
docs/evaluation.md); one that is not given is left out. The made ones are written first, about the facts that the model
recalls, into OUT/made. Every run resumes; after each method its report is written, so a stopped run leaves the figures
of the methods that it finished.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

METHODS = "unedited,pasted,rome,memit,glame,ft,ft-l,rome-kg,memit-kg,glame:paper"


@dataclass(frozen=True)
class Part:
    """One benchmark: its folder's name, its suite, how many records, and which: only recalled ones, or any at all."""

    name: str
    suite: str
    limit: int | None = 100
    recalled_only: bool = False
    anyway: bool = False


PARTS = (
    Part("counterfact", "counterfact"),
    Part("zsre", "zsre", anyway=True),  # a small model recalls hardly any of these facts
    Part("mquake", "mquake", limit=None, recalled_only=True),
    Part("made-counterfact", "counterfact"),
    Part("made-mquake", "mquake"),
)


def main() -> None:
    """Runs the example."""
    parser = argparse.ArgumentParser(description="Figures of a real model, one folder per benchmark.")
    parser.add_argument("--out", type=Path, help="folder of the results")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--methods", default=METHODS, help="in the order in which they are run")
    parser.add_argument("--limit", type=int, help="at most so many records of each benchmark")
    parser.add_argument("--facts", type=int, default=4096, help="the most facts that the model is asked for")
    parser.add_argument("--moments", type=Path, help="folder of second moments; else those of the cache")
    parser.add_argument("--seed", type=int, default=0)
    for name in ("counterfact", "zsre", "mquake"):
        parser.add_argument(f"--{name}", help="file of the published benchmark")
    parser.add_argument("--no-made", action="store_true", help="leave the made benchmarks out")
    chosen = parser.parse_args()
    published = {name: getattr(chosen, name) for name in ("counterfact", "zsre", "mquake") if getattr(chosen, name)}
    for part in PARTS:
        data = published.get(part.name)
        made = part.name.startswith("made-") and not chosen.no_made
        if chosen.out is None:
            told = data or ("written from recalled facts" if made else "no file given")
            print(f"{part.name}: {part.limit or 'all'} records, {told}; {chosen.methods}")
        elif data or made:
            run(part, data or make(part.suite, chosen), chosen)


def make(suite: str, chosen: argparse.Namespace) -> str:
    """File of a made benchmark; written unless it is there."""
    from kgedit.editor import Editor
    from kgedit.evaluate.made.files import make_recalled_benchmark
    from kgedit.evaluate.made.mined import fact_pool, mine

    folder = chosen.out / "made"
    file = folder / f"{suite}-test.json"
    if not file.is_file():
        editor = Editor.from_pretrained(chosen.model, method=None, progress=tell)
        mined = mine(
            fact_pool(editor), editor.model, editor.tokenizer, most=chosen.facts, seed=chosen.seed, progress=tell
        )
        make_recalled_benchmark(suite, folder, mined, model=chosen.model, seed=chosen.seed)
    return str(file)


def run(part: Part, data: str, chosen: argparse.Namespace) -> None:
    """One benchmark into its folder."""
    from kgedit.evaluate import EvaluationSettings, evaluate

    limits = [limit for limit in (part.limit, chosen.limit) if limit is not None]
    settings = EvaluationSettings(
        suite=part.suite,
        data=data,
        model=chosen.model,
        methods=chosen.methods,
        limit=min(limits, default=None),
        recalled_only=part.recalled_only,
        anyway=part.anyway,
        protocol="free",
        moments=chosen.moments or "auto",
        seed=chosen.seed,
    )
    found = evaluate(settings, out=chosen.out / part.name, progress=tell)
    print(f"{part.name}: {found.report.headline}")
    for note in found.notes:
        print(f"  {note}")


def tell(what: str, done: int, total: int) -> None:
    """Progress on one line of stderr."""
    print(f"\r{what}: {done} of {total}        ", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
