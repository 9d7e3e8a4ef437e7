"""Runs an evaluation from file to report: edits, scores and reverts each case; every row is on disk at once.

load --> cases --> unedited answers --> per method: edit, score, revert --> report
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from kgedit.errors import EvaluationError
from kgedit.evaluate.report.cases import FILE, cases_page, seconds_per_case
from kgedit.evaluate.report.files import write_report
from kgedit.evaluate.report.headline import LEAST_KNOWN
from kgedit.evaluate.report.model import SuiteReport, build_report
from kgedit.evaluate.results import PASTED, RECALLED, UNEDITED, LeftOut, at_length
from kgedit.evaluate.run.case_runner import AT_END, CaseRunner
from kgedit.evaluate.run.folder import in_order, open_folder
from kgedit.evaluate.run.prepared import open_method, prepare
from kgedit.evaluate.run.rehearsal import Rehearsal
from kgedit.evaluate.run.settings import EvaluationSettings
from kgedit.evaluate.run.shared import check_shareable, shared
from kgedit.io.atomic_files import write_files
from kgedit.lm.second_moment.find import MayCollect
from kgedit.progress import Progress
from kgedit.workers.pool import WorkerPlan


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
    settings: EvaluationSettings,
    *,
    out: Path | None = None,
    progress: Progress | None = None,
    workers: WorkerPlan | None = None,
    may_collect: MayCollect | None = None,
) -> EvaluationResult:
    """Edit and score every case of a benchmark file under several methods.

    A run that was stopped resumes in the same folder and ends with the same report.

    Args:
        settings: What is evaluated.
        out: Folder of the run; without one nothing is kept, and nothing can be resumed.
        progress: Called with (what, done, total).
        workers: Workers among which the cases are shared out; the results are those of this process alone.
        may_collect: Asked, with the model's name and the layers, where second moments were never collected; if it says
            so, they are collected from the facts of the graph, and kept.

    Raises:
        EvaluationError: The settings do not fit together, or not to the data.
        WorkerFailed: See `workers`.
        OtherRun: The folder holds a run with other settings.
        DataError: The data cannot be read.
        NotReverted: A weight differs after an edit was reverted.
    """
    if workers is not None:
        check_shareable(settings)
    prepared = prepare(settings, progress, may_collect)
    manifest, cases, notes = prepared.manifest, prepared.cases, prepared.notes
    ids = [case.id for case in cases]
    with (
        _folder(out) as path,
        open_folder(path, manifest.model_dump(mode="json"), ids) as folder,
        ExitStack() as stack,
    ):
        for item in prepared.left_out:
            folder.leave_out(item)
        runner = CaseRunner(settings, folder, cases, manifest, progress)
        runner.report = partial(_result, runner, settings, notes)
        share = None
        if workers is not None:
            check_shareable(settings, prepared)
            share = stack.enter_context(shared(runner, manifest.model_dump(mode="json"), workers))
            share.ask_unedited()
        # The unedited model first, since its answers decide what counts as unchanged; then each method by itself.
        runner.ask_unedited(prepared.editor)
        if prepared.configs and not settings.anyway:
            _check_recalled(runner)
        pasted = [PASTED] if PASTED in manifest.methods else []
        if share is not None:
            prepared.editor.moments.of(prepared.moment_layers)  # collected once, here, where they are missing
            share.run([*pasted, *prepared.configs])
            return _result(runner, settings, notes)
        if pasted:
            runner.ask_pasted(prepared.editor)
        configs, rehearsal = prepared.configs, Rehearsal(settings, cases)
        del prepared  # each method gets a model freshly loaded from disk, and there is never more than one
        for label, config in configs.items():
            if runner.labels:  # what is finished is reported, should the run be stopped in the next method
                _result(runner, settings, notes)
            runner.run_method(label, partial(open_method, settings, label, config, rehearsal, progress))
        return _result(runner, settings, notes)


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
