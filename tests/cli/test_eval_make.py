"""`kgedit eval make`: what it writes and prints, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kgedit.evaluate.made import mquake

# The model is asked a thousand questions: some seconds, and minutes where the machine is busy.
pytestmark = pytest.mark.timeout(900)

SMALL = {"dev": 1, "test": 2}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Full files take minutes; their sizes are tested where they are planned."""
    monkeypatch.setattr(mquake, "PER_HOPS", SMALL)


def test_json_names_the_files_and_counts_their_cases(run, tmp_path) -> None:
    found = run("eval", "make", "--suite", "mquake", "--out", str(tmp_path), "--seed", "4", "--json")
    assert (found["suite"], found["seed"], found["cases"]) == ("mquake", 4, {"dev": 3, "test": 6})
    for part, path in found["files"].items():
        assert Path(path) == tmp_path / f"mquake-{part}.json"
        assert len(json.loads(Path(path).read_text(encoding="utf-8"))) == found["cases"][part]
        assert sum(found["classes"][part].values()) == found["cases"][part]


def test_the_table_has_a_line_for_each_class(run, tmp_path) -> None:
    shown = run("eval", "make", "--suite", "mquake", "--out", str(tmp_path))
    lines = {line.split("  ")[0].strip(): line.split()[-2:] for line in shown.splitlines() if line.strip()}
    assert lines["all"] == ["3", "6"]
    assert lines["4 hops, 4 edits"] == ["1", "1"]
    assert "mquake-dev.json" in shown


def test_another_suite_is_refused(refused, tmp_path) -> None:
    told = refused("eval", "make", "--suite", "zsre", "--out", str(tmp_path))
    assert "zsre" in told
    assert "mquake" in told
    assert list(tmp_path.iterdir()) == []
