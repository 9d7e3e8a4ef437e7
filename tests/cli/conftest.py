"""Running the command line in this process, and a tiny model in a folder for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kgedit.cli import main

Run = Callable[..., Any]
EDIT = ("edit", "--method", "rome", "--subject", "Albert Einstein", "--relation", "P27", "--target", "France")


@pytest.fixture(autouse=True, scope="module")
def _few() -> Iterator[None]:
    """How many facts are asked of a model that recalls few, and how many at the end of a run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kgedit.ingest.decide.recall_walk.MOST", 64)
        patch.setattr("kgedit.ingest.final_measure.UNRELATED", 20)
        yield


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command that succeeds, and returns what it printed; parsed if `--json` is among its words."""

    def running(*words: str) -> Any:
        with pytest.raises(SystemExit) as ended:
            main([*words])
        written = capsys.readouterr()
        assert ended.value.code == 0, written.err
        return json.loads(written.out) if "--json" in words else written.out

    return running


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command that is refused in the one way there is, and returns its line."""

    def refusing(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main([*words])
        written = capsys.readouterr()
        assert ended.value.code == 2, written
        assert written.out == ""
        assert written.err.count("\n") == 1, written.err
        assert written.err.startswith("kgedit: ")
        return written.err

    return refusing


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a tiny random model."""
    return _saved(tmp_path_factory.mktemp("tiny"), seed=0)


@pytest.fixture(scope="session")
def delta(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A delta that the command line saved."""
    out = tmp_path_factory.mktemp("delta") / "out"
    with pytest.raises(SystemExit) as ended:
        main([*EDIT, "--model", tiny, "--out", str(out), "--adapter"])
    assert ended.value.code == 0
    return out


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Another model of the same shape."""
    return _saved(tmp_path_factory.mktemp("other"), seed=1)


def _saved(folder: Path, seed: int) -> str:
    from families import tiny_model

    model, tokenizer = tiny_model("gpt2", seed=seed)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
