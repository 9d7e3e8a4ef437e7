"""Verdicts of the free protocol on texts made by hand."""

from __future__ import annotations

import random

import pytest

from kgedit.evaluate.benchmarks.case import FollowUp, Replies
from kgedit.evaluate.free.probe import ChoiceProbe, LocalityProbe, NameProbe, figures_of, judge_all
from kgedit.evaluate.free.wordings import ask, choice
from kgedit.lm.generation.greedy import Ask
from kgedit.lm.load import load_model
from kgedit.mini import MINI

TEXT = "Ada lives in"
ASK = ask(TEXT)
NAMES = ("New York City", "NYC")


def verdicts(said: str, *, absent: bool = False, match: str = "contains") -> dict[str, bool]:
    return NameProbe("efficacy", ASK, TEXT, NAMES, absent).judged(Replies(answers={ASK: said}), Replies(), match).right


@pytest.mark.parametrize(
    ("said", "whole", "inside"),
    [
        ("New York City.", True, True),
        ("new york city", True, True),
        ("NYC.", True, True),
        ("Ada lives in NYC.", True, True),
        ("New York City, and she works there.", False, True),
        ("the heart of New York City.", False, True),
        ("New York.", False, False),
        ("", False, False),
    ],
)
def test_exact_match_wants_the_whole_text_and_takes_every_name(said: str, whole: bool, inside: bool) -> None:
    assert verdicts(said) == {"free": whole, "free_contains": inside}


def test_a_negated_prompt_is_right_without_the_name() -> None:
    assert verdicts("New York City.", absent=True) == {"free": False, "free_contains": False}
    assert verdicts("Paris.", absent=True) == {"free": True, "free_contains": True}


@pytest.mark.parametrize("said", ["NYC, of course.", "the city of NYC."])
def test_a_negated_prompt_is_wrong_with_the_name_anywhere_under_every_rule(said: str) -> None:
    assert verdicts(said, absent=True) == {"free": False, "free_contains": False}
    assert verdicts(said, absent=True, match="exact") == {"free": False}


def test_with_exact_as_the_rule_there_is_one_figure() -> None:
    assert verdicts("NYC", match="exact") == {"free": True}


@pytest.mark.parametrize(
    ("was", "now", "same", "name"),
    [
        ("Paris.", "Paris.", True, True),
        ("Paris, in France.", "Paris, the city of light.", False, True),
        ("Paris.", "Rome.", False, False),
        ("", "", True, True),
        ("", "Rome.", False, False),
    ],
)
def test_locality_compares_with_what_the_unedited_model_said(was: str, now: str, same: bool, name: bool) -> None:
    probe = LocalityProbe("neighborhood", ASK)
    text = probe.judged(Replies(answers={ASK: now}), Replies(answers={ASK: was}), "contains")
    assert text.right == {"free": same, "free_contains": name}
    assert text.wanted == (was.rstrip() if was else "",)


def test_a_follow_up_is_judged_by_its_second_answer_and_shows_what_was_asked() -> None:
    told = FollowUp(Ask("Ada is", 64, "sentence"), "Ada is ", f" {TEXT}", 32)
    second = Ask(f"Ada is old. {TEXT}", 32, "sentence")
    replies = Replies(answers={told.first: "old.", second: "NYC."})
    text = NameProbe("after_telling", told, TEXT, NAMES).judged(replies, Replies(), "exact")
    assert (text.prompt, text.said, text.right) == (second.prompt, "NYC.", {"free": True})


def test_figures_are_means_over_the_prompts_of_a_case_under_each_rule() -> None:
    other = ask("Ada dwells in")
    one = choice(load_model(MINI)[1], TEXT, "NYC", "Paris", random.Random(0))
    probes = [
        NameProbe("paraphrase", ASK, TEXT, NAMES),
        NameProbe("paraphrase", other, "Ada dwells in", NAMES),
        ChoiceProbe("choice", ask(one.prompt), one),
    ]
    said = {ASK: "NYC.", other: "Rome, not NYC.", ask(one.prompt): "ABC"[one.right]}
    assert figures_of(judge_all(probes, Replies(answers=said), Replies(), "contains")) == {
        "paraphrase_free": 0.5,
        "paraphrase_free_contains": 1.0,
        "choice_free": 1.0,
    }
