"""The scripts of benchmarks/ find everything that they import; `benchmarks.bench` compares before it times."""

from __future__ import annotations

import importlib.util
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.attribution.planted import planted
from benchmarks.attribution.report import figures
from benchmarks.bench.__main__ import ROWS
from benchmarks.bench.floor import Product, beginnings, block, optimisation
from benchmarks.bench.rows import Options, Row, measured
from benchmarks.bench.shapes import PLANS
from benchmarks.bench.table import table
from families import D_FF, D, tiny_model
from kgedit.lm.anatomy import anatomy_of
from kgedit.methods.engine.objective import Objective, ObjectiveRow

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.mark.parametrize("script", sorted(BENCHMARKS.glob("*.py")), ids=lambda path: path.name)
def test_a_script_can_be_imported(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location(f"benchmark_{script.stem}", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    assert module.__doc__


@pytest.fixture
def shape() -> SimpleNamespace:
    """What a row needs of a shape."""
    model, _ = tiny_model("gpt2")
    return SimpleNamespace(model=model, anatomy=anatomy_of(model), tolerance=1e-4, in_float32=nullcontext)


def row(difference: float) -> Row:
    return Row(lambda: None, lambda: None, lambda: difference, [Product(4, 4, 4)], units=2)


def test_results_that_differ_are_never_timed(shape) -> None:
    with pytest.raises(ArithmeticError, match="differ by 0.001"):
        measured(row(1e-3), shape, Options(seconds=0))
    with pytest.raises(ArithmeticError, match="nan"):
        measured(row(float("nan")), shape, Options(seconds=0))


def test_a_row_has_all_that_the_table_shows(shape) -> None:
    found = measured(row(1e-6), shape, Options(seconds=0))
    assert found["floor_operations"] == 2 * 4**3 / 2
    line = table({"rows": [{"row": "rome", "shape": "tiny", **found}], "alone": []}).splitlines()[1]
    assert line.split()[:2] == ["rome", "tiny"]
    alone = [
        {"row": "peak", "peak_bytes": 2**21, "held_bytes": 2**20, "ratio": 2.0},
        {"row": "ray", "skipped": "absent"},
    ]
    peak, skipped = table({"rows": [], "alone": alone}).splitlines()[1:]
    assert (peak.split(), skipped.split()) == (["peak", "2", "2", "1"], ["ray", "absent"])
    assert all(name in PLANS for _, names in ROWS.values() for name in names)


def test_the_floor_counts_each_token_once(shape) -> None:
    """Two sentences of which the first two tokens are the same; two tokens from the written one on, one scored."""
    assert beginnings([(1, 2, 3), (1, 2, 4), (1, 2, 3)]) == 4
    per_block = [(D, 3 * D), (D, D), (D, D_FF), (D_FF, D)]
    assert [(one.inner, one.columns) for one in block(shape, 0, 5)] == per_block
    rows = tuple(ObjectiveRow((1, 2, last, 5), 2, (3,), (7,), "target", 0.5) for last in (3, 4))
    found = sum(one.operations for one in optimisation(shape, [Objective(rows)], 0, steps=3))
    weights = sum(inner * columns for inner, columns in per_block)
    mlp = 2 * D * D_FF
    vocabulary = len(shape.model.get_output_embeddings().weight)
    before, below, steps = 3 * 2 * weights, 4 * weights, 5 * (4 * weights + 4 * (weights - mlp) + 2 * mlp)
    assert found == 2 * (before + below + steps + 5 * 2 * D * vocabulary)


def test_no_sentence_that_is_planted_asks_a_question_and_people_are_invented() -> None:
    corpus = planted(24, 0)
    assert corpus == planted(24, 0) != planted(24, 1)
    assert len(corpus.questions) == 24
    assert sorted(number for group in corpus.groups.values() for number in group) == list(range(len(corpus.texts)))
    for question, own in zip(corpus.questions, corpus.own, strict=True):
        stated = [corpus.texts[number] for number in corpus.groups[own]]
        assert len({*stated}) == 3
        assert all(text.endswith(f" {question.answer}.") for text in stated)
        assert not any(text.startswith(question.prompt) for text in corpus.texts)


def test_a_score_is_judged_by_the_ranks_of_what_retraining_did() -> None:
    effects = np.array([[3.0, 1.0, 2.0, 0.5]] * 6)
    predicted = {
        "right": effects**3,
        "reversed": -effects,
        "flat": np.zeros((6, 4)),
        "own alone": effects * [1, -1, -1, -1],
    }
    found = figures(predicted, effects, ["a", "b", "c", "d"], ["a"] * 6)
    assert found["right"]["all groups"]["mean"] == found["right"]["other groups"]["mean"] == 1.0
    assert found["reversed"]["all groups"] == {"mean": -1.0, "low": -1.0, "high": -1.0}
    assert found["flat"]["all groups"]["mean"] == 0.0
    assert found["own alone"]["own group first"]["mean"] == 1.0
    assert found["own alone"]["other groups"]["mean"] == -1.0
