"""Benchmarks of the field: one folder each, with its record (file layout), its measures and its case."""
