"""Progress says what is done and how long it will take: for slow steps, inside of other work, and in a log."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kgedit.cli.ingest_live import LiveTable
from kgedit.cli.progress import Shown, duration, working


class Clock:
    """A clock that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_steps_that_are_minutes_apart_have_an_estimate(clock: Clock) -> None:
    shown = Shown("Loading", clock=clock)
    shown("Collecting", 0, 10)
    assert shown.left() == ""
    clock.now = 105
    shown("Collecting", 1, 10)
    assert shown.left() == f"about {duration(9 * 105)} left"
    clock.now = 150
    assert shown.left() == f"about {duration(9 * 105 - 45)} left"


def test_a_resumed_run_does_not_count_what_was_done_before(clock: Clock) -> None:
    shown = Shown("Loading", clock=clock)
    shown("cases", 80, 100)
    clock.now = 60
    shown("cases", 81, 100)
    assert shown.left() == "about 19 min left"


def test_work_inside_of_work_leaves_the_outer_estimate(clock: Clock) -> None:
    shown = Shown("Loading", clock=clock)
    for case in range(3):
        shown("cases", case, 10)
        clock.now += 60
        shown("optimise", 5, 20)
    assert shown.text() == "cases: 2 of 10; optimise"
    assert shown.left() == f"about {duration(8 * 60 - 60)} left"


def test_a_log_gets_a_plain_line_with_an_estimate_at_intervals(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = Shown("Loading", clock=clock)
    shown("cases", 0, 4)
    assert capsys.readouterr().err == ""
    for case in (1, 2, 3):
        clock.now += 20
        shown("cases", case, 4)
    assert capsys.readouterr().err.splitlines() == [
        "kgedit: cases: 1 of 4, about 60 s left",
    ]
    clock.now += 30
    shown("cases", 4, 4)
    assert capsys.readouterr().err == "kgedit: cases: 4 of 4, about 0 s left\n"


@pytest.mark.parametrize("width", [80, 140])
def test_the_line_of_a_terminal_keeps_the_estimate_and_the_outer_work(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", str(width))
    shown = Shown("Loading", clock=clock)
    what = "glame:encoder=mlp:steps=20 (method 1 of 3): cases scored"
    with shown.running():
        for case in range(3):
            shown(what, case, 100)
            clock.now += 600
            shown("optimise", 5, 20)
    # The block ends with the bar drawn a last time, between signs that steer the terminal.
    drawn = re.split(r"\r|\n|\x1b\[2K", re.sub(r"\x1b\[(?!2K)[^A-Za-z]*[A-Za-z]", "", capsys.readouterr().err))
    told = [line.strip() for line in drawn if "left" in line][-1]
    assert len(told) <= width
    assert "about 16 h 10 min left" in told
    assert told.split()[1].startswith("glame:encoder")
    assert "2 of 100" in told


def test_work_of_unknown_length_tells_how_fast_it_goes(clock: Clock) -> None:
    shown = Shown("Importing", clock=clock)
    shown("Importing lines", 0, 0)
    clock.now = 2
    shown("Importing lines", 50_000, 0)
    assert shown.left() == "25,000 a second"
    assert shown.line() == "Importing lines: 50000, 25,000 a second"


def test_times_are_told_in_fitting_words() -> None:
    assert [duration(seconds) for seconds in (40, 720, 11_100)] == ["40 s", "12 min", "3 h 05 min"]


def test_decided_changes_are_printed_on_the_console_of_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    with working("Loading") as shown:
        assert shown._bar is not None
        assert shown._bar.console is shown.console
        assert LiveTable(shown)._advance is shown


def test_evaluation_advances_case_by_case() -> None:
    from kgedit.evaluate import EvaluationSettings, evaluate

    data = Path(__file__).parent.parent / "data" / "counterfact" / "counterfact.json"
    seen: list[tuple[str, int, int]] = []
    settings = EvaluationSettings(
        suite="counterfact", data=str(data), anyway=True, methods="rome:steps=1", limit=3, moments="identity"
    )
    evaluate(settings, progress=lambda *told: seen.append(told))
    scored = [done for what, done, _ in seen if what == "rome:steps=1 (method 1 of 1): cases scored"]
    assert sorted(set(scored)) == list(range(scored[-1] + 1))
    assert scored[-1] > 1
