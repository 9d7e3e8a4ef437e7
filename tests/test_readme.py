"""What the README shows works as written: Python blocks run, commands exist and take those options."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from kgedit.cli import app

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
SHOWN = re.findall(r"^    kgedit (.*)$|`kgedit ([^`]+)`", README, flags=re.MULTILINE)
COMMANDS = sorted({(indented or quoted).split("  #")[0].strip() for indented, quoted in SHOWN})
TARGETS = re.findall(r"^    make (\w+)", README, flags=re.MULTILINE)


def test_the_readme_shows_python_and_commands() -> None:
    assert BLOCKS
    assert len(COMMANDS) >= 4
    assert {"demo", "test"} <= set(TARGETS)


@pytest.mark.parametrize("block", BLOCKS)
def test_a_python_block_runs_as_written(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "README.md", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_is_parsed_as_written(words: str) -> None:
    """Parsing alone: unknown commands and options, missing and malformed values are refused there."""
    command, rest = typer.main.get_command(app), shlex.split(words)
    while rest and (inner := getattr(command, "commands", None)):
        assert rest[0] in inner, f"kgedit has no command {rest[0]!r}"
        command, rest = inner[rest[0]], rest[1:]
    if rest or f"`kgedit {words}`" not in README:  # a command that the text only names stands without its arguments
        command.make_context("kgedit", rest)


@pytest.mark.parametrize("target", TARGETS)
def test_a_make_target_exists(target: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)


def test_every_path_that_the_readme_names_exists() -> None:
    named = set(re.findall(r"`((?:kgedit|kg_cache|examples|benchmarks|tests)/[\w/.]*)`", README))
    assert {path for path in named if not (ROOT / path).exists()} == set()
