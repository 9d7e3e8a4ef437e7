"""What `kgedit ingest run` prints of a run."""

from __future__ import annotations

import tomllib

import pytest
from rich.console import Console, Group
from typer.testing import CliRunner

from kgedit import ingest
from kgedit.cli import app
from kgedit.cli.ingest import shown
from kgedit.ingest.calibration import Calibration
from kgedit.ingest.decide.guard import GuardSettings
from kgedit.ingest.store.run_record import RunResult
from kgedit.presets import table


def printed(**fields: object) -> str:
    """The words of a run that decided nothing."""
    plain = {
        "feed": "feed.jsonl", "method": "rome", "records": 0, "classes": {}, "accepted": 0, "refused": 0,
        "superseded": 0, "accepted_right": 1.0, "unrelated_recalled": 1.0, "unrelated_asked": 0, "watched": 0,
        "refusals": (), "weights_hash": "0",
    }  # fmt: skip
    console = Console(width=200)
    with console.capture() as said:
        console.print(Group(*shown(RunResult.model_validate(plain | fields), "STORE")))  # type: ignore[arg-type]
    return said.get()


@pytest.mark.parametrize(
    ("records", "classes", "why"),
    [
        (0, {}, "the feed has no record"),
        (2, {"unresolved": 2}, "no record of this feed can be applied (2 were read)"),
        (2, {"new": 1, "unresolved": 1}, "decided before. One that was refused or undone is tried again from a file"),
        (1, {"duplicate": 1}, "decided before"),
        (3, {"known": 3}, "the model answers every change of this feed already"),
    ],
)
def test_a_run_that_changed_nothing_says_why(records: int, classes: dict[str, int], why: str) -> None:
    said = printed(records=records, classes=classes)
    assert why in said
    assert ("the page of --report lists the others" in said) == ("unresolved" in classes)


def test_no_share_of_nothing_is_told() -> None:
    assert "100.0 %" not in printed()
    assert "100.0 %" in printed(accepted=1, unrelated_asked=4)


def test_calibration_prints_a_whole_table_of_guards_for_a_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was measured stands in the place of the package's thresholds, and these stay beside it."""
    found = Calibration(
        model="mini", method="rome", edits=4, seed=0, quantiles={"norm": (1.0, 2.0, 3.0)}, right=1.0,
        proposed={"norm": 4.5},
    )  # fmt: skip
    monkeypatch.setattr(ingest, "calibrate", lambda *given, **options: found)
    said = CliRunner().invoke(app, ["ingest", "calibrate"]).stdout
    guards = tomllib.loads(said[said.index("[guards]") :])["guards"]
    assert guards == {**table("mini", "guards"), "norm": 4.5}
    GuardSettings.model_validate(guards)
