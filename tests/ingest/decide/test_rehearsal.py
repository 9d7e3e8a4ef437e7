"""What a batch of changes is trained on."""

from __future__ import annotations

from kg_cache.graph import Triple
from kgedit.edit import Edit
from kgedit.graph.rules import Implied, Rule
from kgedit.graph.verbalize import Verbalizer
from kgedit.ingest.decide.known_facts import FactPool
from kgedit.ingest.decide.probes import NEIGHBOURS, Probes
from kgedit.ingest.decide.recall_walk import KnownFact
from kgedit.ingest.decide.rehearsal import batch_curriculum, lesson
from kgedit.ingest.decide.resolved_change import ResolvedChange
from kgedit.ingest.store.entry import Entry, PlannedEdit, State
from kgedit.methods.base import Request

TEXT = Verbalizer.bundled()


def test_an_adapter_is_not_trained_on_what_its_check_asks() -> None:
    """Neither on the wordings kept for the check, nor on the neighbours that a guard watches."""
    text = Verbalizer.bundled()
    watched = ("The capital of Land0 is", ("Town0",))
    kept = (text["P36"].cloze[1].replace("{}", "Peru"), "Lyon")
    own = (("own", ("y", "why")),)
    probes = Probes((("The capital of Peru is", "Lyon"),), (kept,), (("path", "x"),), (watched,), own)
    edit = Edit(subject="Q419", relation="P36", target_new="Q456", target_true="Q7")
    entry = Entry(id=1, key="k", slot="s", change=PlannedEdit(edit=edit), state=State.RECEIVED)
    item = ResolvedChange(entry, edit, Request("Peru", text["P36"].cloze[0], "Lyon", "P36"), None, probes)
    facts = [KnownFact(f"Q{n}", "P36", f"Q{n + 1}", f"Land{n}", f"Town{n}") for n in range(1, 12)]
    facts += [KnownFact("Q419", "P36", "Q2868", "Peru", "Lima"), KnownFact("Q5", "P30", "Q6", "Land5", "Asia")]
    learned = lesson(item, FactPool(tuple(facts), text), facts)
    assert kept not in learned.wordings
    assert watched[0] not in dict(learned.around)
    assert learned.around[0] == ("own", "y")
    assert learned.around[1][1] == "Town6"  # the neighbour with the same old object comes first
    assert len(learned.around) == 1 + NEIGHBOURS
    assert not {"Lima", "Asia"} & {answer for _, answer in learned.around}


def change(subject: str, id: int, implied: tuple[Implied, ...] = ()) -> ResolvedChange:
    probes = Probes((("The capital is", "Lyon"),), paths=(("path", "x"),), subject=(("own", ("y", "why")),))
    edit = Edit(subject=subject, relation="P36", target_new="Q456")
    entry = Entry(id=id, key="k", slot="s", change=PlannedEdit(edit=edit), state=State.RECEIVED)
    return ResolvedChange(entry, edit, Request(subject, TEXT["P36"].cloze[0], "Lyon", "P36"), None, probes, implied)


def implies(fact: str, object: str) -> Implied:
    return Implied(Triple(*fact.split()), "Peru", object, None, Rule("P36", "P30", "P30", 20, 0.9))


def test_what_follows_by_rules_is_trained_and_no_longer_rehearsed_as_it_was() -> None:
    facts = [KnownFact("Q1", "P30", "Q49", "Peru", "South America"), KnownFact("Q3", "P30", "Q46", "Land3", "Europe")]
    pool = FactPool(tuple(facts), TEXT)
    europe = implies("Q1 P30 Q46", "Europe")
    made = batch_curriculum([change("Q1", 1, (europe,)), change("Q2", 2)], [], facts, pool, begin=None)
    wordings = [(text.replace("{}", "Peru"), "Europe") for text in TEXT.edit_wordings(("P30",))]
    assert made.lessons[0].paths == (("path", "x"), *wordings)
    assert made.lessons[1].paths == (("path", "x"),)
    assert [wordings[0] for wordings in made.facts] == [pool.question(facts[1])]
    # Of two changes that imply different things neither is made, and what was there is not held either.
    asia = implies("Q1 P30 Q48", "Asia")
    torn = batch_curriculum([change("Q1", 1, (europe,)), change("Q2", 2, (asia,))], [], facts, pool, begin=None)
    assert [lesson.paths for lesson in torn.lessons] == [(("path", "x"),)] * 2
    assert torn.facts == made.facts
    # What a change says itself has the last word.
    own = implies("Q2 P36 Q90", "Paris")
    said = batch_curriculum([change("Q1", 1, (own,)), change("Q2", 2)], [], facts, pool, begin=None)
    assert [lesson.paths for lesson in said.lessons] == [(("path", "x"),)] * 2


def test_facts_that_a_change_makes_are_not_rehearsed_and_earlier_changes_stay() -> None:
    facts = [KnownFact(f"Q{n}", "P36", "Q9", f"Land{n}", f"Town{n}") for n in (1, 2, 3)]
    pool = FactPool(tuple(facts), TEXT)
    made = batch_curriculum([change("Q1", 1)], [change("Q2", 2)], facts, pool, begin=None)
    assert [wordings[0][1] for wordings in made.facts] == ["Town3"]
    assert all(len(wordings) == len(pool.questions(facts[0])) for wordings in made.facts)
    assert [answer for _, answer in made.lessons[0].around] == ["y", "Town3"]
    (earlier,) = made.earlier
    assert (len(earlier.wordings), earlier.paths, earlier.around) == (3, (("path", "x"),), ())
