"""Guards are calibrated on any model, with edits of what it recalls."""

from __future__ import annotations

from pathlib import Path

import pytest

from kgedit.errors import DataError
from kgedit.ingest.calibration import calibrate
from tiny_gguf import write_tiny_llama


def test_thresholds_are_proposed_from_edits_of_recalled_facts() -> None:
    calibration = calibrate("mini", method="rome", edits=2, batch=2, seed=1000)
    assert calibration.edits == 2
    assert {"norm", "locality", "perplexity"} <= set(calibration.proposed)


def test_a_model_that_recalls_nothing_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kgedit.ingest.decide.recall_walk.MOST", 64)
    file = tmp_path / "tiny.gguf"
    write_tiny_llama(file)
    with pytest.raises(DataError, match="recalls none of the facts"):
        calibrate(str(file), method="rome", edits=2, batch=2, seed=1000, moments="identity")
