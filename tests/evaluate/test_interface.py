"""The public names of kgedit.evaluate: all there, and free of heavy imports until they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import kgedit.evaluate


@pytest.mark.parametrize("name", kgedit.evaluate.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(kgedit.evaluate, name).__name__ == name


def test_a_name_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(AttributeError, match="no attribute 'evalute'; the public names are .*evaluate"):
        kgedit.evaluate.evalute  # noqa: B018


def test_importing_the_package_and_its_table_loads_no_torch() -> None:
    code = "import sys; from kgedit.evaluate import Benchmark, Format; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
