"""The package of docs/extending.md, word for word: built from the page's blocks, installed, and used."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kgedit.cli import main

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
# A line that holds nothing but a file's name, then a block with its content.
FILES = dict(re.findall(r"^`([\w/.]+)`\n\n```\w+\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE))
COMMANDS = re.findall(r"^    (pip|kgedit) (.*)$", PAGE, flags=re.MULTILINE)
NAMES = {"methods": "one-step", "benchmarks": "reversal", "feeds": "arrows", "families": "gpt_neox_japanese"}

Kgedit = Callable[..., dict]


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page's files; the package is installed into its folder `installed`."""
    folder = tmp_path_factory.mktemp("plugin")
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")
    (words,) = [shlex.split(words) for program, words in COMMANDS if program == "pip"]
    pip = [sys.executable, "-m", "pip", *words, "--quiet", "--no-index", "--target", "installed"]
    done = subprocess.run(pip, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def kgedit(package: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Kgedit:
    """Runs a command beside the package, and returns its JSON."""
    monkeypatch.chdir(package)
    monkeypatch.syspath_prepend(package / "installed")

    def run(*words: str) -> dict:
        with pytest.raises(SystemExit) as ended:
            main([*words, "--json"])
        written = capsys.readouterr()
        assert ended.value.code == 0, written.err
        return json.loads(written.out)

    return run


def shown(start: str) -> list[str]:
    """The words of the one command of the page that begins so."""
    (words,) = [words for program, words in COMMANDS if program == "kgedit" and words.startswith(start)]
    return shlex.split(words)


def test_each_addition_is_listed_with_its_distribution(package: Path) -> None:
    """In a process of its own, as a user has it."""
    paths = [str(package / "installed"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-m", "kgedit", *shown("models"), "--json"]
    done = subprocess.run(command, cwd=package, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    for table, name in NAMES.items():
        assert name in listed[table]
    assert listed["plugins"] == {f"kgedit.{table}": {name: "kgedit-example 1.0"} for table, name in NAMES.items()}


def test_an_edit_is_made_with_the_method(kgedit: Kgedit) -> None:
    result = kgedit(*shown("edit"))
    assert result["method"] == "one-step"
    assert result["after"] == "France"
    assert list(result["weights"]) == ["transformer.h.2.mlp.c_proj.weight"]


def test_the_benchmark_is_run_with_the_method(kgedit: Kgedit) -> None:
    report = kgedit(*shown("eval reversal"))
    assert "reversal" in json.dumps(report)
    assert report["left_out_cases"] == []


def test_the_feed_is_planned(kgedit: Kgedit) -> None:
    plan = kgedit(*shown("ingest plan"))
    assert plan["records"] == 2
    assert plan["counts"]["malformed"] == 1
    assert plan["counts"]["new"] == 1


def test_a_model_of_the_family_is_edited(package: Path, kgedit: Kgedit) -> None:
    from transformers import GPTNeoXJapaneseConfig, GPTNeoXJapaneseForCausalLM

    from families import tiny_tokenizer

    tokenizer, folder = tiny_tokenizer(), package / "tiny-japanese"
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "vocab_size": len(tokenizer)}
    GPTNeoXJapaneseForCausalLM(GPTNeoXJapaneseConfig(**sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # The tiny model's last layer is layer 2, where the MLP output at the subject no longer reaches the target.
    words = [word.replace("layer=2", "layer=1") for word in (*shown("edit"), "--model", str(folder), "--force")]
    result = kgedit(*words)
    assert list(result["weights"]) == ["gpt_neox_japanese.layers.1.mlp.dense_4h_to_h.weight"]
    assert result["probability_after"] > result["probability_before"]


def test_the_relation_of_the_page_is_a_valid_table() -> None:
    import tomllib

    from kgedit.graph.verbalize import RelationText

    (block,) = re.findall(r"^```toml\n(\[P\d+\]\n.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
    ((name, table),) = tomllib.loads(block).items()
    assert re.fullmatch(r"P\d+", name)
    RelationText.model_validate(table)


def test_the_tables_that_the_page_names_are_where_it_says() -> None:
    for name, path in re.findall(r"`(\w+)` in `([\w/.]+)`", PAGE):
        assert re.search(rf"^{name}\b", (ROOT / path).read_text(encoding="utf-8"), flags=re.MULTILINE), (name, path)
