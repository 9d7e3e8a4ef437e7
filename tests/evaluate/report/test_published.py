"""The paper's tables: typed in right, run by methods that there are, and shown beside ours."""

from __future__ import annotations

import numpy as np
import pytest

from kgedit.errors import EvaluationError
from kgedit.evaluate.report.bootstrap import harmonic
from kgedit.evaluate.report.estimates import Estimate
from kgedit.evaluate.report.model import SuiteReport, build_report
from kgedit.evaluate.report.published import beside_published, merged, published_table
from kgedit.evaluate.results import UNEDITED, Row
from kgedit.evaluate.run.settings import EvaluationSettings
from kgedit.methods.registry import parse_variant

# The printed Editing Scores that their own rows contradict, as the notes of the tables say.
MISPRINTED = {("gpt-j-6b", "ROME-KG"), ("gpt2-xl", "w/ MLP"), ("gpt-j-6b", "w/ MLP")}


def figure(value: float) -> Estimate:
    return Estimate(value=value, low=value - 0.1, high=value + 0.1, n=10)


def run_of(**values: float) -> SuiteReport:
    rows = [Row(case=str(case), method="glame:paper", hops=None, edits=1, values=values) for case in range(8)]
    return build_report(rows, suite="counterfact", manifest={}, left_out={}, seed=0)


@pytest.mark.parametrize("number", [1, 2])
def test_printed_editing_scores_follow_from_their_rows(number: int) -> None:
    checked = 0
    for model, rows in published_table(number).figures.items():
        for row, (*four, score) in rows.items():
            follows = float(harmonic(np.array(four))) == pytest.approx(score, abs=0.02)
            assert follows is ((model, row) not in MISPRINTED), (model, row)
            checked += 1
    assert checked == {1: 16, 2: 8}[number]


def test_printed_averages_of_hops_follow_from_their_rows() -> None:
    for rows in published_table(6).figures.values():
        for mean, *classes in rows.values():
            assert mean == pytest.approx(sum(classes) / 3, abs=0.01)


@pytest.mark.parametrize("name", [1, 2, 6, "rome", "batch", "sequential"])
def test_every_row_is_run_by_a_method_that_there_is(name: int | str) -> None:
    table = published_table(name)
    rows = {row for found in table.figures.values() for row in found}
    assert rows - table.variants.keys() <= {"MEND", "KE", "KE-zsRE", "MEND-zsRE"}
    assert table.second.keys() <= table.variants.keys()
    for variant in [
        *table.variants.values(),
        *table.second.values(),
        *table.with_baselines_of("glame").variants.values(),
        *table.ours,
    ]:
        if variant != UNEDITED:
            parse_variant(variant)


def test_another_table_is_refused() -> None:
    with pytest.raises(EvaluationError, match="no table 3; there are: 1, 2, 6, rome, batch, sequential"):
        published_table(3)


def test_each_table_is_run_as_it_was_published() -> None:
    given = {"suite": "counterfact", "data": "cf.json"}
    assert published_table(1).run_with(None) == {"limit": None, "zsre_target": "alt"}
    assert published_table("rome").run_with(5) == {"limit": 5, "zsre_target": "answer"}
    together = EvaluationSettings(**given, **published_table("batch").run_with(None))
    assert (together.mode, together.most_cases, together.batch_edits) == ("together", 100, 100)
    sequence = EvaluationSettings(**given, **published_table("sequential").run_with(250))
    assert (sequence.mode, sequence.most_cases, sequence.batch_edits) == ("sequence", 250, 100)


def test_the_figures_of_a_sequence_are_those_at_its_end() -> None:
    table = published_table("sequential")
    first, last = (run_of(efficacy=value).methods["glame:paper"] for value in (0.25, 0.75))
    report = run_of().model_copy(update={"methods": {"unedited": first, "memit:seq": first, "memit:seq@50": last}})
    text = beside_published(table, "gpt2-xl", [report], more=["unedited", "memit:seq"], limit=50)
    assert "| memit:seq | 75.0 ±0.0 |" in text
    assert "| unedited | 25.0 ±0.0 |" in text
    assert "| AlphaEdit (memit:alphaedit) | - (99.50) |" in text


def test_ours_stand_beside_the_published_figures_of_the_same_model() -> None:
    text = beside_published(published_table(1), "EleutherAI/gpt-j-6B", [run_of(efficacy=0.5)])
    assert "| GLAME (glame:paper) | 50.0 ±0.0 (100.00) | - (99.30) |" in text
    assert "| MEND | - (97.40) |" in text
    assert "for gpt-j-6b." in text


def test_strict_portability_stands_beside_the_published_fuzzy_one_by_name() -> None:
    report = run_of(efficacy=1.0, portability=0.5, portability_published_fuzzy=0.25)
    text = beside_published(published_table(1), "gpt2-xl", [report])
    heading = text[text.index("|  |") :].splitlines()[0]
    assert "| portability, sampled fuzzy (published) | portability, strict greedy (ours) | editing_score |" in heading
    assert "| 25.0 ±0.0 (23.95) | 50.0 ±0.0 | - (53.24) |" in text
    assert "Published portability is fuzzy" in text


def test_each_benchmark_is_run_with_its_own_published_settings() -> None:
    one, six = published_table(1), published_table(6)
    assert one.run_as("GLAME", 0) == "glame:paper"
    assert one.run_as("GLAME", 1) == "glame:paper-cf-plus"
    assert (one.run_as("ROME", 0), one.run_as("ROME", 1)) == ("rome:paper", "rome:paper")
    assert six.run_as("GLAME", 0) == "glame:paper-mquake"
    first = run_of(efficacy=0.5)
    second = run_of(portability=0.25)
    plus = second.model_copy(update={"methods": {"glame:paper-cf-plus": second.methods["glame:paper"]}})
    assert "| 50.0 ±0.0 (99.84) |" in (text := beside_published(one, "gpt2-xl", [first, plus]))
    assert "| 25.0 ±0.0 |" in text


def test_baselines_as_in_their_own_papers_or_as_in_glames_tables() -> None:
    table = published_table(1).with_baselines_of("glame")
    assert (table.variants["ROME"], table.variants["MEMIT"]) == ("rome:paper-glame", "memit:paper-glame")
    assert table.variants["GLAME"] == "glame:paper"
    assert any("KL weight of 1" in note for note in table.notes)


def test_another_model_stands_beside_all_published_ones_and_may_have_rows_of_its_own() -> None:
    report = run_of(efficacy=0.5)
    own = report.model_copy(update={"methods": {"glame": report.methods["glame:paper"]}})
    text = beside_published(published_table(1), "mini", [own], more=["glame"])
    assert "| GLAME (glame:paper) | - (99.84 / 100.00) |" in text
    assert "| glame | 50.0 ±0.0 |" in text


def test_portability_of_another_run_gives_the_editing_score_of_the_four_means() -> None:
    first = {"efficacy": figure(1.0), "paraphrase": figure(0.5), "neighborhood": figure(0.5)}
    first["editing_score"] = figure(0.6)
    second = {"portability": figure(0.25), "efficacy": figure(0.1)}
    found = merged([first, second])
    assert found["editing_score"] == pytest.approx(4 / (1 + 2 + 2 + 4))
    assert found["efficacy"] == first["efficacy"]
    assert merged([{**first, **second}])["editing_score"] == first["editing_score"]
