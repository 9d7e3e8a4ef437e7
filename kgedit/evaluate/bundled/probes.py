"""Scores of one case: exact greedy answers of the model as it is now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.lm.scoring.exact_answers import exact_answers
from kgedit.mini.cases import MEASURES, MiniCase

Scores = Mapping[str, tuple[bool, ...]]


def score_case(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, case: MiniCase) -> Scores:
    """Measure -> one verdict per probe: exact greedy match of the whole object name; all in shared batches."""
    names = [name for name, pairs in case.probes.items() for _ in pairs]
    verdicts = exact_answers(model, tokenizer, [pair for pairs in case.probes.values() for pair in pairs])
    return {
        name: tuple(verdict for owner, verdict in zip(names, verdicts, strict=True) if owner == name)
        for name in case.probes
    }


def shares(scored: Sequence[Scores]) -> dict[str, float]:
    """Measure -> mean over cases of the share of right answers; cases without probes of a measure do not count."""
    means_by_measure = {}
    for measure in MEASURES:
        means = [fmean(scores[measure]) for scores in scored if scores[measure]]
        means_by_measure[measure] = fmean(means) if means else 0.0
    return means_by_measure
