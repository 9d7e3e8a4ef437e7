"""Figures of a report by hand: means, hop classes, the Editing Score, pairing, and what may be called separated."""

from __future__ import annotations

import random

import pytest

from kgedit.evaluate.report.model import SuiteReport, build_report, pairs_of
from kgedit.evaluate.results import Row


def rows(method: str, values: list[dict[str, float]]) -> list[Row]:
    return [
        Row(case=str(number), method=method, hops=None, edits=1, values=found) for number, found in enumerate(values)
    ]


def report(found: list[Row], **manifest: object) -> SuiteReport:
    return build_report(found, suite="made", manifest=manifest, left_out={}, seed=0)


def test_the_editing_score_is_the_harmonic_mean_of_means() -> None:
    # Means 1, 1/2 and 1/2: 3 / (1 + 2 + 2) = 0.6. Per case it would be 0, as every case has a zero.
    found = report(
        rows(
            "rome",
            [
                {"efficacy": 1, "paraphrase": 0, "neighborhood": 1},
                {"efficacy": 1, "paraphrase": 1, "neighborhood": 0},
            ],
        )
    )
    assert found.methods["rome"]["editing_score"].value == pytest.approx(0.6)
    assert found.methods["rome"]["editing_score"].n == 2


def test_portability_counts_in_the_editing_score_where_some_case_has_it() -> None:
    # 4 / (1 + 1 + 1 + 2) = 0.8, although only one case asks for it.
    whole = {"efficacy": 1.0, "paraphrase": 1.0, "neighborhood": 1.0}
    found = report(rows("rome", [whole, {**whole, "portability": 0.5}]))
    assert found.methods["rome"]["editing_score"].value == pytest.approx(0.8)


def test_without_all_three_measures_there_is_no_editing_score() -> None:
    assert "editing_score" not in report(rows("rome", [{"efficacy": 1, "paraphrase": 1}])).methods["rome"]


def test_the_probability_figure_is_the_mean_of_hop_classes_and_multihop_the_mean_of_cases() -> None:
    two, three = {"multihop_probability_2": 1.0}, {"multihop_probability_3": 0.0}
    found = report(
        rows(
            "rome",
            [
                {"multihop_probability": 1, "multihop": 1, **two},
                {"multihop_probability": 1, "multihop": 1, **two},
                {"multihop_probability": 0, "multihop": 0, **three},
            ],
        )
    ).methods["rome"]
    assert found["multihop_probability"].value == pytest.approx(1 / 2)
    assert found["multihop"].value == pytest.approx(2 / 3)
    assert found["multihop_probability_2"].n == 2


def test_a_comparison_is_paired_and_over_common_cases_only() -> None:
    # Together they have cases 1 and 2, where glame is ahead by 1 and by 0; case 0 would make it behind.
    ours = [
        Row(case=c, method="glame", hops=None, edits=1, values={"efficacy": v})
        for c, v in [("0", 0), ("1", 1), ("2", 1)]
    ]
    theirs = [
        Row(case=c, method="rome", hops=None, edits=1, values={"efficacy": v})
        for c, v in [("1", 0), ("2", 1), ("3", 1)]
    ]
    (found,) = report([*ours, *theirs]).comparisons
    assert (found.method, found.other, found.metric) == ("glame", "rome", "efficacy")
    assert (found.difference, found.low, found.high, found.n) == (0.5, 0.0, 1.0, 2)


@pytest.mark.parametrize(("wins", "separated"), [(20, True), (1, False)])
def test_separated_only_if_the_interval_leaves_out_zero(wins: int, separated: bool) -> None:
    ours = [{"efficacy": 1.0}] * wins + [{"efficacy": 0.0}] * (20 - wins)
    (found,) = report(rows("glame", ours) + rows("rome", [{"efficacy": 0.0}] * 20)).comparisons
    assert found.separated is separated
    assert found.difference == pytest.approx(wins / 20)


def test_the_editing_score_of_both_leaves_out_what_only_one_has() -> None:
    whole = {"efficacy": 1.0, "paraphrase": 1.0, "neighborhood": 1.0}
    found = report(rows("glame", [{**whole, "portability": 0.25}]) + rows("rome", [whole]))
    assert found.methods["glame"]["editing_score"].value == pytest.approx(4 / 7)
    (score,) = [one for one in found.comparisons if one.metric == "editing_score"]
    assert score.difference == 0.0


def test_glame_is_compared_with_the_others_and_every_method_with_the_unedited_model() -> None:
    assert pairs_of(["unedited", "rome", "memit", "glame:paper"]) == [
        ("glame:paper", "rome"),
        ("glame:paper", "memit"),
        ("rome", "unedited"),
        ("memit", "unedited"),
        ("glame:paper", "unedited"),
    ]
    assert pairs_of(["glame:encoder=mlp", "glame"]) == [("glame", "glame:encoder=mlp")]
    assert pairs_of(["rome", "memit"]) == [("rome", "memit")]
    assert pairs_of(["unedited"]) == []
    assert pairs_of(["rome", "rome@end", "glame", "glame@end"]) == [("glame", "rome"), ("glame@end", "rome@end")]


def test_the_share_of_known_cases_is_said_first_and_stands_in_no_table() -> None:
    unedited = rows("unedited", [{"recalled_before": 1, "efficacy": 0}] * 3 + [{"recalled_before": 0, "efficacy": 0}])
    found = report(unedited + rows("rome", [{"efficacy": 1}] * 4))
    assert found.known is not None
    assert (found.known.value, found.known.n) == (0.75, 4)
    assert found.headline.startswith("made, 4 cases: the unedited model recalls the facts of 3 of 4 cases (75.0 %)")
    assert "recalled_before" not in found.methods["unedited"]
    assert all(one.metric != "recalled_before" for one in found.comparisons)


def test_facts_that_the_model_cannot_know_are_said_so_in_the_first_line() -> None:
    found = report(rows("unedited", [{"recalled_before": 0, "efficacy": 0}] * 5))
    assert "recalls the facts of 0 of 5 cases (0.0 %); what it does not know cannot be edited" in found.headline


def test_the_headline_names_the_main_difference() -> None:
    whole = {"efficacy": 1.0, "paraphrase": 1.0, "neighborhood": 1.0}
    half = {"efficacy": 0.5, "paraphrase": 0.5, "neighborhood": 0.5}
    found = report(rows("glame", [whole] * 8) + rows("rome", [half] * 8))
    assert "glame is 50.0 points above rome in editing_score [+50.0, +50.0]" in found.headline
    third = report(rows("glame", [whole] * 8) + rows("ft", [half] * 8) + rows("rome:key=original", [half] * 8))
    assert "glame is 50.0 points above rome:key=original in editing_score" in third.headline
    same = report(rows("glame", [whole] * 8) + rows("rome", [whole] * 8))
    assert "glame and rome are not separated in editing_score (+0.0 [+0.0, +0.0])" in same.headline


def test_the_report_does_not_depend_on_the_order_of_rows() -> None:
    rng = random.Random(1)
    found = [
        Row(
            case=str(case),
            method=method,
            hops=None,
            edits=1,
            values={"efficacy": rng.random(), "portability": rng.random()},
        )
        for case in range(30)
        for method in ("unedited", "rome", "glame")
    ]
    shuffled = rng.sample(found, len(found))
    assert report(found).model_dump_json() == report(shuffled).model_dump_json()


def test_methods_stand_in_the_order_asked_for() -> None:
    found = rows("rome", [{"efficacy": 1}]) + rows("unedited", [{"efficacy": 1}]) + rows("glame", [{"efficacy": 1}])
    assert list(report(found).methods) == ["unedited", "glame", "rome"]
    assert list(report(found, methods=["rome", "unedited", "glame", "memit"]).methods) == ["rome", "unedited", "glame"]


def test_no_row_is_a_report_without_figures() -> None:
    found = report([])
    assert (found.cases, found.methods, found.known) == (0, {}, None)
    assert found.headline == "made, 0 cases: no case was run"


def test_a_report_of_zsre_says_which_answer_the_edits_write() -> None:
    rows = [Row(case="0", method="rome", hops=None, edits=1, values={"zsre_efficacy": 1.0})]

    def headline(target: str) -> str:
        manifest = {"scoring": {"zsre_target": target}}
        return build_report(rows, suite="zsre", manifest=manifest, left_out={}, seed=0).headline

    assert headline("alt").startswith("zsre (edits write the other answer, alt), 1 case")
    assert headline("answer").startswith("zsre (edits write the first right answer), 1 case")
