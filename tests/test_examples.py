"""Every example runs as its first lines say, and shows what it promises."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).resolve().parents[1] / "examples").glob("*.py"))

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft still asks for it

# Something that each example must show; an example without an entry fails.
SHOWS = {
    "01_one_edit": "after:  France",
    "02_compare_methods": "glame",
    "03_subgraph": "Albert Einstein -> country of citizenship -> France",
    "04_export_adapter": "adapter:",
    "05_ingest": "undid change 1",
    "paper_tables": "| GLAME (glame:paper) | - (99.84) |",
    "real_model_figures": "made-mquake: 100 records, written from recalled facts",
    "make_changes": "300 changes in all",
}
# What these two do by GLAME, with second moments as collected for a user, README's block does with fewer.
LONG = {"01_one_edit", "02_compare_methods"}
CASES = [pytest.param(path, marks=[pytest.mark.long] * (path.stem in LONG), id=path.stem) for path in EXAMPLES]


@pytest.mark.parametrize("path", CASES)
def test_the_example_runs(
    path: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(path)])
    runpy.run_path(str(path), run_name="__main__")
    assert SHOWS[path.stem] in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == [], "an example leaves nothing behind"
