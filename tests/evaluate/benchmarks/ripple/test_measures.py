"""RippleEdits' rules: conditions decide what is executed, edits that failed do not count, groups and aliases."""

from __future__ import annotations

import pytest

from kgedit.evaluate.benchmarks.ripple.measures import (
    RippleProbe,
    Tally,
    ask_of,
    can_be_answered,
    holds,
    outcome,
    usable_names,
)
from kgedit.evaluate.benchmarks.ripple.record import CRITERIA, RippleQuery, RippleTest
from kgedit.lm.generation.greedy import Ask


def query(prompt: str, *answers: tuple[str, ...]) -> RippleQuery:
    return RippleQuery(prompt=prompt, answers=answers, query_type="regular", relation="X")


def a_test(*queries: RippleQuery, given: tuple[RippleQuery, ...] = (), rule: str = "OR", of: str = "X") -> RippleTest:
    return RippleTest(criterion=of, queries=queries, conditions=given, condition=rule)


EDIT = query("Leo is a citizen of", ("Syria", "SY"))
POUND = query("Leo's currency is", ("Syrian pound", "LS"))
KNOWN = query("Syria's currency is", ("Syrian pound", "LS"))
ARABIC = query("Leo speaks", ("Arabic",), ("French",))
MOTHER = query("Leo's mother is", ("Irmelin",))


def ask(query: RippleQuery) -> Ask:
    return ask_of(query, "strict")


def test_published_length_and_text() -> None:
    long = ask_of(EDIT, "published")
    assert long == Ask("Leo is a citizen of", 19 + 30, "limit", total=True)
    assert not holds(EDIT, {long: "Germany. It is"}, "published")
    own_words = query("Leo of Syria is of", ("Syria",))
    assert holds(own_words, {ask_of(own_words, "published"): ""}, "published")  # the prompt's own words count there
    assert not holds(own_words, {ask(own_words): ""}, "strict")
    assert holds(EDIT, {long: "Assyrian, SYria"}, "published")  # "SY", a substring
    assert holds(EDIT, {ask(EDIT): "Assyrian, SYria"}, "strict")  # "syria" regardless of case
    assert not holds(EDIT, {ask(EDIT): "Assyrian"}, "strict")


def test_every_group_needs_a_name() -> None:
    assert holds(ARABIC, {ask(ARABIC): "French and Arabic."}, "strict")
    assert not holds(ARABIC, {ask(ARABIC): "French."}, "strict")
    assert holds(ARABIC, {ask_of(ARABIC, "published"): "French and Arabic"}, "published")
    assert not holds(ARABIC, {ask_of(ARABIC, "published"): "French"}, "published")


def test_names_of_one_character_are_dropped_unless_digits() -> None:
    assert usable_names(query("p", ("F", "female"), ("3",))) == (("female",), ("3",))
    hopeless = query("p", ("F",))
    assert not can_be_answered(hopeless)
    assert not holds(hopeless, {}, "published")
    assert not can_be_answered(query("p", ("F",), ("female",)))
    assert not can_be_answered(query("p"))  # as in "recent" records


def test_conditions_decide_what_is_executed() -> None:
    test = a_test(POUND, given=(KNOWN,))
    knows, not_knows = {ask(KNOWN): "Syrian pound"}, {ask(KNOWN): "euro"}
    assert outcome(test, knows, {ask(POUND): "LS"}, "strict") is True
    assert outcome(test, knows, {ask(POUND): "euro"}, "strict") is False
    assert outcome(test, not_knows, {ask(POUND): "LS"}, "strict") is None
    assert outcome(a_test(POUND), {}, {ask(POUND): "LS"}, "strict") is True
    unanswerable = query("p")
    assert outcome(a_test(POUND, given=(KNOWN, unanswerable)), knows, {ask(POUND): "LS"}, "strict") is None
    assert outcome(a_test(unanswerable), {}, {}, "strict") is None


def test_or_and_and() -> None:
    after = {ask(POUND): "LS", ask(MOTHER): "Maria"}
    assert outcome(a_test(POUND, MOTHER), {}, after, "strict") is True
    assert outcome(a_test(POUND, MOTHER, rule="AND"), {}, after, "strict") is False


PROBE = RippleProbe(
    EDIT,
    (
        a_test(POUND, given=(KNOWN,), of="Compositionality_I"),
        a_test(ARABIC, of="Compositionality_I"),
        a_test(MOTHER, given=(MOTHER,), of="Relation_Specificity"),
        a_test(POUND, given=(MOTHER,), of="Compositionality_I"),
        a_test(query("p"), of="Compositionality_I"),
    ),
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
