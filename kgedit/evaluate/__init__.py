"""Evaluation of editing methods: benchmarks, runs of them, reports with intervals, and benchmarks made for "mini".

    from kgedit.evaluate import EvaluationSettings, evaluate
    result = evaluate(EvaluationSettings(suite="counterfact", data="counterfact.json", methods="rome,glame"))
    print(result.report.headline)

The public names are loaded when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kgedit.io.lazy import lazy_names

if TYPE_CHECKING:
    from kgedit.evaluate.benchmarks.reading import Loaded, load
    from kgedit.evaluate.benchmarks.table import Benchmark, Format
    from kgedit.evaluate.bundled.demo import DemoReport, run_demo
    from kgedit.evaluate.made.files import MadeBenchmark, make_benchmark
    from kgedit.evaluate.report.model import SuiteReport
    from kgedit.evaluate.report.published import beside_published, published_table
    from kgedit.evaluate.run.evaluate import EvaluationResult, evaluate
    from kgedit.evaluate.run.settings import EvaluationSettings

_HOME = {
    "Benchmark": "kgedit.evaluate.benchmarks.table",
    "DemoReport": "kgedit.evaluate.bundled.demo",
    "EvaluationResult": "kgedit.evaluate.run.evaluate",
    "EvaluationSettings": "kgedit.evaluate.run.settings",
    "Format": "kgedit.evaluate.benchmarks.table",
    "Loaded": "kgedit.evaluate.benchmarks.reading",
    "MadeBenchmark": "kgedit.evaluate.made.files",
    "SuiteReport": "kgedit.evaluate.report.model",
    "beside_published": "kgedit.evaluate.report.published",
    "evaluate": "kgedit.evaluate.run.evaluate",
    "load": "kgedit.evaluate.benchmarks.reading",
    "make_benchmark": "kgedit.evaluate.made.files",
    "published_table": "kgedit.evaluate.report.published",
    "run_demo": "kgedit.evaluate.bundled.demo",
}

__all__ = [
    "Benchmark",
    "DemoReport",
    "EvaluationResult",
    "EvaluationSettings",
    "Format",
    "Loaded",
    "MadeBenchmark",
    "SuiteReport",
    "beside_published",
    "evaluate",
    "load",
    "make_benchmark",
    "published_table",
    "run_demo",
]

__getattr__, __dir__ = lazy_names(__name__, _HOME)
