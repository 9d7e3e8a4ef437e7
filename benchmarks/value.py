"""Steps per second of the optimisation of m*: the package's, a padded full-forward batch, and the plain oracle.

    .venv/bin/python -m benchmarks.value [--json] [--steps 20] [--layer 5] [--vocabulary 50257]

One edit with 21 context templates on a random GPT-2 of 12 layers and width 256, one run each, preparation included.
Time is processor time, so that other work on the machine does not matter.
"batch" is what the published code does: all rows padded into one batch, every layer, every position, whole logits.
"oracle" is benchmarks/oracle.py, one row at a time. The first two lines are the comparison that matters to users.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

from benchmarks.oracle import Found, Plain, rome, rome_sentences
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.hooks import frozen
from kgedit.lm.prefixes import sample_prefixes
from kgedit.methods.engine.batch import EditBatch
from kgedit.methods.engine.objective import Objective, essence_row, target_rows
from kgedit.methods.engine.value import FreeOffset, optimise
from kgedit.mini import mini_folder

SUBJECT, PROMPT, TARGET = "Marie Curie", "{} is a citizen of the country of", "Japan"
KL_WEIGHT = 0.0625


class PaddedBatch(Plain):
    """The oracle's loss with all sentences right-padded into one batch."""

    def loss(self, offset: Tensor) -> Tensor:
        """As `Plain.loss`, without the decay."""
        width = max(len(one.ids) for one in self.sentences)
        ids = torch.tensor([one.ids + [0] * (width - len(one.ids)) for one in self.sentences])
        mask = torch.tensor([[1] * len(one.ids) + [0] * (width - len(one.ids)) for one in self.sentences])
        pivots = F.one_hot(torch.tensor([one.pivot for one in self.sentences]), width)  # (rows, width)
        handle = self.modules[0].register_forward_hook(
            lambda module, args, out: out + pivots.unsqueeze(-1) * offset[0]
        )
        try:
            scores = self.model(input_ids=ids, attention_mask=mask).logits.log_softmax(dim=-1)
        finally:
            handle.remove()
        total = offset.new_zeros(())
        for row, one in enumerate(self.sentences):
            if one.only_pivot:
                after, before = scores[row, one.pivot], self.before[row][one.pivot]
                total = total + one.weight * (after.exp() * (after - before)).sum()
            else:
                places = range(one.start, len(one.ids))
                total = total - one.weight * sum(scores[row, i - 1, one.ids[i]] for i in places) / len(places)
        return total


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="Times the optimisation of m*.")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--steps", type=int, default=20, help="evaluations of the loss")
    parser.add_argument("--layer", type=int, default=5, help="edit layer, of 12")
    parser.add_argument("--vocabulary", type=int, default=50257, help="size of the vocabulary (GPT-2's)")
    chosen = parser.parse_args()
    shape = {"n_embd": 256, "n_inner": 1024, "n_layer": 12, "n_head": 8, "vocab_size": chosen.vocabulary}
    torch.manual_seed(0)
    model, tok = GPT2LMHeadModel(GPT2Config(**shape)).eval(), AutoTokenizer.from_pretrained(mini_folder())
    prefixes = sample_prefixes(model, tok)
    sentences = rome_sentences(tok, PROMPT, SUBJECT, TARGET, prefixes, KL_WEIGHT)
    settings = {"steps": chosen.steps, "stop_loss": 0.0}

    def fast() -> Found:
        rows = (*target_rows(tok, PROMPT, SUBJECT, TARGET, prefixes), essence_row(tok, SUBJECT, KL_WEIGHT))
        batch = EditBatch(model, anatomy_of(model), [Objective(rows)], (chosen.layer,))
        base = batch.values[chosen.layer][:1]
        (found,) = optimise(batch, [FreeOffset(base, learning_rate=0.5, weight_decay=0.5, clamp=4.0)], **settings)
        return Found(found.offset, found.losses)

    with frozen(model):
        fast_seconds, ours = timed(fast)
        batch_seconds, published = timed(lambda: rome(PaddedBatch(model, [chosen.layer], sentences), **settings))
        plain_seconds, plain = timed(lambda: rome(Plain(model, [chosen.layer], sentences), **settings))
    report = {
        "templates": len(prefixes),
        "rows": len(sentences),
        "longest_row_tokens": max(len(one.ids) for one in sentences),
        "steps": chosen.steps,
        "layer": chosen.layer,
        "vocabulary": chosen.vocabulary,
        "threads": torch.get_num_threads(),
        "steps_per_second": {
            "fast": round(chosen.steps / fast_seconds, 2),
            "batch": round(chosen.steps / batch_seconds, 2),
            "oracle": round(chosen.steps / plain_seconds, 2),
        },
        "fast_over_batch": round(batch_seconds / fast_seconds, 2),
        "fast_over_oracle": round(plain_seconds / fast_seconds, 2),
        "relative_difference_of_m_star": {
            "fast": float((ours.offset - plain.offset).norm() / plain.offset.norm()),
            "batch": float((published.offset - plain.offset).norm() / plain.offset.norm()),
        },
    }
    if chosen.json:
        print(json.dumps(report))
        return
    for name, value in report["steps_per_second"].items():
        print(f"{name:>7}: {value:8.2f} steps per second")
    print(f"fast / batch {report['fast_over_batch']}, fast / oracle {report['fast_over_oracle']}")


def timed(work: Callable[[], Found]) -> tuple[float, Found]:
    """Seconds of processor time, over all threads, and result of one run."""
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


if __name__ == "__main__":
    main()
