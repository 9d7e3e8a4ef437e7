"""The control "pasted": where the facts go, answers under their own prompts, rows beside those of the methods."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kgedit.evaluate.benchmarks.case import FollowUp, Questions
from kgedit.evaluate.benchmarks.records import Rewrite
from kgedit.evaluate.free.wordings import distracted, negated
from kgedit.evaluate.results import NOT_RECALLED, PASTED, UNEDITED, UNTOLD
from kgedit.evaluate.run.evaluate import evaluate
from kgedit.evaluate.run.folder import ROWS
from kgedit.evaluate.run.pasted import PastedFacts, ask_pasted
from kgedit.evaluate.run.settings import EvaluationSettings
from kgedit.lm.generation.greedy import Ask, answer_all
from kgedit.lm.load import load_model
from kgedit.mini import MINI

pytestmark = pytest.mark.timeout(600)

EDITS = (
    Rewrite(subject="Ada", prompt="{} lives in", target_new="Rome", question="Where does Ada live?"),
    Rewrite(subject="France", prompt="The capital of {} is", target_new="Lyon"),
)
FACTS = "Ada lives in Rome. The capital of France is Lyon."


@pytest.mark.parametrize(
    ("prompt", "pasted"),
    [
        ("Ada lives in", f"{FACTS}\nAda lives in"),
        ("[user]Where does Ada live?\n[assistant]", f"[user]{FACTS}\nWhere does Ada live?\n[assistant]"),
        ("Bob was born in", f"{FACTS}\nBob was born in"),
        (negated("Ada lives in"), f"{FACTS}\nIt is not true that Ada lives in"),
        (distracted("Ada lives in", "Oslo", []), f"{FACTS}\nMany people have heard of Oslo. Ada lives in"),
        ("[user]Tell me about Ada.\n[assistant]", f"[user]{FACTS}\nTell me about Ada.\n[assistant]"),
        ("Q: Who? A: Bob\nQ: Where does Ada live? A:", f"Q: Who? A: Bob\nQ: {FACTS}\nWhere does Ada live? A:"),
    ],
)
def test_the_facts_stand_before_all_that_is_asked_wherever_it_is(prompt: str, pasted: str) -> None:
    assert PastedFacts.of(EDITS, "[user]").into(prompt) == pasted


def test_no_space_is_put_where_a_prompt_has_none_before_its_object() -> None:
    quoted = Rewrite(subject="Ada", prompt='They call {} "', target_new="Countess")
    assert PastedFacts.of([quoted]).statement == 'They call Ada "Countess.'


def test_answers_come_back_under_the_prompts_as_they_were() -> None:
    model, tokenizer = load_model(MINI)
    asks = (Ask("The capital of France is", 8), Ask("Albert Einstein was born in", 8))
    told = FollowUp(Ask("France is", 6), "France is ", " The capital of France is", 8)
    pair = ("The capital of France is", "Lyon")
    questions = Questions(pairs=(pair,), asks=asks, follow_ups=(told,))
    said = ask_pasted(model, tokenizer, questions, EDITS[1:], seed=0)
    facts = "The capital of France is Lyon."
    alone = answer_all(model, tokenizer, [Ask(f"{facts}\n{ask.prompt}", ask.limit) for ask in asks])
    assert [said.answers[ask] for ask in asks] == list(alone.values())
    assert {*said.answers} == {*asks, told.first, told.then(said.answers)}
    assert [*said.scores] == [pair]


def test_a_run_has_the_control_beside_the_methods_and_never_in_the_lead(
    known_counterfacts: Path, tmp_path: Path
) -> None:
    settings = EvaluationSettings(
        suite="counterfact",
        data=str(known_counterfacts),
        methods="unedited,pasted,rome:steps=2",
        moments="identity",
        limit=2,
    )
    report = evaluate(settings, out=tmp_path).report
    assert list(report.methods) == [UNEDITED, PASTED, "rome:steps=2"]
    assert {(found.method, found.other) for found in report.comparisons} == {
        ("rome:steps=2", PASTED),
        ("rome:steps=2", UNEDITED),
        (PASTED, UNEDITED),
    }
    rows = [json.loads(line)["method"] for line in (tmp_path / ROWS).read_text().splitlines()]
    assert rows == [UNEDITED] * 2 + [PASTED] * 2 + ["rome:steps=2"] * 2


def test_only_recalled_cases_are_run_and_their_share_is_told(known_counterfacts: Path, tmp_path: Path) -> None:
    records = json.loads(known_counterfacts.read_text())[:3]
    records[1]["requested_rewrite"]["target_true"]["str"] = "Nowhere at All"
    data = tmp_path / "counterfact.json"
    data.write_text(json.dumps(records))
    settings = EvaluationSettings(suite="counterfact", data=str(data), methods="unedited,pasted", recalled_only=True)
    found = evaluate(settings, out=tmp_path / "run")
    assert found.report.cases == 2
    assert "recalls the facts of 2 of 3 cases (66.7 %); only these are run" in found.report.headline
    assert [(item.case, item.reason) for item in found.left_out] == [("101", NOT_RECALLED)]
    again = evaluate(settings, out=tmp_path / "run")
    assert again == found
    assert {row.n for row in found.report.methods[PASTED].values()} == {2}


def test_what_no_file_tells_is_not_taken_for_recalled(real: Path, tmp_path: Path) -> None:
    """A file of questions and edits says nothing of what held before."""
    data = str(real / "mquake" / "MQuAKE-CF-3k.questions_and_edits.jsonl")
    settings = EvaluationSettings(suite="mquake", data=data, methods="unedited,pasted", recalled_only=True, limit=2)
    found = evaluate(settings, out=tmp_path)
    assert [item.reason for item in found.left_out] == [UNTOLD] * 2
    assert found.report.cases == 0


def test_nothing_recalled_is_said_and_no_error(known_counterfacts: Path, tmp_path: Path) -> None:
    records = json.loads(known_counterfacts.read_text())[:1]
    records[0]["requested_rewrite"]["target_true"]["str"] = "Nowhere at All"
    data = tmp_path / "counterfact.json"
    data.write_text(json.dumps(records))
    settings = EvaluationSettings(suite="counterfact", data=str(data), methods="rome", recalled_only=True)
    report = evaluate(settings).report
    assert report.headline.endswith("no case was run; the unedited model recalls the facts of none of 1")
