"""A run that is shared out gives the files of one process, byte for byte but for seconds."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from kgedit.errors import EvaluationError
from kgedit.evaluate.run import case_runner, shared
from kgedit.evaluate.run.evaluate import evaluate
from kgedit.evaluate.run.folder import ANSWERS, ROWS
from kgedit.evaluate.run.prepared import Prepared, prepare
from kgedit.evaluate.run.settings import EvaluationSettings
from kgedit.workers.pool import NamedTask, WorkerPlan

pytestmark = pytest.mark.timeout(600)
METHODS = "pasted,rome:steps=2"


class Here:
    """Two workers in this process, which take turns; all goes to and fro by pickle."""

    def __init__(self, start: shared.StartCases) -> None:
        start = pickle.loads(pickle.dumps(start))
        self.handlers = [start(), start()]
        self.took: list[str] = []

    def map(self, tasks: Sequence[NamedTask[Any]], *, early: int = 0) -> Iterator[Any]:
        self.early = early
        for number, named in enumerate(tasks):
            self.took.append(named.name)
            yield pickle.loads(pickle.dumps(self.handlers[number % 2](pickle.loads(pickle.dumps(named.task)))))

    def each(self, task: Any) -> list[Any]:
        return [handler(task) for handler in self.handlers]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[Here]:
    made: list[Here] = []

    @contextmanager
    def workers(start: shared.StartCases, plan: WorkerPlan) -> Iterator[Here]:
        made.append(Here(start))
        yield made[-1]

    monkeypatch.setattr(shared, "ray_workers", workers)
    for module in (shared, case_runner):  # two chunks of few cases
        monkeypatch.setattr(module, "CHUNK", 2)
    return made


def settings(data: Path, **changes: Any) -> EvaluationSettings:
    plain = {"suite": "counterfact", "data": str(data), "methods": METHODS, "moments": "identity", "limit": 3}
    return EvaluationSettings(**{**plain, **changes})


def files_of(folder: Path) -> dict[str, bytes]:
    """All files of a run, without the time that its cases took."""
    found = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != ".lock"}
    found[ANSWERS] = re.sub(rb'"seconds":[0-9.e-]+', b'"seconds":0', found[ANSWERS])
    found["cases.html"] = re.sub(rb"[0-9.]+ s\b", b"s", found["cases.html"])
    return found


@pytest.mark.parametrize(
    "mode",
    [
        pytest.param({}, id="alone"),
        pytest.param({"batch_edits": 2, "methods": "rome:steps=2"}, id="together", marks=pytest.mark.long),
    ],
)
def test_the_files_are_those_of_one_process(known_counterfacts, tmp_path, here, mode) -> None:
    chosen = settings(known_counterfacts, **mode)
    alone = evaluate(chosen, out=tmp_path / "alone")
    assert evaluate(chosen, out=tmp_path / "shared", workers=WorkerPlan()) == alone
    assert files_of(tmp_path / "shared") == files_of(tmp_path / "alone")
    # What is there is not computed again.
    lines = (tmp_path / "shared" / ROWS).read_bytes().splitlines(keepends=True)
    (tmp_path / "shared" / ROWS).write_bytes(b"".join(lines[:-1]))
    assert evaluate(chosen, out=tmp_path / "shared", workers=WorkerPlan()) == alone
    assert here[0].early == 0
    assert here[-1].early == 1  # one task for two workers
    (task,) = here[-1].took
    assert re.fullmatch(r"cases? \d+( to \d+)? under rome:steps=2", task)


def test_an_error_names_its_case(known_counterfacts, here, monkeypatch) -> None:
    ask = shared.CaseRunner.take

    def failing(runner: Any, label: str, stage: Any, editor: Any) -> None:
        ask(runner, label, stage, editor)
        if label != "unedited" and runner.at == ("102",):
            raise RuntimeError("no memory")

    monkeypatch.setattr(shared.CaseRunner, "take", failing)
    with pytest.raises(RuntimeError, match="no memory") as raised:
        evaluate(settings(known_counterfacts, methods="rome:steps=2"), workers=WorkerPlan())
    assert raised.value.__notes__ == ["(at case 102)"]


def test_a_machine_with_other_versions_is_refused(known_counterfacts, here, monkeypatch) -> None:
    def elsewhere(chosen: EvaluationSettings) -> Prepared:
        prepared = prepare(chosen)
        versions = prepared.manifest.versions | {"torch": "0.1"}
        prepared.manifest = prepared.manifest.model_copy(update={"versions": versions})
        return prepared

    monkeypatch.setattr(shared, "prepare", elsewhere)
    with pytest.raises(EvaluationError, match=r"would give other numbers: versions.torch was .*, now \"0.1\""):
        evaluate(settings(known_counterfacts), workers=WorkerPlan())


def test_one_sequence_of_edits_is_not_shared_out(known_counterfacts) -> None:
    with pytest.raises(EvaluationError, match="stands on those before it"):
        evaluate(settings(known_counterfacts, sequential=True), workers=WorkerPlan())
    with pytest.raises(EvaluationError, match="goes on from edit to edit"):
        evaluate(settings(known_counterfacts, methods="glame:carry_rgnn=true"), workers=WorkerPlan())


def test_two_workers_of_which_one_is_killed(known_counterfacts, tmp_path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed (the extra `ray`)")
    psutil = pytest.importorskip("psutil")
    chosen, killed = settings(known_counterfacts, methods="rome:steps=2", limit=9), []  # one chunk and a case
    alone = evaluate(chosen, out=tmp_path / "alone")

    def kill_one(what: str, done: int, total: int) -> None:
        if what.startswith("rome") and not killed:
            children = psutil.Process().children(recursive=True)
            killed.append(next(child.pid for child in children if "_Worker" in " ".join(child.cmdline())))
            os.kill(killed[0], signal.SIGKILL)

    plan = WorkerPlan(2, torch.get_num_threads())
    assert evaluate(chosen, out=tmp_path / "shared", progress=kill_one, workers=plan) == alone
    assert killed
    assert files_of(tmp_path / "shared") == files_of(tmp_path / "alone")
    assert len(json.loads((tmp_path / "shared" / "manifest.json").read_text())["methods"]) == 2
