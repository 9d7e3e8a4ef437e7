"""Which cases another case's edit disturbs, and that their figures are given with and without them."""

from __future__ import annotations

import pytest

from kgedit.evaluate.benchmarks.case import BenchmarkCase, Options, Questions, Replies
from kgedit.evaluate.benchmarks.mquake.case import case as mquake_case
from kgedit.evaluate.benchmarks.mquake.record import Hop, MQuakeRecord
from kgedit.evaluate.benchmarks.records import Rewrite
from kgedit.evaluate.run.disturbed import disturbed, marked
from kgedit.evaluate.run.lengths import Lengths

CITIZEN, HEAD = "{} is a citizen of", "The head of {} is"


def edit(subject: str, prompt: str, new: str, **ids: str) -> Rewrite:
    return Rewrite(subject=subject, prompt=prompt, target_new=new, **ids)


def chain(number: int, person: str, country: str, head: str, *rewrites: Rewrite, **fields: object) -> BenchmarkCase:
    """Person -> country -> head, as it is after the edits."""
    hops = (
        Hop(question=f"Whose citizen is {person}?", answer=country, cloze=f"{person} is a citizen of"),
        Hop(
            question=f"Who heads {country}?", answer=head, cloze=f"The head of {country} is", aliases=(f"Sir {head}",)
        ),
    )
    record = MQuakeRecord(
        case_id=number,
        rewrites=rewrites,
        questions=("Who heads it?",),
        answer="Old",
        new_answer=head,
        hops=hops,
        new_hops=hops,
        **fields,
    )
    return mquake_case(record, Options())


FIRST = chain(1, "Ann", "Peru", "Kim", edit("Ann", CITIZEN, "Peru"))


@pytest.mark.parametrize(
    ("other", "changed"),
    [
        # The second fact of the first chain is edited by the other case: only the first one's answer changes.
        (chain(2, "Bob", "Peru", "Lee", edit("Peru", HEAD, "Lee")), {"1"}),
        # The same object by another of its names, and in other letters, changes nothing.
        (chain(2, "Bob", "Peru", "Sir Kim", edit("peru", HEAD, "sir kim")), set()),
        # The same fact edited to two objects: neither can be told.
        (chain(2, "Ann", "Fiji", "Lee", edit("Ann", CITIZEN, "Fiji")), {"1", "2"}),
        (chain(2, "Ann", "Peru", "Kim", edit("Ann", CITIZEN, "Peru")), set()),
        # A chain that goes through a fact which the first case edits.
        (chain(2, "Ann", "Chad", "Lee", edit("Chad", HEAD, "Lee")), {"2"}),
        (chain(2, "Bob", "Chad", "Lee", edit("Bob", CITIZEN, "Chad")), set()),
    ],
)
def test_a_case_is_disturbed_if_the_edit_of_another_changes_a_fact_of_its_chain(
    other: BenchmarkCase, changed: set[str]
) -> None:
    assert disturbed([FIRST, other]) == disturbed([other, FIRST]) == changed
    assert disturbed([FIRST]) == frozenset()


def test_items_and_properties_name_a_fact_whatever_its_wording() -> None:
    """The other case words the fact of Peru differently; the ids say that it is the same."""
    ids = (("Q7", "P27", "Q419"), ("Q419", "P35", "Q8"))
    first = chain(1, "Ann", "Peru", "Kim", edit("Ann", CITIZEN, "Peru"), new_triples=ids)
    other = edit("Republic of Peru", "{} is led by", "Lee", subject_id="Q419", relation_id="P35", target_new_id="Q9")
    assert disturbed([first, chain(2, "Bob", "Peru", "Lee", other)]) == {"1"}
    same = other.model_copy(update={"target_new": "President Kim", "target_new_id": "Q8"})
    assert disturbed([first, chain(2, "Bob", "Peru", "President Kim", same)]) == set()


def test_figures_are_given_with_and_without_disturbed_cases() -> None:
    values = {
        "multihop": 1.0,
        "multihop_2": 1.0,
        "multihop_probability": 0.5,
        "efficacy_free": 0.0,
        "neighborhood": 1.0,
    }
    plain = BenchmarkCase("1", (), Questions(), lambda replies, before: values)
    told = marked(plain, others_change=False).values(Replies(), Replies())
    assert told == {
        **values,
        "multihop_undisturbed": 1.0,
        "multihop_2_undisturbed": 1.0,
        "efficacy_free_undisturbed": 0.0,
        "disturbed": 0.0,
    }
    assert marked(plain, others_change=True).values(Replies(), Replies()) == {**values, "disturbed": 1.0}


def test_only_edits_in_force_disturb() -> None:
    """The second case is not edited yet at the first length."""
    second = chain(2, "Bob", "Peru", "Lee", edit("Peru", HEAD, "Lee"))
    lengths = Lengths([FIRST, second], (1, 2), most=9, seed=0)
    assert [case.judge is FIRST.judge for case in lengths.asked(1)] == [True]
    assert [case.judge is FIRST.judge for case in lengths.asked(2)] == [False, False]
