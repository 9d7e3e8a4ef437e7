"""Modes of a run: the model carries one case's edits, those of several cases at once, or all edits so far."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from kgedit.delta import Delta, hash_weights
from kgedit.editor import Editor
from kgedit.errors import AlreadyApplied, EditError, FileCorrupt, NotReverted
from kgedit.evaluate.benchmarks.case import BenchmarkCase
from kgedit.evaluate.benchmarks.records import Rewrite
from kgedit.graph.subgraph import Subgraph
from kgedit.lm.anatomy import context_length
from kgedit.methods.base import Computed, Request
from kgedit.methods.engine.objective import target_rows

# In the manifest of a delta that is kept: the time that its computation took.
_SECONDS = "seconds"

Edits = list[tuple[Request, Subgraph | None]]


class Stage(NamedTuple):
    """A moment of a run: the model carries edits, and these cases are scored now.

    Attributes:
        cases: Those whose edits came last.
        seconds: Of computing their edits, where they are kept on disk.
    """

    cases: tuple[BenchmarkCase, ...]
    seconds: float = 0.0


class CaseRefused(NamedTuple):
    """A case whose edits cannot be made."""

    case: BenchmarkCase
    error: EditError


def alone(editor: Editor, chunk: Sequence[BenchmarkCase]) -> Iterator[Stage | CaseRefused]:
    """Each case in its turn, with no other edits in the model; the chunk shares the computation.

    Yields:
        A stage per case, which lasts until the next is asked for; or the reason why there is none.

    Raises:
        NotReverted: A weight differs after an edit was reverted.
    """
    ready, refused = _prepared(editor, chunk)
    yield from refused
    for (case, _), computed in zip(ready, _computed(editor, [edits for _, edits in ready]), strict=True):
        if isinstance(computed, EditError):
            yield CaseRefused(case, computed)
            continue
        with _applied(editor, computed.delta):
            yield Stage((case,))


def together(editor: Editor, chunk: Sequence[BenchmarkCase]) -> Iterator[Stage | CaseRefused]:
    """All edits of the chunk at once, computed as if they were one case's.

    Raises:
        NotReverted: A weight differs after the edits were reverted.
    """
    found, cases, refused = _joint(editor, chunk)
    yield from refused
    if found is not None:
        with _applied(editor, found):
            yield Stage(cases)


def on_top(
    editor: Editor, chunk: Sequence[BenchmarkCase], folder: Path, *, stay: bool = True
) -> Iterator[Stage | CaseRefused]:
    """The edits of some cases, computed together, on top of all that the editor carries.

    Args:
        editor: The editor.
        chunk: The cases, without those that were refused before.
        folder: Where their delta is kept, so that a resumed run need not compute it again.
        stay: Leave the edits in the model; otherwise they are reverted when the stage is over.

    Raises:
        NotReverted: A weight differs after the edits were reverted.
    """
    cases = {case.id: case for case in chunk}
    if not _is_stored(folder):
        started = time.perf_counter()
        found, _, refused = _joint(editor, chunk)
        seconds = time.perf_counter() - started
        # The refusals first: with a delta on disk nobody would compute them again.
        for item in refused:
            del cases[item.case.id]
            yield item
        if found is None:
            return
        found.noting(**{_SECONDS: seconds}).save(folder)
    delta = Delta.load(folder)
    stage = Stage(tuple(cases.values()), delta.manifest.get(_SECONDS, 0.0))
    if not stay:
        with _applied(editor, delta):
            yield stage
        return
    try:
        with suppress(AlreadyApplied):  # the same once more changes nothing
            editor.load_delta(folder)
    except EditError as error:  # the edited weights do not fit the model's dtype any more
        yield from (CaseRefused(case, error) for case in stage.cases)
    else:
        yield stage


def prepare(editor: Editor, rewrites: Sequence[Rewrite]) -> Edits:
    """The edits of a case, in the words of its file.

    Raises:
        EditError: A prompt or object does not suit the model's tokenizer or context.
    """
    return [_prepare(editor, rewrite) for rewrite in rewrites]


def _prepare(editor: Editor, rewrite: Rewrite) -> tuple[Request, Subgraph | None]:
    resolver, method = editor.resolver, editor.method
    resolved = resolver.resolve_worded(
        rewrite.edit, subject_id=rewrite.subject_id, target_id=rewrite.target_new_id, look_up=method.uses_graph
    )
    # A prompt that does not fit into the context would stop the others of its batch.
    request = resolved.request
    target = request.target + method.config.ending
    longest = context_length(editor.model)
    target_rows(editor.tokenizer, request.prompt, request.subject, target, ("",), max_length=longest)
    return request, resolver.subgraph(resolved, method.subgraph_options)


def _is_stored(folder: Path) -> bool:
    try:
        Delta.load(folder)
    except FileCorrupt:  # not there, or the run was stopped while it was written
        return False
    return True


def _joint(
    editor: Editor, chunk: Sequence[BenchmarkCase]
) -> tuple[Delta | None, tuple[BenchmarkCase, ...], list[CaseRefused]]:
    """One delta for the edits of as many of the cases as have one together; which these are, and the others."""
    ready, refused = _prepared(editor, chunk)
    while ready:
        (computed,) = _computed(editor, [[edit for _, edits in ready for edit in edits]])
        if not isinstance(computed, EditError):
            return computed.delta, tuple(case for case, _ in ready), refused
        if editor.method.shares_change:  # trained on all of them: each alone would say little, and take long
            refused += [CaseRefused(case, computed) for case, _ in ready]
            break
        results = _computed(editor, [edits for _, edits in ready])
        refused_alone = [number for number, result in enumerate(results) if isinstance(result, EditError)]
        faulty = refused_alone or range(len(ready))  # where each is possible alone, it is their sum that is not
        for number in faulty:
            error = results[number]
            refused.append(CaseRefused(ready[number][0], error if isinstance(error, EditError) else computed))
        ready = [prepared for number, prepared in enumerate(ready) if number not in faulty]
    return None, (), refused


def _prepared(
    editor: Editor, chunk: Sequence[BenchmarkCase]
) -> tuple[list[tuple[BenchmarkCase, Edits]], list[CaseRefused]]:
    ready: list[tuple[BenchmarkCase, Edits]] = []
    refused: list[CaseRefused] = []
    for case in chunk:
        try:
            ready.append((case, prepare(editor, case.rewrites)))
        except EditError as error:
            refused.append(CaseRefused(case, error))
    return ready, refused


def _computed(editor: Editor, cases: Sequence[Edits]) -> list[Computed | EditError]:
    """The delta of each case; where one stops the batch, each is computed by itself."""
    try:
        return list(editor.compute_cases(cases)) if cases else []
    except EditError as error:
        if len(cases) == 1:
            return [error]
    return [result for case in cases for result in _computed(editor, [case])]


@contextmanager
def _applied(editor: Editor, delta: Delta) -> Iterator[None]:
    before = hash_weights(editor.model, delta.names)
    with editor.trial(delta):
        yield
    if hash_weights(editor.model, delta.names) != before:
        raise NotReverted(f"{', '.join(delta.names)} differ after an edit was reverted")
