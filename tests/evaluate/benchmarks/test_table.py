"""The table of benchmarks: every row can be run, and rows of plugins stand beside the built-in ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kgedit.errors import EvaluationError, PluginError
from kgedit.evaluate.benchmarks.table import BUILT_IN, Benchmark, benchmark, benchmarks

PLUGIN = """
from kgedit.evaluate import Benchmark, Format

CAPITALS = Benchmark(
    name="capitals",
    help="Capitals of countries.",
    formats=(Format("capitals", {"country": str, "capital": str}, "kgedit_capitals:read"),),
    case="kgedit_capitals:case",
)
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts a distribution with one entry point of the group on the path."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path(__file__).parents[3]}")
    (tmp_path / "kgedit_capitals.py").write_text(PLUGIN)

    def _install(entry: str) -> None:
        folder = tmp_path / "kgedit_capitals-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: kgedit-capitals\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[kgedit.benchmarks]\n{entry}\n")

    yield _install
    sys.modules.pop("kgedit_capitals", None)


@pytest.mark.parametrize("row", BUILT_IN, ids=lambda row: row.name)
def test_every_row_names_functions_that_are_there_and_has_tests(row: Benchmark) -> None:
    assert callable(row.case_maker())
    assert all(callable(layout.reader()) for layout in row.formats)
    folder = row.case.split(".")[3]
    assert list((Path(__file__).parent / folder).glob("test_*.py")), f"no tests of {row.name}"


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(
        EvaluationError, match="no benchmark 'mquak'; did you mean 'mquake'. there are: counterfact, .*mquake"
    ):
        benchmark("mquak")


def test_a_plugin_adds_a_command_of_its_own(install) -> None:
    install("capitals = kgedit_capitals:CAPITALS")
    assert list(benchmarks())[-1] == "capitals"
    shown = subprocess.run(
        [sys.executable, "-m", "kgedit", "eval", "--help"], capture_output=True, text=True, check=True
    )
    assert "capitals         Capitals of countries." in shown.stdout
    command = subprocess.run(
        [sys.executable, "-m", "kgedit", "eval", "capitals", "--help"], capture_output=True, text=True, check=True
    )
    assert "--methods" in command.stdout


@pytest.mark.parametrize("entry", ["cities = kgedit_capitals:CAPITALS", "capitals = kgedit_capitals:PLUGIN"])
def test_a_plugin_that_is_no_benchmark_of_its_name_is_refused_by_name(install, entry: str) -> None:
    (name, _, place) = entry.partition(" = ")
    install(entry)
    if place.endswith("PLUGIN"):
        Path(sys.path[0], "kgedit_capitals.py").write_text("PLUGIN = 3\n")
    with pytest.raises(PluginError, match=rf"'{name}' of kgedit.benchmarks names '{place}'"):
        benchmarks()
    helped = subprocess.run([sys.executable, "-m", "kgedit", "--help"], capture_output=True, text=True, check=False)
    assert helped.returncode == 0
