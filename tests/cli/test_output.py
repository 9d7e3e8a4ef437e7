"""What is written where: results on stdout, the bar on a terminal's stderr alone, letters that survive."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest

from kgedit.cli.output import emit, line, marked, percent, table
from kgedit.cli.progress import working


def test_json_is_valid_on_a_terminal_that_lacks_the_letters() -> None:
    code = "from kgedit.cli.output import emit; emit({'label': 'Łódź 東京'}, list, as_json=True)"
    for encoding in ("ascii", "latin-1", "utf-8"):
        written = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=True, env={"PYTHONIOENCODING": encoding}
        ).stdout
        assert json.loads(written.decode(encoding)) == {"label": "Łódź 東京"}


def test_json_has_no_infinity_that_other_parsers_refuse() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        emit({"loss": float("inf")}, list, as_json=True)


def test_a_reader_gets_the_table_and_no_json(capsys: pytest.CaptureFixture[str]) -> None:
    emit(
        {"a": 1},
        lambda: [table(["name", "share"], [("[red]", percent(0.958))], numbers=1), line("[end]")],
        as_json=False,
    )
    written = capsys.readouterr().out
    assert "[red]" in written
    assert "95.8 %" in written
    assert written.rstrip().endswith("[end]")
    assert "{" not in written


def test_a_narrow_terminal_loses_no_column(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    headings = ["the edited fact", "paraphrases", "what follows (two hops)", "the subject's other facts"]
    shares = [percent(share) for share in (0.001, 0.25, 0.5, 1.0)]
    made = table(["method", *headings], [("glame", *shares)], numbers=4)
    emit({}, lambda: [made], as_json=False)
    row = next(text for text in capsys.readouterr().out.splitlines() if "glame" in text)
    assert all(share in row for share in shares)


def test_a_long_column_is_the_widest_and_the_others_keep_their_words_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    prompt = "The head of government of the country that issued the passport of Albert Einstein is"
    answers = ["United States of America", "Washington, D.C.", "Emmanuel Macron"]
    emit({}, lambda: [table(["prompt", "a", "b", "c"], [(prompt, *answers)], wide=0)], as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert any(text.startswith(" The head of government of the ") for text in lines)
    assert all(any(word in text for text in lines) for word in ("Washington,", "America", "Emmanuel", "passport"))
    assert max(map(len, lines)) <= 80


def test_a_pipe_gets_whole_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    cell = "University of California, Berkeley " * 5
    emit({}, lambda: [table(["object", "id"], [(cell, "Q168756")]), line(cell)], as_json=False)
    assert capsys.readouterr().out.count(cell) == 2


def test_right_and_wrong_differ_by_a_sign_on_every_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (marked("France", True).plain, marked("Germany", False).plain) == ("✓ France", "✗ Germany")
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert (marked("France", True).plain, marked("Germany", False).plain) == ("+ France", "- Germany")


def test_a_title_is_not_folded_to_the_width_of_a_narrow_table(capsys: pytest.CaptureFixture[str]) -> None:
    title = "2 records for mini (names from snapshot, conflicts: refuse)"
    emit({}, lambda: [table(["n"], [(1,)], title=title, numbers=1)], as_json=False)
    assert title in capsys.readouterr().out


def test_what_was_not_measured_is_a_dash_and_not_a_number() -> None:
    assert percent(None) == "-"
    assert percent(0.0) == "0.0 %"


def test_a_small_share_is_not_shown_as_none_at_all() -> None:
    assert percent(0.0001) == "< 0.1 %"
    assert percent(0.001) == "0.1 %"


def test_the_bar_shows_what_is_done_of_how_much(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    with working("Loading [mini]") as advance:
        advance("Fetching [hop 1]", 3, 40)
    written = capsys.readouterr()
    assert written.out == ""
    assert "Fetching [hop 1]" in written.err
    assert "3/40" in written.err


def test_a_log_file_gets_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with working("Loading") as advance:
        advance("Fetching", 3, 40)
    assert capsys.readouterr() == ("", "")


def test_a_reader_that_stops_reading_ends_the_command_quietly() -> None:
    command = f"{sys.executable} -m kgedit graph show 'Albert Einstein' --json | head -c 1"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == ("{", "")


def test_an_error_under_json_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    from kgedit.cli import main

    with pytest.raises(SystemExit) as ended:
        main(["graph", "show", "Nobody at all", "--json"])
    assert ended.value.code == 2
    written = capsys.readouterr()
    assert "Nobody at all" in json.loads(written.err)["error"]
    assert written.out == ""


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_closed_stdout_or_stderr_ends_no_command_in_an_error(closed: str) -> None:
    command = f"{sys.executable} -m kgedit relations nationality --json {closed}"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
