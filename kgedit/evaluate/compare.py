"""Runs of one benchmark side by side: figures, differences, sequences by their lengths, the spread over seeds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev

from pydantic import Field

from kgedit.errors import EvaluationError
from kgedit.evaluate.report.estimates import Comparison, Estimate, Spread
from kgedit.evaluate.report.figures import Figures
from kgedit.evaluate.report.headline import in_words
from kgedit.evaluate.report.marks import END
from kgedit.evaluate.report.model import SuiteReport
from kgedit.evaluate.results import RECALLED, UNEDITED, CaseAnswers, Frozen, LengthRow, Values, at_length
from kgedit.evaluate.run.folder import RunFolder, read_folder

ByCase = dict[str, Values]


class RunComparison(Frozen):
    """Several runs beside each other.

    Attributes:
        report: Their figures, a column "METHOD@RUN" for each method of each run ("METHOD@RUN@LENGTH" in a sequence of
            edits), and the differences of the first run and each other one in the methods that both have, at the last
            length that both have, paired over the cases that both have.
        spread: The figures of runs that differ in their seed only.
        answers: What the cases were asked and answered under each column, case by case; of runs that differ in their
            seed those of the first.
    """

    report: SuiteReport
    spread: tuple[Spread, ...]
    answers: tuple[CaseAnswers, ...] = Field(default=(), exclude=True, repr=False)


def compare_runs(paths: Sequence[Path]) -> RunComparison:
    """Compare finished runs; runs that differ in their seed only are taken together, each case by its mean.

    A run that was made twice with one seed is no second seed: all of these runs stand beside each other.

    Args:
        paths: Folders that `--out` named.

    Raises:
        EvaluationError: There are fewer than two, one is no folder of a run, or their benchmarks differ.
        FileCorrupt: A file in one of them is damaged.
    """
    if len(set(paths)) < 2:
        raise EvaluationError("a comparison needs at least two folders of runs; name what --out named")
    runs = [read_folder(path) for path in dict.fromkeys(paths)]
    suites = {str(run.manifest["suite"]) for run in runs}
    if len(suites) > 1:
        raise EvaluationError(
            f"these runs are of different benchmarks ({', '.join(sorted(suites))}); compare like runs"
        )
    named = {_name(group, paths): group for group in _groups(runs)}
    columns = {
        _column(method, name, group): values
        for name, group in named.items()
        for method, values in _mean(group).items()
    }
    cases = sorted({case for by_case in columns.values() for case in by_case})
    figures = Figures(cases, columns, seed=0)
    comparisons = tuple(
        Comparison.of(metric, one, other, difference)
        for first, *others in [list(named)]
        for name in others
        for ours, theirs in _pairs(named[name][0], named[first][0])
        for one, other in [(_column(ours, name, named[name]), _column(theirs, first, named[first]))]
        for metric, difference in figures.compared(one, other).items()
        if metric != RECALLED
    )
    report = SuiteReport(
        suite=next(iter(suites)),
        cases=len(cases),
        headline=_headline(next(iter(suites)), named, comparisons),
        known=None,
        methods={column: _shown(figures.of(column)) for column in columns},
        comparisons=comparisons,
        left_out={},
        manifest={name: group[0].manifest for name, group in named.items()},
        notes=tuple(_about(name, group) for name, group in named.items()),
        lengths=tuple(row for item in named.items() for row in _lengths(*item)),
    )
    return RunComparison(
        report=report, spread=tuple(row for item in named.items() for row in _spread(*item)), answers=_answers(named)
    )


def _groups(runs: Sequence[RunFolder]) -> list[list[RunFolder]]:
    """Runs that differ in their seed only are one; where two of them have one seed, each stands by itself."""
    alike: dict[str, list[RunFolder]] = {}
    for run in runs:
        same = {**run.manifest, "seed": None}
        alike.setdefault(json.dumps(same, sort_keys=True), []).append(run)
    groups: list[list[RunFolder]] = []
    for found in alike.values():
        together = len({run.manifest["seed"] for run in found}) == len(found)
        groups += [found] if together else [[run] for run in found]
    return groups


def _name(group: Sequence[RunFolder], paths: Sequence[Path]) -> str:
    """The folder's name, or its path where another has the same name."""
    path = group[0].path
    plain = sum(other.name == path.name for other in dict.fromkeys(paths)) == 1
    return path.name if plain else str(path)


def _column(method: str, name: str, group: Sequence[RunFolder]) -> str:
    """The name of a method's column; in a sequence all lengths of one method in one run begin alike: one curve."""
    for label, length in dict.fromkeys(key for run in group for key in run.lengths):
        if method == at_length(label, length):
            return at_length(f"{label}@{name}", length)
    return f"{method}@{name}"


def _lengths(name: str, group: Sequence[RunFolder]) -> list[LengthRow]:
    """The model as a whole at each length, the mean over the runs."""
    found: list[LengthRow] = []
    for label, length in sorted(dict.fromkeys(key for run in group for key in run.lengths), key=lambda key: key[1]):
        rows = [run.lengths[label, length] for run in group if (label, length) in run.lengths]
        able = [row.ability for row in rows if row.ability is not None]
        mean = {
            "method": f"{label}@{name}",
            "seconds": fmean(row.seconds for row in rows),
            "perplexity": fmean(row.perplexity for row in rows),
            "ability": fmean(able) if able else None,
            "growth": _mean_values([row.growth for row in rows]),
            "change": _mean_values([row.change for row in rows]),
        }
        found.append(rows[0].model_copy(update=mean))
    order = group[0].manifest["methods"]
    return sorted(found, key=lambda row: order.index(row.method.removesuffix(f"@{name}")))


def _answers(named: Mapping[str, Sequence[RunFolder]]) -> tuple[CaseAnswers, ...]:
    """Those of cases that every run has first."""
    found = [
        answers.model_copy(update={"method": _column(answers.method, name, group)})
        for name, group in named.items()
        for answers in group[0].answers.values()
    ]
    columns = Counter(answers.case for answers in found)
    return tuple(sorted(found, key=lambda answers: -columns[answers.case]))


def _by_method(run: RunFolder) -> dict[str, ByCase]:
    found: dict[str, ByCase] = {}
    for (case, method), row in run.rows.items():
        found.setdefault(method, {})[case] = row.values
    order = [stage for label in run.manifest["methods"] for stage in _stages(label, run)]
    return {method: found[method] for method in order if method in found}


def _stages(label: str, run: RunFolder) -> list[str]:
    """Under which names a method can have rows: alone, at the end of a sequence, at each length that is finished."""
    lengths = sorted(length for method, length in run.lengths if method == label)
    return [label, f"{label}@{END}", *(at_length(label, length) for length in lengths)]


def _mean(group: Sequence[RunFolder]) -> dict[str, ByCase]:
    """Method -> case -> values, each the mean over the runs that have it."""
    parts = [_by_method(run) for run in group]
    if len(parts) == 1:
        return parts[0]
    return {
        method: {
            case: _mean_values([part[method][case] for part in parts if case in part.get(method, {})])
            for case in dict.fromkeys(case for part in parts for case in part.get(method, {}))
        }
        for method in dict.fromkeys(method for part in parts for method in part)
    }


def _mean_values(found: Sequence[Values]) -> Values:
    names = dict.fromkeys(name for values in found for name in values)
    return {name: fmean(values[name] for values in found if name in values) for name in names}


def _pairs(run: RunFolder, first: RunFolder) -> list[tuple[str, str]]:
    """Methods of both runs that are compared: those of the same name, or else the only editor of each."""
    ours, theirs = _by_method(run), _by_method(first)
    same_model = run.manifest["model"] == first.manifest["model"]
    labels = [[label for label in one.manifest["methods"] if label != UNEDITED] for one in (run, first)]
    shared = [label for label in labels[0] if label in labels[1]]
    twins = [(label, label) for label in ([] if same_model else [UNEDITED]) + shared]
    if not shared and all(len(found) == 1 for found in labels):
        twins.append((labels[0][0], labels[1][0]))
    pairs = []
    for ours_label, theirs_label in twins:
        lengths = [{length for method, length in one.lengths if method == label}
                   for one, label in ((run, ours_label), (first, theirs_label))]  # fmt: skip
        last = sorted(set.intersection(*lengths))[-1:]
        stages = ["", f"@{END}", *(at_length("", length) for length in last)]
        pairs += [(ours_label + stage, theirs_label + stage) for stage in stages]
    return [(our, their) for our, their in pairs if our in ours and their in theirs]


def _shown(estimates: Mapping[str, Estimate]) -> dict[str, Estimate]:
    return {metric: estimate for metric, estimate in estimates.items() if metric != RECALLED}


def _spread(name: str, group: Sequence[RunFolder]) -> list[Spread]:
    if len(group) < 2:
        return []
    of_run = [
        {method: Figures(sorted(by_case), {method: by_case}, seed=0).of(method) for method, by_case in found.items()}
        for found in map(_by_method, group)
    ]
    rows = []
    for method, estimates in of_run[0].items():
        for metric in _shown(estimates):
            have = [place for place, figures in enumerate(of_run) if metric in figures.get(method, {})]
            values = tuple(of_run[place][method][metric].value for place in have)
            seeds = tuple(int(group[place].manifest["seed"]) for place in have)
            deviation = stdev(values) if len(values) > 1 else 0.0
            rows.append(
                Spread(
                    run=name, method=method, metric=metric, seeds=seeds, values=values, mean=fmean(values),
                    deviation=deviation,
                )
            )  # fmt: skip
    return rows


def _about(name: str, group: Sequence[RunFolder]) -> str:
    told = group[0].manifest
    seeds = ", ".join(str(run.manifest["seed"]) for run in group)
    many = f"seeds {seeds}, the means of each case over them" if len(group) > 1 else f"seed {seeds}"
    return f"{name}: model {told['model']['name']}, {told['cases']['number']} cases, {told['mode']}, {many}"


def _headline(suite: str, named: Mapping[str, Sequence[RunFolder]], comparisons: Sequence[Comparison]) -> str:
    if len(named) == 1:
        ((name, group),) = named.items()
        return f"{suite}: {name}, {len(group)} runs that differ in their seed only, taken together"
    telling = [one for one in comparisons if one.separated] or list(comparisons)
    said = [in_words(one) for one in telling[:2]]
    return "; ".join([f"{suite}: {', '.join(named)}", *(said or ["no method and case in common, so no difference"])])
