"""Benchmarks of the field in their original file formats: `load` gives records, and says what it left out."""

from kgedit.evaluate.benchmarks.reading import Loaded, Skipped, load
from kgedit.evaluate.benchmarks.records import Portability, Probe, Record, Rewrite

__all__ = ["Loaded", "Portability", "Probe", "Record", "Rewrite", "Skipped", "load"]
