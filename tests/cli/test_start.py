"""The command line answers `--help` at once: no command's module imports what only its body needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from command_tree import commands
from kgedit import __version__

HEAVY = {
    "torch",
    "transformers",
    "torch_geometric",
    "networkx",
    "SPARQLWrapper",
    "numpy",
    "safetensors",
    "tokenizers",
}

# Runs every help text in one fresh interpreter, and tells after each which modules are loaded.
PROBE = """
import contextlib, io, json, sys
from kgedit.cli import main
loaded = {}
for words in json.loads(sys.argv[1]):
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as shown:
        main([*words, "--help"])
    assert "Usage" in shown.getvalue(), words
    loaded[" ".join(words)] = sorted({name.split(".")[0] for name in sys.modules})
json.dump(loaded, sys.stdout)
"""


def test_no_help_text_loads_a_heavy_library() -> None:
    names = [words for words, _ in commands()]
    assert ("mini", "check") in names
    probe = subprocess.run(
        [sys.executable, "-c", PROBE, json.dumps(names)], capture_output=True, text=True, check=True
    )
    loaded = json.loads(probe.stdout)
    assert loaded.keys() == {" ".join(words) for words in names}
    assert {words: sorted(HEAVY & set(found)) for words, found in loaded.items() if HEAVY & set(found)} == {}


@pytest.mark.parametrize("words", [words for words, found in commands() if not hasattr(found, "commands")])
def test_every_command_can_answer_in_json(words: tuple[str, ...]) -> None:
    command = dict(commands())[words]
    assert "--json" in {name for parameter in command.params for name in parameter.opts}


def test_the_installed_command_and_the_module_are_the_same() -> None:
    shown = subprocess.run([sys.executable, "-m", "kgedit", "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout == f"kgedit {__version__}\n"


def test_no_words_show_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    from kgedit.cli import main

    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 0
    assert "Usage: kgedit" in capsys.readouterr().out


@pytest.mark.parametrize("words", [words for words, _ in commands()])
def test_every_command_has_a_short_help_option(words: tuple[str, ...]) -> None:
    top, command = dict(commands())[()], dict(commands())[words]
    with top.make_context("kgedit", [], resilient_parsing=True) as above:
        context = command.make_context("command", [], parent=above, resilient_parsing=True)
        assert set(command.get_help_option_names(context)) == {"-h", "--help"}


def test_a_short_help_option_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    from kgedit.cli import main

    texts = []
    for option in ("-h", "--help"):
        with pytest.raises(SystemExit) as ended:
            main(["graph", "show", option])
        assert ended.value.code == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] != ""


@pytest.mark.parametrize(
    ("shell", "variables"),
    [
        ("bash", {"COMP_WORDS": "kgedit gr", "COMP_CWORD": "1"}),
        ("zsh", {"_TYPER_COMPLETE_ARGS": "kgedit gr"}),
        ("fish", {"_TYPER_COMPLETE_ARGS": "kgedit gr", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
    ],
)
def test_a_shell_completes_commands(shell: str, variables: dict[str, str]) -> None:
    environment = os.environ | variables | {"_KGEDIT_COMPLETE": f"complete_{shell}"}
    command = [sys.executable, "-c", "from kgedit.cli import main; main()"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "graph" in done.stdout
    assert "journal" not in done.stdout


@pytest.mark.parametrize("words", [words for words, command in commands() if hasattr(command, "commands")])
def test_no_line_of_a_list_of_commands_is_cut(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from kgedit.cli import main

    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([*words, "--help"])
    listed = capsys.readouterr().out.partition("Commands:")[2].splitlines()
    assert listed
    assert [line for line in listed if line.endswith("...")] == []
