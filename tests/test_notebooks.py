"""Every notebook of examples/ runs from top to bottom, and shows what it promises; it is kept without output."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "examples").glob("*.ipynb"))

# Something that each must show; a notebook without an entry fails.
SHOWS = {
    "causal_tracing": "Albert Einstein is a citizen of -> ",
    "compare": "| efficacy |",
    "tour": "after:  France",
}


LONG = {"compare"}  # each of the tests/evaluate compares methods
CASES = [pytest.param(path, marks=[pytest.mark.long] * (path.stem in LONG), id=path.stem) for path in NOTEBOOKS]


@pytest.mark.parametrize("path", CASES)
def test_the_notebook_runs(
    path: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    display = ModuleType("IPython.display")  # what shows pictures in a notebook
    vars(display).update(SVG=bytes.decode, Markdown=str)
    notebook = ModuleType("IPython")
    vars(notebook).update(version_info=(9, 0))  # matplotlib asks for it
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.chdir(path.parent)
    names: dict[str, object] = {"__name__": "__main__"}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [], "clear all outputs before it is kept"
            run("".join(cell["source"]), names)
    assert SHOWS[path.stem] in capsys.readouterr().out


def run(source: str, names: dict[str, object]) -> None:
    """A cell, whose last expression is shown."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<cell>", "exec"), names)
    if isinstance(last, ast.Expr):
        sys.stdout.write(f"{eval(compile(ast.Expression(last.value), '<cell>', 'eval'), names)}\n")
