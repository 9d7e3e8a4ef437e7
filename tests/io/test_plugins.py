"""Plugins: found by group, loaded on demand, refused by the name of their distribution."""

from __future__ import annotations

from pathlib import Path

import pytest

from kgedit.errors import PluginError
from kgedit.io.plugins import load_plugin, plugins

GROUP = "kgedit.tests"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts a distribution with entry points of the group on the path, as an installer would."""
    monkeypatch.syspath_prepend(tmp_path)

    def _install(distribution: str, **entries: str) -> None:
        folder = tmp_path / f"{distribution.replace('-', '_')}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        lines = [f"{name} = {place}" for name, place in entries.items()]
        (folder / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines]) + "\n")

    return _install


def test_a_plugin_is_found_by_its_group_and_loaded(install) -> None:
    install("kgedit-extra", b="math:tau", a="math:pi")
    found = plugins(GROUP, built_in={"c"})
    assert list(found) == ["a", "b"]
    assert load_plugin(found["a"]) == pytest.approx(3.14159, abs=1e-4)
    assert plugins("kgedit.no_such_group") == {}


def test_a_plugin_installed_later_is_found_at_the_next_call(install) -> None:
    assert plugins(GROUP) == {}
    install("kgedit-extra", a="math:pi")
    assert list(plugins(GROUP)) == ["a"]


def test_a_built_in_name_is_refused(install) -> None:
    install("kgedit-extra", rome="math:pi")
    with pytest.raises(PluginError, match=r"kgedit-extra declares 'rome' in kgedit\.tests.*built-in"):
        plugins(GROUP, built_in={"rome"})


def test_two_distributions_with_one_name_are_refused(install) -> None:
    install("kgedit-one", a="math:pi")
    install("kgedit-two", a="math:tau")
    with pytest.raises(PluginError, match="kgedit-one and kgedit-two both declare 'a'"):
        plugins(GROUP)


@pytest.mark.parametrize("place", ["no_such_module_anywhere:feed", "math:no_such_attribute", "math:"])
def test_what_cannot_be_loaded_names_its_distribution(install, place: str) -> None:
    install("kgedit-broken", a=place)
    with pytest.raises(PluginError, match="kgedit-broken declares 'a'.*cannot be loaded"):
        load_plugin(plugins(GROUP)["a"])


def test_a_module_that_fails_when_imported_names_its_distribution(install, tmp_path: Path) -> None:
    (tmp_path / "failing_plugin_module.py").write_text("raise RuntimeError('half a build')\n")
    install("kgedit-broken", a="failing_plugin_module:feed")
    with pytest.raises(PluginError, match="kgedit-broken.*RuntimeError: half a build"):
        load_plugin(plugins(GROUP)["a"])
