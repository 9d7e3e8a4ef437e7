"""The page of a store: every change is on it, no label is taken for markup, equal stores give equal bytes."""

from __future__ import annotations

import json
import re
import shutil
from datetime import UTC, datetime
from html import unescape
from html.parser import HTMLParser

import pytest

from kgedit.cli import main
from kgedit.errors import SaveFailed
from kgedit.ingest.change import MalformedChange
from kgedit.ingest.decide.guard import GuardSettings
from kgedit.ingest.plan.plan import Verdict
from kgedit.ingest.report.build import build_report
from kgedit.ingest.report.drawing import draw
from kgedit.ingest.report.html import check_report_file, to_html, to_json, write_report
from kgedit.ingest.report.report import (
    IngestReport,
    ReportedAnswer,
    ReportedChange,
    ReportedQuestion,
    ReportedRun,
    SkippedRecord,
)
from kgedit.ingest.runner import apply_feed
from kgedit.ingest.session import open_session
from kgedit.ingest.store.entry import State

HOSTILE = "<script>alert('\"&x')</script>"


def hostile() -> IngestReport:
    """A report whose every text is hostile; one change in each state."""
    answer = ReportedAnswer(text=HOSTILE, probability=0.25)
    changes = tuple(
        ReportedChange(
            id=number, state=state, subject=HOSTILE, relation=HOSTILE, target_new=HOSTILE, where=HOSTILE,
            ids=HOSTILE, dated=HOSTILE, evidence=HOSTILE, notes=(HOSTILE,),
            question=HOSTILE, before=answer, now=answer, right=False, reason=HOSTILE, numbers={HOSTILE: 0.5},
            facts=((HOSTILE, HOSTILE, "b"), ("b", HOSTILE, HOSTILE)), partial=True,
            asked=(None, ReportedQuestion(question=HOSTILE, right=HOSTILE, now=HOSTILE)),
        )
        for number, state in enumerate(State, 1)
    )  # fmt: skip
    skipped = SkippedRecord(
        where=HOSTILE, verdict=Verdict.MALFORMED, change=HOSTILE, reason=HOSTILE, dated=HOSTILE, evidence=HOSTILE
    )
    result = {
        "method": HOSTILE,
        "accepted_right": 1.0,
        "unrelated_recalled": 0.9,
        "unrelated_asked": 400,
        "notes": [HOSTILE],
    }
    found = ReportedRun(feed=HOSTILE, classes={"new": 7, HOSTILE: 1}, result=result, skipped=(skipped,), left_out=3)
    states = dict.fromkeys(map(str, State), 1)
    return IngestReport(
        model=HOSTILE, base_hash="a", weights_hash="b", states=states, right=0.0, runs=(found,), changes=changes
    )


class Tags(HTMLParser):
    """What a browser would see."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}


def test_nothing_of_a_text_is_taken_for_markup() -> None:
    text = to_html(hostile())
    seen = Tags(text)
    assert "script" not in seen.tags
    assert not {"src", "href"} & seen.attributes, "the page loads nothing"
    assert not {name for name in seen.attributes if name.startswith("on")}
    assert unescape(text).count("alert(") > 7 * 12
    assert seen.tags.count("section") == len(State)
    assert "3 more are in the run" in text


def test_a_drawing_has_every_fact_and_the_walks_go_from_left_to_right() -> None:
    text = draw([("s", "r", "o"), ("o", "r1", "a"), ("o", "r2", "b"), ("a", "r3", "s")])
    assert text.count("<path") == 4
    assert text.count("<circle") == 4
    nodes = re.findall(r'<text x="([\d.]+)" y="[\d.]+" class="node">(\w)', text)
    found = {label: float(place) for place, label in nodes}
    assert found["s"] < found["o"] < found["a"] == found["b"]
    assert draw([]) == ""


def test_a_drawing_tells_right_wrong_and_the_old_object_by_sign_and_line() -> None:
    text = draw([("s", "r", "o"), ("o", "r1", "a"), ("o", "r2", "b")], [True, True, False], old="was")
    assert re.findall(r'<tspan class="(\w+)">(.) </tspan>(\w)', text) == [
        ("right", "\u2713", "o"), ("right", "\u2713", "a"), ("wrong", "\u2717", "b"),
    ]  # fmt: skip
    assert re.findall(r'<path d="[^"]*" class="([^"]*)"', text) == ["new", "no", "old"]
    assert ">was<" in text
    assert ">was<" not in draw([("s", "r", "o")])


def test_signs_that_steer_a_reader_are_written_as_escapes() -> None:
    steering = "a \u202egnp.exe \x1b[31m \x00"
    change = hostile().changes[0].model_copy(update={"subject": steering, "evidence": steering})
    text = to_html(hostile().model_copy(update={"model": steering, "changes": (change,)}))
    assert not {"\u202e", "\x1b", "\x00"} & set(text)
    assert text.count("\\u202egnp.exe \\u001b[31m \\u0000") == 4


@pytest.fixture(scope="module")
def store(tmp_path_factory, changes):
    """A store with one change in force, one refused, and a malformed record passed over."""
    directory = tmp_path_factory.mktemp("report") / "store"
    guards = {"facts": 20, "locality": 0.0, "neighbours": 0.0, "subject": 0.0, "norm": 9.0, "norm_cumulative": 9.0}
    settings = {"guards": guards, "ingest": {"facts": 20}}
    bad = MalformedChange(feed="feed<1>", position="line 9", why="not JSON")
    told = {"dated": datetime(2026, 1, 5, tzinfo=UTC), "evidence": "https://example.org/<1>"}
    first = changes[1].model_copy(update={"provenance": changes[1].provenance.model_copy(update=told)})
    with open_session(directory, model="mini", method="rome", moments="identity", settings=settings) as session:
        apply_feed(session, "feed<1>", [first, bad], fingerprint="a" * 64)
        session.decider.guard.settings = GuardSettings.model_validate({**guards, "norm": 1e-6})
        apply_feed(session, "feed<1>", [changes[0]], fingerprint="b" * 64)
    return directory


def test_every_change_is_on_the_page_with_its_answers_numbers_and_facts(store, cases) -> None:
    report = build_report(store)
    kept, refused = report.changes
    assert (kept.state, refused.state) == (State.CHECKED, State.REFUSED)
    assert report.right == 1.0
    assert kept.right is True
    assert refused.right is False
    for change, case in zip(report.changes, (cases[1], cases[0]), strict=True):
        question, target = case.probes["efficacy"][0]
        assert (change.question, change.target_new) == (question, target)
        assert change.before is not None
        assert change.now is not None
        assert change.before.text != target
        assert (change.now.text == target) is (change is kept)
        assert change.facts[0] == (change.subject, change.relation, target)
        assert change.ids.count("Q") == 2
        assert len(change.answered) == len(change.facts)
    assert kept.answered[0] is True
    assert refused.answered == (None,) * len(refused.facts)
    assert kept.before.probability < 0.5 < kept.now.probability
    # Who points at a fact sees the sentence and the answers; who cannot point has those about what follows in a table.
    page = unescape(to_html(report))
    for change in report.changes:
        assert f"<title>{change.question} …\nbefore: {change.before.text}\nnow: {change.now.text}</title>" in page
    follows = [asked for asked in kept.asked[1:] if asked]
    assert follows
    assert len(kept.asked) == len(kept.facts)
    for asked, right in zip(kept.asked, kept.answered, strict=True):
        if asked and right is not None:
            assert (asked.now == asked.right) is right
    for asked in follows:
        assert f"<title>{asked.question} …\nnow: {asked.now}</title>" in page
        assert f"<td>{asked.question} …</td><td>{asked.right}</td><td>{asked.now}</td>" in page
    assert f"{len(follows)} questions about what follows" in page or len(follows) == 1
    assert "norm" in refused.reason
    assert refused.numbers["norm"] > 1e-6
    text = to_html(report)
    assert text.count("<svg") == 2
    for change in report.changes:
        assert f'id="change-{change.id}"' in text
        assert f"{change.numbers['norm']:.4g}" in text
        assert f"ids {change.ids}" in text
    assert "evidence https://example.org/&lt;1&gt;; dated 2026-01-05" in text
    assert re.search(r"second moments of layer [\d, ]+: the identity matrix", text)
    assert "feed&lt;1&gt;, line 9" in text
    assert json.loads(to_json(report))["changes"][1]["reason"] == refused.reason


def test_equal_stores_give_equal_bytes(store, tmp_path) -> None:
    shutil.copytree(store, tmp_path / "elsewhere")
    first, second = build_report(store), build_report(tmp_path / "elsewhere")
    assert to_html(first) == to_html(second)
    assert to_json(first) == to_json(second)


def test_the_page_is_written_whole_or_not_at_all(tmp_path) -> None:
    report = hostile()
    write_report(report, tmp_path / "page.html")
    write_report(report, tmp_path / "page.json")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == to_html(report)
    assert json.loads((tmp_path / "page.json").read_text(encoding="utf-8")) == report.model_dump(mode="json")
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveFailed):
        write_report(report, tmp_path / "file" / "page.html")
    for name in ("page.html", "page.json", "new.html"):
        check_report_file(tmp_path / name)
    with pytest.raises(SaveFailed, match="no earlier output"):
        check_report_file(tmp_path / "file")


def test_the_command_writes_the_page_and_prints_the_same_as_json(store, tmp_path, capsys) -> None:
    words = ["ingest", "report", "--store", str(store), "--out", str(tmp_path / "page.html"), "--json"]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    report = IngestReport.model_validate_json(capsys.readouterr().out)
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == to_html(report)
    with pytest.raises(SystemExit) as ended:
        main(words[:4])
    assert ended.value.code == 2
    assert "--out" in capsys.readouterr().err
