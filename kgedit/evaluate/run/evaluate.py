"""Runs an evaluation from file to report: edits, scores and reverts each case; every row is on disk at once.

load --> cases --> unedited answers --> per method: edit, score, revert --> report
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from kgedit.editor import Editor
from kgedit.errors import EvaluationError
from kgedit.evaluate.benchmarks.case import BenchmarkCase, Options, Unusable
from kgedit.evaluate.benchmarks.reading import Loaded, load
from kgedit.evaluate.benchmarks.records import Record
from kgedit.evaluate.benchmarks.table import benchmark, benchmarks
from kgedit.evaluate.free.case import FreeForm, free_cases
from kgedit.evaluate.free.graph_facts import GraphFacts
from kgedit.evaluate.report.cases import FILE, cases_page, seconds_per_case
from kgedit.evaluate.report.files import write_report
from kgedit.evaluate.report.headline import LEAST_KNOWN
from kgedit.evaluate.report.model import SuiteReport, build_report
from kgedit.evaluate.results import PASTED, RECALLED, UNEDITED, LeftOut
from kgedit.evaluate.run.case_runner import AT_END, CaseRunner
from kgedit.evaluate.run.folder import in_order, open_folder
from kgedit.evaluate.run.lengths import at_length
from kgedit.evaluate.run.manifest import make_manifest
from kgedit.evaluate.run.settings import EvaluationSettings
from kgedit.io.atomic_files import write_files
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.second_moment.describe import moments_note
from kgedit.lm.second_moment.find import IDENTITY_NOTE, check_layers
from kgedit.methods.base import MethodSettings
from kgedit.methods.before_loading import check_before_loading
from kgedit.methods.registry import method_for, parse_variant
from kgedit.mini import MINI
from kgedit.progress import Progress

MALFORMED = "a record of the file cannot be read"


@dataclass(frozen=True)
class EvaluationResult:
    """Result of `evaluate`.

    Attributes:
        report: The figures.
        left_out: Every case without values, by name.
        notes: What the reader of the report should know beside it.
        seconds: Method -> mean time of a case, its edits included.
    """

    report: SuiteReport
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]
    seconds: dict[str, float] = field(default_factory=dict, compare=False)


def evaluate(
    settings: EvaluationSettings, *, out: Path | None = None, progress: Progress | None = None
) -> EvaluationResult:
    """Edit and score every case of a benchmark file under several methods.

    A run that was stopped resumes in the same folder and ends with the same report.

    Args:
        settings: What is evaluated.
        out: Folder of the run; without one nothing is kept, and nothing can be resumed.
        progress: Called with (what, done, total).

    Raises:
        EvaluationError: The settings do not fit together, or not to the data.
        OtherRun: The folder holds a run with other settings.
        DataError: The data cannot be read.
        NotReverted: A weight differs after an edit was reverted.
    """
    # Records become cases; those from which nothing can be scored are left out by name.
    loaded, options = load(settings.data), settings.options()
    variants = settings.variants
    cases, unusable = _cases(settings, loaded, options)
    notes: tuple[str, ...] = ()
    if variants and not any(case.rewrites for case in cases):
        variants, notes = (), (f"{settings.suite} edits nothing, so only the unedited model is scored",)
    for variant in variants:
        check_before_loading(settings.model, variant, moments=settings.moments)
    # The settings of every method belong to the manifest, so they are chosen before the folder is opened.
    first = _editor(settings, None, progress=progress)
    if settings.protocol == "free":
        facts = GraphFacts(first.graph, first.text)
        cases = free_cases(cases, FreeForm(first.tokenizer, facts, options.match, settings.seed))
    layers = anatomy_of(first.model).n_layers(first.model)
    chosen: dict[str, tuple[Any, tuple[str, ...]]] = {
        variant: method_for(settings.model, variant, layers) for variant in variants
    }
    configs = {variant: method.config for variant, (method, _) in chosen.items()}
    # Missing statistics are said before the first edit.
    wanted = sorted({layer for method, _ in chosen.values() for layer in method.moment_layers})
    uncollected: Sequence[int] = ()
    if isinstance(settings.moments, Path):
        check_layers(settings.moments, wanted)
    elif uncollected := first.moments.uncollected(wanted):
        notes += (f"layers {uncollected}: {IDENTITY_NOTE}",)
    notes += tuple(dict.fromkeys(note for _, guessed in chosen.values() for note in guessed))
    if wanted and not uncollected:
        notes += (moments_note(settings.moments, bundled_texts=settings.model == MINI),)
    manifest = make_manifest(settings, options, loaded, first, configs, [case.id for case in cases])
    # The unedited model first, since its answers decide what counts as unchanged; then each method by itself.
    ids = [case.id for case in cases]
    with _folder(out) as path, open_folder(path, manifest.model_dump(mode="json"), ids) as folder:
        for item in (*_malformed(loaded), *unusable):
            folder.leave_out(item)
        runner = CaseRunner(settings, folder, cases, manifest, progress)
        runner.ask_unedited(first)
        if variants and not settings.anyway:
            _check_recalled(runner)
        if PASTED in manifest.methods:
            runner.ask_pasted(first)
        del first  # each method gets a model freshly loaded from disk, and there is never more than one
        for label, config in configs.items():
            if runner.labels:  # what is finished is reported, should the run be stopped in the next method
                _result(runner, settings, notes)
            runner.run_method(label, partial(_editor, settings, parse_variant(label)[0], config, progress))
        return _result(runner, settings, notes)


def _editor(
    settings: EvaluationSettings,
    method: str | None,
    config: MethodSettings | None = None,
    progress: Progress | None = None,
) -> Editor:
    return Editor.from_pretrained(
        settings.model,
        method=method,
        config=config,
        graph=settings.graph,
        moments=settings.moments,
        seed=settings.seed,
        device=settings.device,
        dtype=settings.dtype,
        revision=settings.revision,
        trust_remote_code=settings.trust_remote_code,
        progress=progress,
    )


def _cases(
    settings: EvaluationSettings, loaded: Loaded, options: Options
) -> tuple[list[BenchmarkCase], list[LeftOut]]:
    case_of = _case_maker(settings.suite, loaded)
    cases: list[BenchmarkCase] = []
    left_out: list[LeftOut] = []
    for record in loaded.records[: settings.limit]:
        if len(cases) == settings.most_cases:
            break
        try:
            cases.append(case_of(record, options))
        except Unusable as error:
            left_out.append(LeftOut(case=str(record.case_id), method=None, reason=str(error), detail=str(error)))
    if not cases:
        raise EvaluationError(f"{settings.data} holds no case that can be scored. {loaded.summary()}")
    if settings.sequence and len(cases) < settings.sequence[-1]:
        raise EvaluationError(
            f"{settings.data} holds {len(cases)} cases that can be scored, but the sequence goes up to "
            f"{settings.sequence[-1]}; take lengths up to {len(cases)}, or a larger file"
        )
    return cases, left_out


def _case_maker(suite: str, loaded: Loaded) -> Callable[[Record, Options], BenchmarkCase]:
    """How the records of a file are scored under a benchmark, if they are in one of its formats."""
    chosen = benchmark(suite)
    taken = {layout.name for layout in chosen.formats}
    if loaded.format not in taken:
        fitting = [row.name for row in benchmarks().values() if loaded.format in {form.name for form in row.formats}]
        raise EvaluationError(
            f"{loaded.source} is in the format {loaded.format}, which is not one of {suite} "
            f"({', '.join(sorted(taken))}); it can be run as {' or '.join(fitting)}"
        )
    return chosen.case_maker()


def _check_recalled(runner: CaseRunner) -> None:
    """Stop before methods run for hours of whose figures none would be shown."""
    rows = (row for (_, method), row in runner.folder.rows.items() if method == UNEDITED)
    asked = [row.values[RECALLED] for row in rows if RECALLED in row.values]
    if not asked or sum(asked) / len(asked) >= LEAST_KNOWN:
        return
    raise EvaluationError(
        f"the unedited model recalls the facts of {round(sum(asked))} of {len(asked)} cases; what it does not know "
        "cannot be edited or followed, so the figures of all methods would mean little; go on with --anyway, or take "
        "the cases that it recalls (--recalled-only), more cases, or another model"
    )


def _malformed(loaded: Loaded) -> Iterator[LeftOut]:
    for item in loaded.skipped:
        yield LeftOut(case=f"{item.source}#{item.index}", method=None, reason=MALFORMED, detail=str(item))


@contextmanager
def _folder(out: Path | None) -> Iterator[Path]:
    if out is not None:
        yield out
        return
    with tempfile.TemporaryDirectory(prefix="kgedit-eval-") as made:
        yield Path(made)


def _result(runner: CaseRunner, settings: EvaluationSettings, notes: tuple[str, ...]) -> EvaluationResult:
    """The report over all rows of the folder, written beside them."""
    folder, manifest = runner.folder, runner.folder.manifest
    # Methods of earlier commands in this folder as well, with their scores at the end of a sequence of edits.
    ends = ("", AT_END, *(at_length("", length) for length in settings.sequence))
    stages = [label + end for label in manifest["methods"] for end in ends]
    scored = {method for _, method in folder.rows} | {method for _, method in folder.left_out} | {UNEDITED}
    names = [label for label in stages if label in scored or label in runner.labels]
    rows = in_order(folder.rows, [case.id for case in runner.cases], names)
    order = {case.id: place for place, case in enumerate(runner.cases)}
    left_out = sorted(
        folder.left_out.values(),
        key=lambda item: (
            order.get(item.case, -1),
            item.case,
            -1 if item.method is None else names.index(item.method),
        ),
    )
    if runner.cut:
        notes += (f"{runner.cut} prompts are longer than the model's context; their beginning was cut off",)
    counted = Counter(f"{item.method}: {item.reason}" if item.method else item.reason for item in left_out)
    report = build_report(
        rows,
        suite=settings.suite,
        manifest={
            **manifest,
            "methods": names,
            "prompts_cut": runner.cut,
            **({"anyway": True} if settings.anyway else {}),
        },
        left_out=dict(counted),
        seed=settings.seed,
        texts=in_order(folder.texts, [case.id for case in runner.cases], names),
        notes=notes,
        lengths=[
            row
            for label in manifest["methods"]
            for length in settings.sequence
            if (row := folder.lengths.get((label, length))) is not None
        ],
    )
    write_report(report, folder.path)
    answers = in_order(folder.answers, [case.id for case in runner.cases], names)
    write_files(folder.path, {FILE: cases_page(settings.suite, answers).encode("utf-8", errors="replace")})
    return EvaluationResult(report, tuple(left_out), notes, seconds_per_case(answers))
