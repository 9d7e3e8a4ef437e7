"""Tables of the literature: our figures in the published settings, with the published ones beside them.

.venv/bin/python examples/paper_tables.py --table 1 --model gpt2-xl --data counterfact.json counterfact_plus.json
.venv/bin/python examples/paper_tables.py --table sequential --model mini --data counterfact-test.json --limit 50
.venv/bin/python examples/paper_tables.py --table 6 --model mini --data mquake-test.json --limit 100 --out results

Tables 1, 2 and 6 are GLAME's: methods on CounterFact, the ablations, multi-hop questions of MQuAKE. "rome" is zsRE
(Meng et al., 2022), "batch" many edits of CounterFact in one computation (MEMIT, MEMoE), "sequential" batches of them
one on top of the other (AlphaEdit); these two make 100 edits unless --limit says how many. Tables 1 and 2 take
portability from the first file if it has it, else from a second one (CounterFactPlus); each benchmark has its own
published settings of GLAME. `kgedit eval make` writes files for mini. A run that was stopped continues if --out is
given. Without --data the published table is shown alone.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from kgedit.evaluate import EvaluationSettings, SuiteReport, beside_published, evaluate, published_table


def main() -> None:
    """Runs the example."""
    parser = argparse.ArgumentParser(description="Tables of the literature, with our figures.")
    parser.add_argument(
        "--table",
        choices=("1", "2", "6", "rome", "batch", "sequential"),
        default="1",
        help="number in GLAME's paper, or name",
    )
    parser.add_argument("--model", default="gpt2-xl", help="gpt2-xl, EleutherAI/gpt-j-6B, mini or another")
    parser.add_argument("--data", nargs="+", default=[], help="benchmark file; a second one for portability")
    parser.add_argument("--limit", type=int, help="only so many records of each file")
    parser.add_argument("--generate", action="store_true", help="portability by sampled texts too, as published; slow")
    parser.add_argument(
        "--baselines",
        choices=("own", "glame"),
        default="own",
        help="ROME's and MEMIT's settings: their papers', GLAME's",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder for rows, reports, manifests and the table")
    chosen = parser.parse_args()
    wanted = published_table(chosen.table)
    if chosen.baselines != "own":
        wanted = wanted.with_baselines_of(chosen.baselines)
    # mini has this project's own setting too; with the published models' presets it is the paper's.
    more = [*wanted.ours, *(["glame"] if chosen.model == "mini" else [])]
    reports: list[SuiteReport] = []
    for number, data in enumerate(chosen.data[:2], start=1):
        settings = EvaluationSettings(
            suite=wanted.suite,
            data=data,
            model=chosen.model,
            methods=",".join([*(wanted.run_as(row, number - 1) for row in wanted.variants), *more]),
            generate=chosen.generate,
            seed=chosen.seed,
            **wanted.run_with(chosen.limit),
        )
        name = f"table{chosen.table}" if len(chosen.data) == 1 else f"table{chosen.table}-{number}"
        print(f"Running {name} on {data} ...", file=sys.stderr)
        reports.append(evaluate(settings, out=chosen.out and chosen.out / name).report)
    text = beside_published(wanted, chosen.model, reports, more=more if reports else (), limit=chosen.limit)
    if chosen.out is not None and reports:
        (chosen.out / f"table{chosen.table}.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
