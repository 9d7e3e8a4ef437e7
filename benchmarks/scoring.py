"""Cases per second of scoring CounterFact records without generation: shared batches against prompt by prompt.

    .venv/bin/python benchmarks/scoring.py [--json] [--cases 100] [--data FILE] [--model mini]

Without --data the records are made from what the bundled model knows (`kgedit eval make`). One run each, tokenisation
included, in processor time, so that other work on the machine does not matter.
"shared" scores all cases together, as the unedited model and batches of edits are scored; "case" the prompts of one
case together, as after each edit; "prompt" runs the model once for every prompt with a target.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.evaluate.benchmarks.case import Options
from kgedit.evaluate.benchmarks.reading import load
from kgedit.evaluate.benchmarks.table import benchmark
from kgedit.evaluate.made.files import make_benchmark
from kgedit.lm.load import load_model
from kgedit.lm.scoring.pairs import Pair, score_pairs
from kgedit.lm.scoring.teacher_forced import TargetScore
from kgedit.lm.tokens import encode_pair
from kgedit.mini import MINI

Scored = dict[Pair, TargetScore]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="Times the scoring of CounterFact records.")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--cases", type=int, default=100, help="number of records")
    parser.add_argument("--data", help="a file of CounterFact; made by default")
    parser.add_argument("--model", default=MINI, help="mini, a folder or a hub id")
    chosen = parser.parse_args()
    model, tokenizer = load_model(chosen.model, dtype=torch.float32)
    cases = pairs_of_cases(chosen.data, chosen.cases)
    every = [pair for case in cases for pair in case]
    one_by_one(model, tokenizer, cases[0])  # so that no run pays for what the first call of all sets up
    shared_seconds, shared = timed(lambda: score_pairs(model, tokenizer, every))
    case_seconds, _ = timed(
        lambda: {pair: score for case in cases for pair, score in score_pairs(model, tokenizer, case).items()}
    )
    prompt_seconds, plain = timed(lambda: one_by_one(model, tokenizer, every))
    report = {
        "model": chosen.model,
        "cases": len(cases),
        "prompts_with_target": len(every),
        "threads": torch.get_num_threads(),
        "cases_per_second": {
            "shared": round(len(cases) / shared_seconds, 1),
            "case": round(len(cases) / case_seconds, 1),
            "prompt": round(len(cases) / prompt_seconds, 1),
        },
        "shared_over_prompt": round(prompt_seconds / shared_seconds, 2),
        "case_over_prompt": round(prompt_seconds / case_seconds, 2),
        "largest_difference_of_a_mean_logprob": max(
            abs(shared[pair].mean_logprob - plain[pair].mean_logprob) for pair in plain
        ),
    }
    if chosen.json:
        print(json.dumps(report))
        return
    for name, value in report["cases_per_second"].items():
        print(f"{name:>7}: {value:8.1f} cases per second")
    print(f"shared / prompt {report['shared_over_prompt']}, case / prompt {report['case_over_prompt']}")


def pairs_of_cases(data: str | None, count: int) -> list[list[Pair]]:
    """Prompts with targets, per case."""
    with tempfile.TemporaryDirectory() as folder:
        file = data or make_benchmark("counterfact", Path(folder), sizes={"test": count}).files["test"]
        loaded = load(file)
    case_of = benchmark("counterfact").case_maker()
    return [list(case_of(record, Options()).questions.pairs) for record in loaded.records[:count]]


def one_by_one(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, pairs: Sequence[Pair]) -> Scored:
    """One forward pass over each prompt with its target."""
    found: Scored = {}
    for prompt, target in pairs:
        before, after = encode_pair(tokenizer, prompt, target)
        ids = torch.tensor([[*before, *after]], device=model.device)
        with torch.no_grad():
            logits = model(ids).logits[0, len(before) - 1 : -1]  # (L, vocabulary)
        logprobs = logits.log_softmax(-1)[range(len(after)), list(after)]  # (L,)
        found[prompt, target] = TargetScore(after, tuple(logprobs.tolist()), tuple(logits.argmax(-1).tolist()))
    return found


def timed(work: Callable[[], Scored]) -> tuple[float, Scored]:
    """Seconds of processor time, over all threads, and result of one run."""
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


if __name__ == "__main__":
    main()
