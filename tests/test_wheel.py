"""The wheel holds all that the program reads, and works in an environment of its own, away from the repository."""

from __future__ import annotations

import json
import os
import re
import shutil
import site
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import kgedit

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("kgedit", "kg_cache")


def done(*command: str | Path, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ended = subprocess.run([str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, since a build writes into the folder that it reads."""
    source = tmp_path_factory.mktemp("source")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    pip = (sys.executable, "-m", "pip", "wheel", ".", "--quiet", "--no-deps", "--no-build-isolation", "--no-index")
    done(*pip, "--wheel-dir", "dist", cwd=source)
    (built,) = (source / "dist").glob("*.whl")
    return built


def test_every_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    files = {path.relative_to(ROOT).as_posix() for name in PACKAGES for path in (ROOT / name).rglob("*.*")}
    wanted = {name for name in files if "__pycache__" not in name and (ROOT / name).is_file()}
    with zipfile.ZipFile(wheel) as archive:
        assert wanted - set(archive.namelist()) == set(), "see package-data in pyproject.toml"


@pytest.mark.long
def test_the_installed_wheel_runs_without_the_repository(wheel: Path, tmp_path: Path) -> None:
    done(sys.executable, "-m", "venv", "--without-pip", "fresh", cwd=tmp_path)
    program = tmp_path / "fresh" / "bin"
    pip = (
        sys.executable,
        "-m",
        "pip",
        "--python",
        program / "python",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
    )
    done(*pip, wheel, cwd=tmp_path)
    # What it depends on is read from where it is installed already; an editable kgedit there is not found by a .pth.
    (folder,) = (tmp_path / "fresh" / "lib").glob("python*/site-packages")
    (folder / "others.pth").write_text("\n".join(site.getsitepackages()), encoding="utf-8")

    where = done(
        program / "python", "-c", "import kgedit, kg_cache; print(kgedit.__file__, kg_cache.__file__)", cwd=tmp_path
    )
    assert all(Path(path).is_relative_to(folder) for path in where.split())
    relations = json.loads(done(program / "kgedit", "relations", "nationality", "--json", cwd=tmp_path))
    assert relations["relations"][0]["id"] == "P27"
    asked = json.loads(done(program / "kgedit", "ask", "Albert Einstein was born in", "--json", cwd=tmp_path))
    assert "Ulm" in json.dumps(asked)


def test_the_version_is_the_same_everywhere() -> None:
    project = re.search(
        r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert project is not None
    assert cited is not None
    assert {project[1], cited[1]} == {kgedit.__version__}
