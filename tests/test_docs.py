"""The book says what the code says: its commands, variables, public names, and a place for every page."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

import kg_cache.errors
import kgedit.errors
from doc_commands import ALL, DOCS, PAGES, Block, blocks, files
from kgedit.cli import app, main
from kgedit.ingest.feeds.settings import FeedSettings

ROOT = DOCS.parent
ROOT_COMMAND = typer.main.get_command(app)
WRITTEN = [(block.page, words) for block in ALL for words in block.commands]
NAMED = [
    (str(page.relative_to(DOCS)), words)
    for page in PAGES
    for words in re.findall(r"`kgedit ([^`]+)`", page.read_text(encoding="utf-8"))
]
FILES = {"facts.tsv", "names.nt", "latest-truthy.nt.gz"}  # which the program wants to see when it reads its arguments
RUN = sorted({block.page for block in ALL if block.commands and block.not_run is None})


def test_every_environment_variable_is_documented_with_its_default() -> None:
    rows = re.findall(r"^\| `KGEDIT_(\w+)` \| (.*?) \|", (DOCS / "configuration.md").read_text(), flags=re.MULTILINE)
    documented = {name.lower(): default.strip("`") for name, default in rows}
    assert documented.keys() == FeedSettings.model_fields.keys()
    for name, field in FeedSettings.model_fields.items():
        default = field.get_default()
        if default is not None and name not in ("cache_dir", "config_dir"):
            assert documented[name] == (f"{default:g}" if isinstance(default, float) else str(default))


@pytest.mark.parametrize(("page", "words"), sorted({*WRITTEN, *NAMED}))
def test_a_command_on_a_page_is_one_of_the_program(page: str, words: str) -> None:
    command, rest = ROOT_COMMAND, shlex.split(words)
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
    if (page, words) in WRITTEN and not getattr(command, "commands", None):  # a whole command: its values, too
        rest = [str(DOCS / "index.md") if word in FILES else word for word in rest]
        command.make_context("kgedit", rest)


@pytest.mark.parametrize("block", [block for block in ALL if block.language == "sh"], ids=lambda block: block.page)
def test_a_block_that_is_run_has_commands_of_kgedit_alone(block: Block) -> None:
    assert block.not_run or not block.other_lines, "say why in a line before it: <!-- not run: ... -->"


@pytest.mark.parametrize("page", RUN)
def test_the_commands_of_a_page_run_as_written(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the page; a block that cannot be run here has the reason before it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    for name, content in files(DOCS / page).items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    for block in blocks(DOCS / page):
        for words in block.commands if block.not_run is None else ():
            with pytest.raises(SystemExit) as ended:
                main(shlex.split(words))
            assert ended.value.code == 0, f"kgedit {words}"


def test_every_public_name_stands_in_the_reference() -> None:
    shown = set(re.findall(r"^::: (\S+)", "".join(page.read_text() for page in PAGES), flags=re.MULTILINE))
    packages = ("kgedit", "kgedit.delta", "kgedit.evaluate", "kgedit.ingest")
    public = {f"{package}.{name}" for package in packages for name in importlib.import_module(package).__all__}
    elsewhere = {"kgedit.KgeditError", "kgedit.LowRankDelta", "kgedit.__version__"}  # in its own package's list
    assert public - shown - elsewhere == set(), "name them on a page of docs/reference"
    assert {kgedit.errors.__name__, kg_cache.errors.__name__} <= shown  # with every error in them


def test_every_page_has_a_place_in_the_book() -> None:
    def places(tree: object) -> list[str]:
        if isinstance(tree, str):
            return [tree]
        return [place for inner in (tree if isinstance(tree, list) else tree.values()) for place in places(inner)]

    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    written = {"reference/commands.md", "reference/settings.md"}  # by docs/hooks, from the program
    assert set(places(nav)) == {str(page.relative_to(DOCS)) for page in PAGES} | written, "see nav in mkdocs.yml"
