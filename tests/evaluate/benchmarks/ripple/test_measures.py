"""RippleEdits' rules: conditions decide what is executed, edits that failed do not count, groups and aliases."""

from __future__ import annotations

import pytest

from kgedit.evaluate.benchmarks.ripple.measures import CRITERIA, Query, RippleProbe, RippleTest, Tally, ripple_mean
from kgedit.lm.generation.greedy import Ask

EDIT = Query("Leo is a citizen of", (("Syria", "SY"),))
POUND = Query("Leo's currency is", (("Syrian pound", "LS"),))
KNOWN = Query("Syria's currency is", (("Syrian pound", "LS"),))
ARABIC = Query("Leo speaks", (("Arabic",), ("French",)))
MOTHER = Query("Leo's mother is", (("Irmelin",),))


def ask(query: Query) -> Ask:
    return query.ask("strict")


def test_published_length_and_text() -> None:
    assert EDIT.ask("published") == Ask("Leo is a citizen of", 19 + 30, "limit", total=True)
    published = {EDIT.ask("published"): "Germany. It is"}
    assert not EDIT.holds(published, "published")
    assert Query("Leo of Syria is of", (("Syria",),)).holds(
        {Ask("Leo of Syria is of", 48, "limit", total=True): ""}, "published"
    )  # the prompt's own words count there
    assert not Query("Leo of Syria is of", (("Syria",),)).holds({Ask("Leo of Syria is of"): ""}, "strict")
    assert EDIT.holds({EDIT.ask("published"): "Assyrian, SYria"}, "published") is True  # "SY", a substring
    assert EDIT.holds({ask(EDIT): "Assyrian, SYria"}, "strict") is True  # "syria" regardless of case
    assert EDIT.holds({ask(EDIT): "Assyrian"}, "strict") is False


def test_every_group_needs_a_name() -> None:
    assert ARABIC.holds({ask(ARABIC): "French and Arabic."}, "strict")
    assert not ARABIC.holds({ask(ARABIC): "French."}, "strict")
    assert ARABIC.holds({ARABIC.ask("published"): "French and Arabic"}, "published")
    assert not ARABIC.holds({ARABIC.ask("published"): "French"}, "published")


def test_names_of_one_character_are_dropped_unless_digits() -> None:
    assert Query("p", (("F", "female"), ("3",))).usable == (("female",), ("3",))
    hopeless = Query("p", (("F",),))
    assert not hopeless.can_be_answered
    assert not hopeless.holds({}, "published")
    assert not Query("p", (("F",), ("female",))).can_be_answered
    assert not Query("p", ()).can_be_answered  # as in "recent" records
    assert not Query(" ", (("Paris",),)).can_be_answered


def test_conditions_decide_what_is_executed() -> None:
    test = RippleTest((POUND,), (KNOWN,))
    knows, not_knows = {ask(KNOWN): "Syrian pound"}, {ask(KNOWN): "euro"}
    assert test.outcome(knows, {ask(POUND): "LS"}, "strict") is True
    assert test.outcome(knows, {ask(POUND): "euro"}, "strict") is False
    assert test.outcome(not_knows, {ask(POUND): "LS"}, "strict") is None
    assert RippleTest((POUND,)).outcome({}, {ask(POUND): "LS"}, "strict") is True
    unanswerable = Query("p", ())
    assert RippleTest((POUND,), (KNOWN, unanswerable)).outcome(knows, {ask(POUND): "LS"}, "strict") is None
    assert RippleTest((unanswerable,)).outcome({}, {}, "strict") is None


def test_or_and_and() -> None:
    after = {ask(POUND): "LS", ask(MOTHER): "Maria"}
    assert RippleTest((POUND, MOTHER)).outcome({}, after, "strict") is True
    assert RippleTest((POUND, MOTHER), rule="AND").outcome({}, after, "strict") is False


PROBE = RippleProbe(
    EDIT,
    {
        "Compositionality_I": (
            RippleTest((POUND,), (KNOWN,)),
            RippleTest((ARABIC,)),
            RippleTest((POUND,), (MOTHER,)),
            RippleTest((Query("p", ()),)),
        ),
        "Relation_Specificity": (RippleTest((MOTHER,), (MOTHER,)),),
        "Subject_Aliasing": (),
    },
)
BEFORE = {ask(KNOWN): "Syrian pound.", ask(MOTHER): "Anna"}


def test_scores_and_executed_shares_by_hand() -> None:
    after = {ask(EDIT): "Syria", ask(POUND): "Syrian pound", ask(ARABIC): "Arabic", ask(MOTHER): "Irmelin"}
    assert set(PROBE.asks_before("strict")) == set(BEFORE)
    assert set(PROBE.asks("strict")) == set(after)
    assert PROBE.tally(BEFORE, after, "strict") == {
        "Compositionality_I": Tally(passed=1, executed=2, tests=4),
        "Relation_Specificity": Tally(passed=0, executed=0, tests=1),
    }
    found = PROBE.judge(BEFORE, after, "strict")
    assert found == {
        "edit_success": 1.0,
        "compositionality_1_executed": 0.5,
        "compositionality_1": 0.5,
        "relation_specificity_executed": 0.0,
    }
    assert ripple_mean(found) == 0.5
    assert ripple_mean({"edit_success": 1.0}) is None


def test_an_edit_that_failed_counts_for_no_criterion() -> None:
    after = {ask(EDIT): "Germany", ask(POUND): "Syrian pound", ask(ARABIC): "Arabic", ask(MOTHER): "Irmelin"}
    assert PROBE.judge(BEFORE, after, "strict") == {
        "edit_success": 0.0,
        "compositionality_1_executed": 0.5,
        "relation_specificity_executed": 0.0,
    }


@pytest.mark.parametrize("protocol", ["published", "strict"])
def test_whatever_is_judged_was_asked(protocol: str) -> None:
    before = dict.fromkeys(PROBE.asks_before(protocol), "")
    after = dict.fromkeys(PROBE.asks(protocol), "")
    assert PROBE.judge(before, after, protocol)["edit_success"] == 0


def test_all_six_criteria_have_a_name() -> None:
    assert len(set(CRITERIA.values())) == len(CRITERIA) == 6
