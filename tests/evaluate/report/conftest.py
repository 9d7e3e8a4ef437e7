"""A small report with everything in it: methods that differ, metrics with hop classes, hostile names."""

from __future__ import annotations

import pytest

from kgedit.evaluate.report.model import SuiteReport, build_report
from kgedit.evaluate.results import Row

HOSTILE = "ft:<script>alert(1)</script>|=1"
METHODS = ("unedited", "rome", HOSTILE, "glame")


@pytest.fixture
def report() -> SuiteReport:
    """Twelve cases; efficacy 0, 1/2, 1/4 and 1 by method, the same at every number of hops."""
    levels = dict(zip(METHODS, (0, 6, 3, 12), strict=True))
    rows = [
        Row(
            case=str(case),
            method=method,
            hops=2 + case % 3,
            edits=1,
            values={
                "efficacy": (hit := float(case % 12 < level)),
                "multihop": hit,
                f"multihop_{2 + case % 3}": hit,
                "fluency": 6.25,
                **({"recalled_before": 1.0} if method == "unedited" else {}),
            },
        )
        for case in range(12)
        for method, level in levels.items()
    ]
    manifest = {"methods": list(METHODS), "model": "mini</pre><b>", "seed": 0}
    return build_report(rows, suite="made & up", manifest=manifest, left_out={"no object": 2}, seed=0)


@pytest.fixture
def unknown() -> SuiteReport:
    """A suite of which the model knows nothing."""
    rows = [
        Row(case=str(case), method="unedited", hops=None, edits=1, values={"recalled_before": 0.0, "efficacy": 0.5})
        for case in range(5)
    ]
    return build_report(rows, suite="real", manifest={}, left_out={}, seed=0)
