"""A benchmark that workers help to make is byte for byte that of one process."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from kgedit.editor import Editor
from kgedit.evaluate.made import asking, recall
from kgedit.evaluate.made.asking import Ask, AskingWorkers, StartAsking, asking_workers, in_pieces
from kgedit.evaluate.made.files import make_benchmark
from kgedit.evaluate.made.mined import fact_pool, mine
from kgedit.workers.pool import WorkerPlan

pytestmark = pytest.mark.timeout(600)
QUESTIONS = [
    ("Albert Einstein is a citizen of", "United States of America"),
    ("Albert Einstein is a citizen of", "Ghana"),
    ("", "Ghana"),  # no prompt
    ("Paris is the capital of", "France"),
]


class Here:
    """Two workers in this process, which take turns; all goes to and fro by pickle."""

    def __init__(self, start: StartAsking) -> None:
        start = pickle.loads(pickle.dumps(start))
        self.handlers, self.took = [start(), start()], 0

    def map(self, tasks: list[Any]) -> Iterator[Any]:
        for named in tasks:
            self.took += 1
            yield self.handlers[self.took % 2](pickle.loads(pickle.dumps(named.task)))


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[Here]:
    made: list[Here] = []

    @contextmanager
    def workers(start: StartAsking, plan: WorkerPlan) -> Iterator[Here]:
        made.append(Here(start))
        yield made[-1]

    monkeypatch.setattr(asking, "ray_workers", workers)
    return made


def test_pieces_keep_their_order_and_say_how_many_were_put() -> None:
    asked: list[list[str]] = []

    def ask(piece) -> list[bool]:
        asked.append([prompt for prompt, _ in piece])
        return [prompt == "b" for prompt, _ in piece]

    questions = [(prompt, "x") for prompt in "abcde"]
    assert list(in_pieces(questions, 2, ask)) == [(2, [False, True]), (4, [False, False]), (5, [False])]
    assert asked == [["a", "b"], ["c", "d"], ["e"]]
    assert list(in_pieces([], 2, ask)) == []


def test_a_file_about_the_bundled_model_has_the_same_bytes(tmp_path: Path, here, monkeypatch) -> None:
    monkeypatch.setattr(recall, "CHUNK", 40)
    sizes = {"dev": 2, "test": 4}
    alone = make_benchmark("counterfact", tmp_path / "alone", seed=3, sizes=sizes)
    shared = make_benchmark("counterfact", tmp_path / "shared", seed=3, sizes=sizes, plan=WorkerPlan())
    assert here[0].took > 2
    for part, path in alone.files.items():
        assert Path(shared.files[part]).read_bytes() == Path(path).read_bytes()


def test_a_walk_over_the_graph_finds_the_same(here, monkeypatch, tmp_path: Path) -> None:
    editor, found = Editor.from_pretrained("mini", method=None), []
    for plan in (None, WorkerPlan()):
        # Nothing is kept from one to the other.
        monkeypatch.setenv("KGEDIT_CACHE_DIR", str(tmp_path / str(plan is None)))
        with asking_workers(StartAsking("mini"), plan) as workers:
            found.append(mine(fact_pool(editor), editor.model, editor.tokenizer, most=64, seed=2, workers=workers))
    assert found[0] == found[1]
    assert found[0].wordings
    assert here[0].took > 2


@dataclass(frozen=True)
class DyingOnce:
    """Asks the bundled model; the first worker dies in the middle."""

    folder: Path

    def __call__(self) -> Ask:
        ask, died = StartAsking("mini")(), self.folder / "died"

        def answers(piece) -> list[bool]:
            if piece[0] == QUESTIONS[2] and not died.exists():
                died.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return ask(piece)

        return answers


def test_ray_does_a_lost_workers_piece_again(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed (the extra `ray`)")
    alone = [verdict for _, piece in in_pieces(QUESTIONS, 1, StartAsking("mini")()) for verdict in piece]
    assert alone == [True, False, False, False]
    with asking_workers(DyingOnce(tmp_path), WorkerPlan(2, torch.get_num_threads())) as workers:
        assert isinstance(workers, AskingWorkers)
        pieces = list(in_pieces(QUESTIONS, 1, lambda piece: pytest.fail("asked here"), workers))
    assert (tmp_path / "died").exists()
    assert [verdict for _, piece in pieces for verdict in piece] == alone
