"""Small benchmark files, made once for all tests of this folder, and the facts they must agree with."""

from __future__ import annotations

import pytest

from kgedit.evaluate.benchmarks.reading import load
from kgedit.evaluate.made.book import Book
from kgedit.evaluate.made.files import MadeBenchmark, make_benchmark

SIZES = {"mquake": {"dev": 4, "test": 12}, "counterfact": {"dev": 6, "test": 12}}


@pytest.fixture(scope="session")
def book() -> Book:
    return Book()


@pytest.fixture(scope="session")
def mquake(tmp_path_factory: pytest.TempPathFactory) -> MadeBenchmark:
    return make_benchmark("mquake", tmp_path_factory.mktemp("mquake"), seed=5, sizes=SIZES["mquake"])


@pytest.fixture(scope="session")
def counterfact(tmp_path_factory: pytest.TempPathFactory) -> MadeBenchmark:
    return make_benchmark("counterfact", tmp_path_factory.mktemp("counterfact"), seed=5, sizes=SIZES["counterfact"])


def records(made: MadeBenchmark) -> list:
    """The records of both parts, loaded as a user loads them."""
    return [record for path in made.files.values() for record in load(path).records]


@pytest.fixture(scope="session")
def chains(mquake: MadeBenchmark) -> list:
    return records(mquake)


@pytest.fixture(scope="session")
def singles(counterfact: MadeBenchmark) -> list:
    return records(counterfact)
