"""The pages of docs/ say what the code says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from kgedit.cli import app
from kgedit.ingest.feeds.settings import FeedSettings

DOCS = Path(__file__).resolve().parents[1] / "docs"
SHOWN = [
    (page.name, (indented or quoted).split("  #")[0].strip())
    for page in sorted(DOCS.glob("*.md"))
    for indented, quoted in re.findall(
        r"^    kgedit (.*)$|`kgedit ([^`]+)`", page.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
]


def test_every_environment_variable_is_documented_with_its_default() -> None:
    rows = re.findall(r"^\| `KGEDIT_(\w+)` \| (.*?) \|", (DOCS / "configuration.md").read_text(), flags=re.MULTILINE)
    documented = {name.lower(): default.strip("`") for name, default in rows}
    assert documented.keys() == FeedSettings.model_fields.keys()
    for name, field in FeedSettings.model_fields.items():
        default = field.get_default()
        if default is not None and name not in ("cache_dir", "config_dir"):
            assert documented[name] == (f"{default:g}" if isinstance(default, float) else str(default))


@pytest.mark.parametrize(("page", "words"), SHOWN)
def test_a_command_on_a_page_is_parsed_as_written(page: str, words: str) -> None:
    """Parsing alone: unknown commands and options, missing and malformed values are refused there."""
    command, rest = typer.main.get_command(app), shlex.split(words)
    with command.make_context("kgedit", ["demo"]) as context:
        while rest and hasattr(command, "get_command") and not rest[0].startswith("-"):
            inner = command.get_command(context, rest[0])
            if inner is None and (rest[0].isupper() or rest[0] == "reversal"):  # any command; a plugin's
                return
            assert inner is not None, f"{page}: kgedit has no command {rest[0]!r}"
            command, rest = inner, rest[1:]
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    named = {word.partition("=")[0] for word in rest if word.startswith("--")} - {"--help"}
    assert named - options == set(), f"{page}: kgedit {words}"
