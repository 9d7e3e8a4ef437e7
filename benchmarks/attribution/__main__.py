"""Which attribution predicts what retraining without a text does? The bundled model, planted facts, one core.

    python -m benchmarks.attribution --out results/attribution

The model is trained on invented facts and distracting sentences, then again without each group of sentences; what the
log-probability of each fact's answer loses is the truth. A score predicts it by its sum over the group. Reported is
Spearman's rank correlation over the groups for each question: its mean over questions, with a 95 % bootstrap interval.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.attribution.planted import Planted, planted
from benchmarks.attribution.report import figures, markdown
from benchmarks.attribution.retraining import Retraining, Schedule
from kgedit.attribution import AttributionSettings, attribute
from kgedit.attribution.texts import question_row
from kgedit.cli.progress import working
from kgedit.io.atomic_files import write_files
from kgedit.lm.load import load_model
from kgedit.lm.scoring.teacher_forced import score_rows


def main() -> None:
    """Train, leave out, score, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--facts", type=int, default=24, help="planted facts, two for each person")
    parser.add_argument("--optimizer", choices=("adam", "sgd"), default="adam")
    parser.add_argument("--rate", type=float, default=2e-4)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--curvature-texts", type=int, default=64)
    parser.add_argument("--iterations", type=int, default=5, help="of the conjugate gradients")
    parser.add_argument("--layers", default="", help="blocks that count, e.g. 0,1,2,3,4,5; by default four of the six")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    settings = AttributionSettings(
        layers=tuple(map(int, given.layers.split(","))) if given.layers else None,
        curvature_texts=given.curvature_texts,
        iterations=given.iterations,
        seed=given.seed,
    )
    schedule = Schedule(given.optimizer, given.rate, given.epochs, given.seed)
    corpus = planted(given.facts, given.seed)
    report = {
        "command": " ".join(["python -m benchmarks.attribution", *sys.argv[1:]]),
        "model": "mini",
        "facts": given.facts,
        **measured(corpus, schedule, settings, given.device),
    }
    files = {"report.json": json.dumps(report, indent=1) + "\n", "report.md": markdown(report)}
    write_files(given.out, {name: text.encode() for name, text in files.items()})
    print(files["report.md"])


def measured(corpus: Planted, schedule: Schedule, settings: AttributionSettings, device: str | None) -> dict[str, Any]:
    """What the report says of a corpus: the effects of retraining, and how well each score predicts them.

    Args:
        corpus: Sentences, groups and questions.
        schedule: How the bundled model is trained on them.
        settings: How the sentences are scored.
        device: Torch device; by default a GPU where there is one.
    """
    model, tokenizer = load_model("mini", device=device)
    rows = [question_row(model, tokenizer, question) for question in corpus.questions]
    seconds: dict[str, float] = {}

    def answers() -> np.ndarray:
        return np.array([score.mean_logprob for score in score_rows(model, rows)])

    with working("Training on all sentences") as advance:
        # 1. The whole training, and the scores of its end and of its checkpoints.
        training = Retraining(model, tokenizer, corpus.texts, schedule)
        before, kept = answers(), []
        training.run(kept=kept)
        whole = answers()
        begun = time.monotonic()
        found = attribute(model, tokenizer, corpus.texts, corpus.questions, settings, progress=advance)
        seconds["scores"] = time.monotonic() - begun
        over = AttributionSettings(scores=("tracin",), layers=settings.layers)
        summed = attribute(
            model, tokenizer, corpus.texts, corpus.questions, over,
            checkpoints=training.checkpoints(kept), progress=advance,
        )  # fmt: skip
        # 2. The truth: the training without each group.
        begun = time.monotonic()
        effects = []  # of each group, (questions,)
        for number, numbers in enumerate(corpus.groups.values()):
            advance("training without a group", number, len(corpus.groups))
            training.run(left_out=set(numbers))
            effects.append(whole - answers())
        seconds["retraining"] = time.monotonic() - begun
        # 3. The whole training once more gives the same answers to the last bit.
        training.run()
        repeated = bool((answers() == whole).all())

    lost = np.stack(effects, axis=1)  # (questions, groups)
    scores = {name: np.array([one.scores[name] for one in found]) for name in settings.scores}
    scores["tracin over checkpoints"] = np.array([one.scores["tracin"] for one in summed])
    return {
        "sentences": len(corpus.texts),
        "groups": len(corpus.groups),
        "training": vars(schedule) | {"repeated bit for bit": repeated},
        "settings": settings.model_dump(mode="json"),
        "layers": found[0].layers,
        "residual of the conjugate gradients": float(np.mean([one.residual for one in found])),
        "probability of the answers": {"before": float(np.exp(before).mean()), "after": float(np.exp(whole).mean())},
        "seconds": {name: round(value) for name, value in seconds.items()},
        "figures": figures(group_sums(scores, corpus), lost, list(corpus.groups), corpus.own),
        "effects": lost.round(5).tolist(),
        "group names": list(corpus.groups),
        "questions": [{"prompt": q.prompt, "answer": q.answer, "group": own}
                      for q, own in zip(corpus.questions, corpus.own, strict=True)],
    }  # fmt: skip


def group_sums(scores: Mapping[str, np.ndarray], corpus: Planted) -> dict[str, np.ndarray]:
    """Score -> (questions, groups) its sum over the sentences of each group, given those of all (questions, texts)."""
    return {
        name: np.stack([score[:, list(numbers)].sum(1) for numbers in corpus.groups.values()], axis=1)
        for name, score in scores.items()
    }


if __name__ == "__main__":
    main()
