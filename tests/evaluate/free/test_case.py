"""Runs under the free protocol: figures by hand-made answers, texts kept beside each figure, runs that resume."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from kg_cache.bundled import bundled_store
from kgedit.evaluate.benchmarks.case import BenchmarkCase, Options, Replies
from kgedit.evaluate.benchmarks.counterfact.case import case as counterfact_case
from kgedit.evaluate.benchmarks.counterfact.record import CounterFactRecord
from kgedit.evaluate.benchmarks.records import Probe, Rewrite
from kgedit.evaluate.free.case import FreeForm, free_cases
from kgedit.evaluate.free.graph_facts import GraphFacts
from kgedit.evaluate.free.probe import judge_all
from kgedit.evaluate.results import UNEDITED
from kgedit.evaluate.run.evaluate import evaluate
from kgedit.evaluate.run.folder import ROWS, TEXTS
from kgedit.evaluate.run.settings import EvaluationSettings
from kgedit.graph.verbalize import Verbalizer
from kgedit.lm.load import load_model
from kgedit.lm.scoring.teacher_forced import TargetScore
from kgedit.mini import MINI

pytestmark = pytest.mark.timeout(600)

CHAT = "{% for m in messages %}[{{ m.role }}]{{ m.content }}\n{% endfor %}[assistant]"
RECORD = CounterFactRecord(
    case_id=1,
    rewrites=(
        Rewrite(subject="Ada", prompt="{} was born in", target_new="Rome", target_true="Oslo", relation_id="P19"),
    ),
    paraphrases=("The birthplace of Ada is",),
    neighborhood=(Probe(prompt="Bob was born in", answers=(("Oslo",),)),),
)


def made(chat: bool) -> BenchmarkCase:
    tokenizer = load_model(MINI)[1]
    tokenizer.chat_template = CHAT if chat else None
    form = FreeForm(tokenizer, GraphFacts(bundled_store(), Verbalizer.bundled()), "contains", 0)
    return free_cases([counterfact_case(RECORD, Options())], form)[0]


def replies(case: BenchmarkCase, says: str) -> Replies:
    """One and the same text to everything."""
    answers = dict.fromkeys(case.all_questions.asks, says)
    for follow_up in case.questions.follow_ups:
        answers[follow_up.first] = "a person."
        answers[follow_up.then(answers)] = says
    scores = {pair: TargetScore((1,), (-1.0,), (1,)) for pair in case.questions.pairs}
    return Replies(scores=scores, answers=answers)


def test_an_edit_that_is_said_everywhere_is_right_except_where_it_must_not_be_said() -> None:
    case = made(chat=True)
    values = case.values(replies(case, "Rome."), replies(case, "Oslo."))
    free = {name: value for name, value in values.items() if name.endswith("_free")}
    assert free == {
        "efficacy_free": 1,
        "paraphrase_free": 1,
        "chat_free": 1,
        "after_telling_free": 1,
        "distraction_free": 1,
        "choice_free": 1,
        "negation_free": 0,
        "neighborhood_free": 0,
        "unrelated_free": 0,
        "subject_facts_free": 0,
    }
    assert values["efficacy"] == 0, "the figures of the benchmark stay"


def test_the_unedited_model_is_asked_for_the_old_object_and_keeps_itself() -> None:
    case = made(chat=False)
    before = replies(case, "Oslo.")
    values = case.values_before(before)
    assert (values["efficacy_before_free"], values["efficacy_free"]) == (1, 0)
    assert values["neighborhood_free"] == values["subject_facts_free"] == values["unrelated_free"] == 1
    assert "chat_free" not in values


def test_a_files_own_facts_of_the_subject_are_asked_before_those_of_the_graph() -> None:
    plain = counterfact_case(RECORD, Options())
    form = FreeForm(load_model(MINI)[1], GraphFacts(bundled_store(), Verbalizer.bundled()), "exact", 0)
    own = ("Ada works as", "Ada was born in")
    (case,) = free_cases([replace(plain, subject_facts=own)], form)
    asked = [text.prompt for text in case.texts(*[replies(case, "so.")] * 2) if text.figure == "subject_facts"]
    assert asked == ["Ada works as"], "the edited prompt itself must change"
    (case,) = free_cases([plain], form)
    asked = [text.prompt for text in case.texts(*[replies(case, "so.")] * 2) if text.figure == "subject_facts"]
    assert len(asked) == 3


def test_a_run_keeps_every_text_and_resumes_to_the_same_report(known_counterfacts: Path, tmp_path: Path) -> None:
    settings = EvaluationSettings(
        suite="counterfact",
        data=str(known_counterfacts),
        methods="rome:steps=4",
        moments="identity",
        limit=2,
        protocol="free",
        sequential=True,
    )
    report = evaluate(settings, out=tmp_path / "whole").report
    names = [UNEDITED, "rome:steps=4", "rome:steps=4@end"]
    lines = [json.loads(line) for line in (tmp_path / "whole" / TEXTS).read_text().splitlines()]
    assert [(line["method"], line["case"]) for line in lines] == [
        (name, case) for name in names for case in ("100", "101")
    ], "all edits are asked again when the last one is made"
    edit = lines[2]["texts"][0]
    assert (edit["figure"], edit["right"]["free"]) == ("efficacy", edit["said"].rstrip(".") in edit["wanted"])
    # Means of the stored verdicts are the figures.
    for name in names:
        verdicts = [t["right"]["free"] for line in lines if line["method"] == name for t in line["texts"]
                    if t["figure"] == "efficacy"]  # fmt: skip
        assert report.methods[name]["efficacy_free"].value == sum(verdicts) / len(verdicts)
    assert {item.text.figure for item in report.texts} >= {"efficacy", "paraphrase", "negation", "unrelated"}
    page = (tmp_path / "whole" / "report.md").read_text()
    assert edit["said"] in page
    # Stopped behind the texts of a case, before its row.
    before = {file.name: file.read_bytes() for file in (tmp_path / "whole").iterdir() if file.is_file()}
    rows = before[ROWS].splitlines(keepends=True)
    (tmp_path / "whole" / ROWS).write_bytes(b"".join(rows[:-1]))
    evaluate(settings, out=tmp_path / "whole")
    assert {file.name: file.read_bytes() for file in (tmp_path / "whole").iterdir() if file.is_file()} == before


def test_nothing_is_judged_twice_for_a_case_without_probes() -> None:
    assert judge_all([], Replies(), Replies(), "exact") == ()
