"""The figures of each score: rank correlation with what retraining did, and whether the planted group comes first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from kgedit.evaluate.report.bootstrap import interval


def figures(
    predicted: Mapping[str, np.ndarray], effects: np.ndarray, groups: Sequence[str], own: Sequence[str]
) -> dict[str, dict[str, dict[str, float]]]:
    """Score -> figure -> mean over questions with its interval.

    Args:
        predicted: Score -> (questions, groups) sums over the sentences of a group.
        effects: (questions, groups) what the answer's log-probability lost without the group.
        groups: Their names.
        own: Of each question, the group that states its fact.
    """
    places = [groups.index(name) for name in own]
    found = {}
    for name, sums in predicted.items():
        values: dict[str, list[float]] = {"all groups": [], "other groups": [], "own group first": []}
        for question, place in enumerate(places):
            others = np.delete(np.arange(len(groups)), place)
            values["all groups"].append(_correlation(sums[question], effects[question]))
            values["other groups"].append(_correlation(sums[question, others], effects[question, others]))
            values["own group first"].append(float(sums[question].argmax() == place))
        found[name] = {figure: _estimated(numbers) for figure, numbers in values.items()}
    return found


def _correlation(predicted: np.ndarray, effects: np.ndarray) -> float:
    """Spearman's rank correlation; 0 for a score that tells no two groups apart."""
    if np.ptp(predicted) == 0 or np.ptp(effects) == 0:
        return 0.0
    return float(spearmanr(predicted, effects).statistic)


def _estimated(numbers: Sequence[float]) -> dict[str, float]:
    estimate = interval(np.array(numbers)[:, None])
    assert estimate is not None
    return {"mean": estimate.value, "low": estimate.low, "high": estimate.high}


def markdown(report: Mapping[str, Any]) -> str:
    """The report as a page."""
    training, chances = report["training"], report["probability of the answers"]
    lines = [
        "# Attribution against retraining",
        "",
        f"    {report['command']}",
        "",
        f"{report['facts']} planted facts in {report['sentences']} sentences of {report['groups']} groups; the "
        f"bundled model, {training['epochs']} passes of {training['optimizer']} at {training['rate']:g}, seed "
        f"{training['seed']}. The answers' probability (geometric mean of their tokens) rises from "
        f"{100 * chances['before']:.1f} % to {100 * chances['after']:.1f} %. Second MLP matrices of blocks "
        f"{', '.join(map(str, report['layers']))}.",
        "",
        "Spearman's rank correlation, over groups, between the sum of a score over a group and what the answer's "
        "log-probability loses when the model is trained without the group; mean over the questions, with its 95 % "
        "bootstrap interval. *Other groups*: the group that states the fact itself is left out.",
        "",
        "| score | all groups | other groups | own group first |",
        "|---|---|---|---|",
    ]
    order = sorted(report["figures"].items(), key=lambda item: -item[1]["all groups"]["mean"])
    for name, row in order:
        cells = [
            f"{row[figure]['mean']:.2f} [{row[figure]['low']:+.2f}, {row[figure]['high']:+.2f}]"
            for figure in ("all groups", "other groups")
        ]
        lines.append(f"| {name} | {' | '.join(cells)} | {100 * row['own group first']['mean']:.0f} % |")
    lines += [
        "",
        f"Conjugate gradients, {report['settings']['iterations']} steps, left "
        f"{report['residual of the conjugate gradients']:.0%} of the equation (mean). The training repeats "
        f"{'bit for bit' if training['repeated bit for bit'] else 'NOT bit for bit'}.",
        "",
    ]
    return "\n".join(lines)
