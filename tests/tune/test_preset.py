"""The user's preset: written beside what it has, found by every method, and read before that of the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from kgedit.errors import FileCorrupt, SaveFailed
from kgedit.methods.registry import method_for
from kgedit.presets import table, user_file
from kgedit.tune.preset import write_preset


@pytest.fixture(autouse=True)
def _own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KGEDIT_CONFIG_DIR", str(tmp_path / "config"))


def test_a_written_preset_is_used_and_keeps_other_methods() -> None:
    write_preset("org/Some-Model", "memit", {"layers": [3, 4], "clamp": 1.5}, {"edits": 16})
    file = write_preset("org/Some-Model", "rome", {"layer": 3, "ending": '"\\'}, {"reported": {"efficacy": 0.5}})
    assert file == user_file("some-model")
    method, notes = method_for("/models/Some-Model/", "rome", 30)
    assert (method.config.layer, method.config.ending, notes) == (3, '"\\', ())  # type: ignore[attr-defined]
    assert table("some-model", "memit") == {"layers": [3, 4], "clamp": 1.5}
    assert table("some-model", "tuned") == {"memit": {"edits": 16}, "rome": {"reported": {"efficacy": 0.5}}}
    write_preset("some-model", "rome", {"layer": 4}, {})
    assert table("some-model", "rome") == {"layer": 4}


def test_a_preset_may_begin_with_the_mark_of_utf8() -> None:
    file = write_preset("some-model", "rome", {"layer": 4}, {})
    file.write_bytes(file.read_text("utf-8").encode("utf-8-sig"))
    assert table("some-model", "rome") == {"layer": 4}


def test_the_users_tables_stand_before_those_of_the_package() -> None:
    bundled = table("mini", "memit")
    write_preset("mini", "rome", {"layer": 2}, {})
    assert table("mini", "rome") == {"layer": 2}
    assert table("mini", "memit") == bundled


def test_what_was_published_stays_so_in_a_tuned_model_but_for_its_layers() -> None:
    published, _ = method_for("gpt2-xl", "rome:paper", 48)
    write_preset("gpt2-xl", "rome", {"layer": 14, "clamp": 8.0, "kl_weight": 0.0, "prefixes": "5x2"}, {})
    assert method_for("gpt2-xl", "rome", 48)[0].config.clamp == 8.0  # type: ignore[attr-defined]
    config = method_for("gpt2-xl", "rome:paper", 48)[0].config
    assert config == published.config.model_copy(update={"layer": 14})


@pytest.mark.parametrize("content", ["[rome\nlayer = 1", "layer = 1\n", "\xff"])
def test_a_damaged_preset_is_named(content: str) -> None:
    file = user_file("mini")
    file.parent.mkdir(parents=True)
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(FileCorrupt, match=r"the preset .*mini\.toml"):
        table("mini", "rome")
    with pytest.raises(FileCorrupt):
        write_preset("mini", "rome", {"layer": 1}, {})
    assert file.read_bytes() == content.encode("latin-1")


def test_a_folder_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("a file")
    with pytest.raises(SaveFailed):
        write_preset("mini", "rome", {"layer": 1}, {})
