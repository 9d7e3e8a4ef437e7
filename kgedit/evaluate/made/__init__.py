"""Benchmarks for the bundled model in the original MQuAKE and CounterFact formats: `make_suite`."""

from kgedit.evaluate.made.files import SUITES, Made, make_suite

__all__ = ["SUITES", "Made", "make_suite"]
