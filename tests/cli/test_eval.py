"""`kgedit eval`: the shape of its JSON, its refusals, and a run killed half-way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kgedit.mini.cases import Casebook

# Models are loaded in fresh processes; on a busy machine that takes its time.
pytestmark = pytest.mark.timeout(600)

CASES = 6


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Records of facts that the bundled model knows, in the flattened layout of CounterFact."""
    records = [
        {
            "case_id": number,
            "prompt": case.probes["efficacy"][0][0],
            "subject": case.subject,
            "target_new": case.target_new,
            "ground_truth": case.target_true,
            "rephrase_prompt": case.probes["paraphrase"][0][0],
            "locality_prompt": case.probes["neighborhood"][0][0],
            "locality_ground_truth": case.target_true,
        }
        for number, case in enumerate(Casebook().draw(CASES, seed=3))
    ]
    path = tmp_path_factory.mktemp("data") / "records.json"
    path.write_text(json.dumps(records), encoding="utf-8")
    return str(path)


def test_json_has_a_figure_with_its_interval_for_every_method_and_metric(run, data: str) -> None:
    words = ("--methods", "unedited,rome:steps=5", "--limit", "6", "--moments", "identity")
    found = run("eval", "counterfact", "--data", data, *words, "--json")
    assert (found["suite"], found["cases"]) == ("counterfact", 6)
    assert [*found["methods"]] == ["unedited", "rome:steps=5"]
    for figures in found["methods"].values():
        assert {"efficacy", "paraphrase", "neighborhood", "editing_score"} <= set(figures)
        assert all(set(figure) >= {"value", "low", "high", "n"} for figure in figures.values())
    assert found["left_out_cases"] == []


def test_what_is_printed_begins_with_what_the_model_knows(run, data: str, tmp_path: Path) -> None:
    words = ("--methods", "unedited", "--limit", "4", "--out", str(tmp_path / "run"))
    shown = run("eval", "counterfact", "--data", data, *words)
    assert shown.startswith("counterfact, 4 cases: the unedited model recalls")
    assert {path.name for path in (tmp_path / "run").glob("report.*")} >= {"report.md", "report.json", "report.csv"}


def test_other_data_and_other_settings_are_refused_in_one_line(refused, run, data: str, tmp_path: Path) -> None:
    assert "can be run as counterfact" in refused("eval", "mquake", "--data", data)
    assert "not both" in refused("eval", "counterfact", "--data", data, "--sequential", "--batch-edits", "2")
    words = ("eval", "counterfact", "--data", data, "--methods", "unedited", "--limit", "1", "--out", str(tmp_path))
    run(*words)
    assert "seed was 0, now 4" in refused(*words, "--seed", "4")


def test_a_killed_run_started_again_ends_like_one_that_was_not(run, data: str, tmp_path: Path) -> None:
    rows = tmp_path / "killed" / "rows.jsonl"

    def words(out: str) -> list[str]:
        asked = ["--data", data, "--methods", "rome:steps=5:prefixes=4x1", "--moments", "identity"]
        return ["eval", "counterfact", *asked, "--out", str(tmp_path / out)]

    whole = run(*words("whole"))
    with subprocess.Popen([sys.executable, "-m", "kgedit", *words("killed")], stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not (rows.exists() and rows.read_bytes().count(b"\n") > CASES + 1):
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert CASES < rows.read_bytes().count(b"\n") < 2 * CASES
    again = run(*words("killed"))

    def told(output: str) -> list[str]:
        return [text for text in output.splitlines() if not text.startswith("Mean time")]

    assert told(again) == told(whole.replace("whole", "killed"))
    for name in ("report.json", "report.md", "report.csv", "report.html"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
