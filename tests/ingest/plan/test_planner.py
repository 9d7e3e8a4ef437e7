"""Every record of a feed ends in exactly one class, the right one, and nothing is touched."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from kg_cache.graph import Entity, Relation, Triple
from kg_cache.settings import Settings
from kg_cache.sparql import Endpoint
from kg_cache.store import Store
from kg_cache.wikidata import Wikidata
from kgedit.edit import Edit
from kgedit.editor import Editor
from kgedit.ingest.change import Change, MalformedChange, Provenance, change_key
from kgedit.ingest.feeds.files import JsonLines
from kgedit.ingest.plan.plan import Plan, Planned, Verdict
from kgedit.ingest.plan.planner import make_plan
from kgedit.ingest.plan.policy import Policy
from servers import SparqlServer, wikidata_rdf

ROOT = Path(__file__).resolve().parents[3]


def change(
    subject: str, relation: str | None, target: str, day: int | None = None, prompt: str | None = None
) -> Change:
    dated = None if day is None else datetime(2026, 11, day, tzinfo=UTC)
    told = Provenance(feed="test", position="here", seen=datetime(2026, 11, 23, tzinfo=UTC), dated=dated)
    return Change(edit=Edit(subject=subject, relation=relation, target_new=target, prompt=prompt), provenance=told)


def verdicts(made: Plan) -> list[str]:
    return [item.verdict.value for item in made]


def test_a_change_is_known_only_if_every_wording_gives_it(mini: Editor) -> None:
    made = make_plan([change("Albert Einstein", "P20", "Princeton"), change("Q937", "P27", "France")], mini)
    assert verdicts(made) == ["known", "new"]
    # The model gives Princeton after the relation's wordings, but not after this one.
    odd = change("Albert Einstein", "P20", "Princeton", prompt="{} is the capital of")
    assert verdicts(make_plan([odd], mini)) == ["new"]


def test_what_is_planned_is_worded_by_ids_and_kept_as_it_came(mini: Editor) -> None:
    (item,) = make_plan([change("albert einstein", "Country of Citizenship", "France")], mini)
    assert item.change is not None
    assert item.change.edit.subject == "albert einstein"
    assert item.edit == Edit(subject="Q937", relation="P27", target_new="Q142")
    assert item.key == change_key(item.edit)


def test_the_same_change_in_other_words_is_a_duplicate_of_the_first(mini: Editor) -> None:
    made = make_plan(
        [change("Q937", "P27", "Q142"), change("Albert Einstein", "country of citizenship", "France")], mini
    )
    assert verdicts(made) == ["new", "duplicate"]
    assert [item.of for item in made] == [None, 1]


@pytest.mark.parametrize(
    ("policy", "targets", "days", "expected"),
    [
        ("refuse", "AB", (1, 2), ["conflict", "conflict"]),
        ("last-wins", "AB", (2, 1), ["conflict", "new"]),
        ("last-wins", "ABA", (1, 2, 3), ["new", "conflict", "duplicate"]),
        ("newest-evidence", "AB", (2, 1), ["new", "conflict"]),
        ("newest-evidence", "AB", (None, 1), ["conflict", "new"]),
        ("newest-evidence", "AB", (1, 1), ["conflict", "conflict"]),
        ("newest-evidence", "AB", (None, None), ["conflict", "conflict"]),
        ("newest-evidence", "ABA", (1, 2, 3), ["new", "conflict", "duplicate"]),
    ],
)
def test_two_objects_for_one_fact_are_settled_by_the_policy(
    mini: Editor, policy: Policy, targets: str, days: tuple[int | None, ...], expected: list[str]
) -> None:
    objects = {"A": "Q142", "B": "Q145"}
    feed = [change("Q937", "P27", objects[name], day) for name, day in zip(targets, days, strict=True)]
    assert verdicts(make_plan(feed, mini, policy=policy)) == expected


def test_both_sides_of_a_conflict_name_each_other(mini: Editor) -> None:
    first, second = make_plan([change("Q937", "P27", "Q142"), change("Q937", "P27", "Q145")], mini)
    assert (first.of, second.of) == (2, 1)
    assert "record 2" in first.reason


def test_a_fact_that_is_known_is_in_conflict_if_another_record_denies_it(mini: Editor) -> None:
    feed = [change("Albert Einstein", "P20", "Princeton"), change("Albert Einstein", "P20", "Paris")]
    assert verdicts(make_plan(feed, mini)) == ["conflict", "conflict"]
    assert verdicts(make_plan(feed[::-1], mini, policy="last-wins")) == ["conflict", "known"]


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (change("Zzyzx Nobody", "P27", "Q142"), "Zzyzx Nobody"),
        (change("Q937", "P99999", "Q142"), "P99999"),
        (change("Q937", "P27", "Q999999999"), "Q999999999"),
        (change("Q937", "P27", "Fraance"), "did you mean"),
        (change("Q937", "P463", "Q142"), "no wordings"),
        (change("Q937", None, "France", prompt="Einstein is a citizen of"), "does not contain"),
        (change("Q937", None, "France", prompt="{} and {} are in"), "{}"),
    ],
)
def test_a_name_or_wording_that_means_nothing_is_refused_with_its_reason(
    mini: Editor, item: Change, words: str
) -> None:
    (found,) = make_plan([item], mini)
    assert found.verdict is Verdict.UNRESOLVED
    assert words in found.reason
    assert found.edit is None


def test_one_change_that_does_not_fit_into_the_model_costs_no_other(mini: Editor) -> None:
    long = change("Albert Einstein", None, "France", prompt="word " * 300 + "{} is a citizen of")
    assert verdicts(make_plan([change("Q937", "P27", "Q142"), long], mini)) == ["new", "unresolved"]


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (change("Q937", "P26", "Paris"), "kind of thing"),
        (change("Q937", "P19", "Q76"), "kind of thing"),
        (change("Q937", "P27", "Q937"), "own object"),
        (change("they", None, "Paris", prompt="At that time {} lived in"), "a word"),
        (change("Q937", "P27", "x7Kq" * 20, prompt="{} is a citizen of"), "tokens"),
    ],
)
def test_what_cannot_be_meant_is_refused_unless_the_user_insists(mini: Editor, item: Change, words: str) -> None:
    (found,) = make_plan([item], mini)
    assert found.verdict is Verdict.IMPLAUSIBLE
    assert words in found.reason
    assert verdicts(make_plan([item], mini, check_kinds=False)) == ["new"]


def test_an_unheard_of_but_well_formed_object_is_not_implausible(mini: Editor) -> None:
    capital_as_birthplace = change("Q937", "P19", "Q90")
    free_text = change("Albert Einstein", None, "Springfield Heights", prompt="{} was born in")
    assert verdicts(make_plan([capital_as_birthplace, free_text], mini)) == ["new", "new"]


def test_a_subject_that_the_model_has_never_heard_of_is_marked(mini: Editor, tmp_path: Path) -> None:
    with Store(tmp_path / "graph.sqlite") as graph:
        names = {"Q1": "Zorblat Qwix", "Q2": "Paris", "Q3": "Vienna", "Q937": "Albert Einstein", "Q4": "Princeton"}
        graph.add(
            [Triple("Q1", "P19", "Q3"), Triple("Q937", "P20", "Q4")],
            [Entity(id=id, label=label) for id, label in names.items()],
            relations=[Relation(id="P19", label="place of birth"), Relation(id="P20", label="place of death")],
        )
        editor = Editor(mini.model, mini.tokenizer, graph, mini.method)
        feed = [change("Q1", "P19", "Q2"), change("Q937", "P19", "Q2"), change("Q3", "P19", "Q2")]
        made = list(make_plan(feed, editor))
        insisted = make_plan(feed, editor, any_subject=True)
    assert [item.verdict.value for item in made] == ["unfamiliar", "new", "new"]
    assert "none of the facts asked about Zorblat Qwix" in made[0].reason
    assert "1 asked, first 'Zorblat Qwix was born in': Vienna" in made[0].reason
    assert "--any-subject" in made[0].reason
    assert verdicts(insisted) == ["new", "new", "new"]


def test_what_an_earlier_run_had_is_not_done_again(mini: Editor) -> None:
    (first,) = make_plan([change("Q937", "P27", "Q142")], mini)
    journal = {first.key: "applied"}
    (again,) = make_plan([change("Albert Einstein", "P27", "France")], mini, seen=lambda item: journal.get(item.key))
    assert (again.verdict, again.reason) == (Verdict.DUPLICATE, "an earlier run had this change: applied")


def test_planning_touches_nothing(mini: Editor) -> None:
    weights = {name: value.clone() for name, value in mini.model.named_parameters()}
    make_plan([change("Q937", "P27", "Q142")], mini)
    assert all((value == weights[name]).all() for name, value in mini.model.named_parameters())
    assert not mini.history


def test_the_example_has_the_classes_that_it_promises(mini: Editor) -> None:
    made = make_plan(JsonLines(ROOT / "examples" / "changes.jsonl"), mini)
    assert {verdict.value: number for verdict, number in made.counts.items() if number} == {
        "new": 240, "duplicate": 30, "conflict": 10, "malformed": 10, "implausible": 10,
    }  # fmt: skip
    fresh = [item.edit for item in made.of(Verdict.NEW) if item.edit]
    assert len({edit.subject for edit in fresh}) == 240, "all of different subjects"
    assert len({edit.relation for edit in fresh}) > 25


def test_the_example_is_what_its_script_makes(tmp_path: Path) -> None:
    script = ROOT / "examples" / "make_changes.py"
    for name, arguments in (("a", ["--count", "300"]), ("b", ["--seed", "1", "--count", "330"])):
        run = [sys.executable, str(script), *arguments, "--out", str(tmp_path / name)]
        subprocess.run(run, check=True, capture_output=True, cwd=ROOT)
    assert (tmp_path / "a").read_bytes() == (ROOT / "examples" / "changes.jsonl").read_bytes()
    other = (tmp_path / "b").read_text(encoding="utf-8").splitlines()
    assert len(other) == 330
    assert other[:10] != (tmp_path / "a").read_text(encoding="utf-8").splitlines()[:10]
    assert all(json.loads(line) for line in other[300:]), "what is more than the mix are whole records"


@pytest.mark.long
def test_memory_does_not_grow_with_the_number_of_changes(mini: Editor) -> None:
    known = [change("Albert Einstein", "P20", "Princeton"), change("Q42", "P27", "Q145")]

    def feed(count: int) -> Iterator[Change | MalformedChange]:
        for number in range(count):
            yield (
                known[number % 2] if number % 3 else MalformedChange(feed="test", position=str(number), why="x" * 200)
            )

    process = psutil.Process()
    make_plan(feed(200), mini)
    gc.collect()
    before = process.memory_info().rss
    made = make_plan(feed(5_000), mini)
    assert len(made) == 5_000
    assert process.memory_info().rss - before < 15_000_000


def test_a_feed_without_records_makes_an_empty_plan(mini: Editor) -> None:
    made = make_plan([], mini)
    assert (len(made), list(made)) == (0, list[Planned]())


def test_a_live_graph_is_asked_once_for_what_many_changes_name(mini: Editor, tmp_path: Path) -> None:
    people = [f"Q{number}" for number in range(2_000_001, 2_000_041)]
    facts = [(person, "P27", "Q142") for person in people] + [("Q183", "P36", "Q64"), ("Q142", "P36", "Q90")]
    labels = {person: f"Person {person}" for person in people}
    labels |= {"Q142": "France", "Q183": "Germany", "Q64": "Berlin", "Q90": "Paris", "P27": "country of citizenship"}
    with SparqlServer(wikidata_rdf(facts, labels)) as server:
        settings = Settings(endpoint=server.url, cache_dir=tmp_path)
        with Wikidata(Store(tmp_path / "empty.sqlite"), Endpoint(settings), settings=settings) as graph:
            editor = Editor(mini.model, mini.tokenizer, graph=graph, method="rome", moments="identity")
            made = make_plan([change(person, "P27", "Q183") for person in people], editor, check_kinds=False)
    assert len(verdicts(made)) == len(people)
    assert {item.labels["Q183"] for item in made} == {"Germany"}
    # One query for the claims of all that is named, one for the names; perhaps another for what those bring.
    assert len(server.queries) <= 3
