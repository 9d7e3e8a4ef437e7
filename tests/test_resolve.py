"""One name has one outcome, in an edit, a feed and a benchmark, whatever labels the graph has."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kg_cache.errors import AmbiguousLabel, UnknownEntity, UnknownRelation
from kg_cache.graph import Entity, Relation, Triple
from kg_cache.store import Store
from kgedit.edit import Edit
from kgedit.editor import Editor
from kgedit.errors import EditError, NoLabel, PromptError, SubjectNotFound, UnknownRelationText
from kgedit.evaluate.benchmarks.records import Rewrite
from kgedit.evaluate.run.modes import prepare
from kgedit.graph.verbalize import Verbalizer
from kgedit.ingest.change import Change, Provenance
from kgedit.ingest.plan.plan import Verdict
from kgedit.ingest.plan.planner import make_plan
from kgedit.methods.base import Request
from kgedit.resolve import Resolver
from kgedit.text.boundary import JOINER, Boundary

PEOPLE = (
    Entity(id="Q937", label="Albert Einstein", aliases=("Einstein",)),
    Entity(id="Q142", label="France"),
    Entity(id="Q3012", label="Ulm"),
    Entity(id="Q90", label="Paris"),
    Entity(id="Q830149", label="Paris"),
)
FACTS = (
    Triple("Q937", "P27", "Q39"),
    Triple("Q937", "P19", "Q3012"),
    Triple("Q142", "P36", "Q90"),
    Triple("Q142", "P9999", "Q39"),
)


@pytest.fixture
def unlabelled(tmp_path: Path) -> Iterator[Store]:
    """A graph without labels of its properties, as N-Triples without them import."""
    with Store(tmp_path / "reader.sqlite") as store:
        store.add(FACTS, PEOPLE)
        yield store


@pytest.fixture
def resolver(unlabelled: Store) -> Resolver:
    return Resolver(unlabelled, Verbalizer.bundled())


@pytest.mark.parametrize("relation", ["country of citizenship", "Country of Citizenship", "P27", " P27"])
def test_a_property_that_the_wordings_know_is_known_without_a_label_in_the_graph(
    resolver: Resolver, relation: str
) -> None:
    resolved = resolver.resolve(Edit(subject="Albert Einstein", relation=relation, target_new="France"))
    assert resolved.request == Request("Albert Einstein", "{} is a citizen of", "France", "P27")
    assert (resolved.subject_id, resolved.relation, resolved.target_id) == ("Q937", "P27", "Q142")
    subgraph = resolver.subgraph(resolved, {})
    assert subgraph is not None
    # What the encoder reads are words, not ids; what nobody has a word for stays an id.
    assert subgraph.relation_labels == ("country of citizenship", "capital", "P9999")


@pytest.mark.parametrize("relation", ["country of citizenship", "P27"])
def test_such_a_name_has_the_same_outcome_in_an_edit_a_feed_and_a_benchmark(unlabelled: Store, relation: str) -> None:
    editor = Editor.from_pretrained("mini", method="glame", graph=unlabelled, moments="identity")
    edit = Edit(subject="Albert Einstein", relation=relation, target_new="France")
    request, subgraph = editor.prepare(edit)

    told = Provenance(feed="test", position="line 1", seen=datetime(2026, 11, 23, tzinfo=UTC))
    unknown = edit.model_copy(update={"relation": "no such property"})
    planned = list(make_plan([Change(edit=edit, provenance=told), Change(edit=unknown, provenance=told)], editor))
    assert [item.verdict for item in planned] == [Verdict.NEW, Verdict.UNRESOLVED]
    assert planned[0].edit == Edit(subject="Q937", relation="P27", target_new="Q142")
    assert editor.prepare(planned[0].edit) == (request, subgraph)

    rewrite = Rewrite(subject="Albert Einstein", prompt=request.prompt, target_new="France", relation_id="P27")
    assert prepare(editor, [rewrite]) == [(request, subgraph)]


def test_a_property_without_wordings_has_its_name_in_subgraphs_and_plans(unlabelled: Store) -> None:
    unlabelled.add([Triple("Q142", "P21", "Q39")])
    edit = Edit(subject="Albert Einstein", relation="P21", prompt="{} is a", target_new="France")
    resolver = Resolver(unlabelled, Verbalizer.bundled())
    subgraph = resolver.subgraph(resolver.resolve(edit), {})
    assert subgraph is not None
    assert "sex or gender" in subgraph.relation_labels
    assert "P21" not in subgraph.relation_labels
    editor = Editor.from_pretrained("mini", method="rome", graph=unlabelled, moments="identity")
    told = Provenance(feed="test", position="line 1", seen=datetime(2026, 11, 23, tzinfo=UTC))
    (planned,) = make_plan([Change(edit=edit, provenance=told)], editor, check_kinds=False)
    assert planned.labels["P21"] == "sex or gender"


def test_the_graph_has_the_first_word_on_a_label(tmp_path: Path) -> None:
    with Store(tmp_path / "own.sqlite") as store:
        store.add(FACTS, PEOPLE, relations=[Relation(id="P1376", label="capital")])
        resolver = Resolver(store, Verbalizer.bundled())
        worded = Edit(subject="Q937", relation="capital", target_new="France", prompt="{} resides in")
        assert resolver.resolve(worded).relation == "P1376"


@pytest.mark.parametrize(
    ("edit", "error"),
    [
        (Edit(subject="Nobody", relation="P27", target_new="France"), UnknownEntity),
        (Edit(subject="Q937", relation="P27", target_new="Paris"), AmbiguousLabel),
        (Edit(subject="Q937", target_new="Q999999", prompt="{} lives in"), UnknownEntity),
        (Edit(subject="Q937", relation="no such property", target_new="France"), UnknownRelation),
        (Edit(subject="Q937", relation="P9998", target_new="France"), UnknownRelation),
        (Edit(subject="Q937", target_new="France", prompt="She lives in"), SubjectNotFound),
        (Edit(subject="Q937", target_new="France", prompt="{} and {} live in"), PromptError),
    ],
)
def test_a_name_that_means_nothing_or_several_things_is_refused(
    resolver: Resolver, edit: Edit, error: type[Exception]
) -> None:
    with pytest.raises(error):
        resolver.resolve(edit)


@pytest.mark.parametrize(("prompt", "noted"), [("{} is a citizen of.", True), ("{} plays for ", False)])
def test_a_prompt_that_ends_a_sentence_is_told(resolver: Resolver, prompt: str, noted: bool) -> None:
    notes = resolver.resolve(Edit(subject="Nobody", target_new="Nothing", prompt=prompt)).notes
    assert any("the prompt ends in '.'" in note for note in notes) == noted


@pytest.mark.parametrize(
    ("given", "written", "item", "noted"),
    [
        ("Paris", "Paris", None, "2 items"),  # the name of two items
        ("Einstein", "Einstein", None, "Albert Einstein (Q937)"),  # an alias
        ("france", "france", None, "France (Q142)"),  # a label in other letters
        ("love", "love", None, ""),
        ("France", "France", "Q142", ""),
        ("Q142", "France", "Q142", ""),
    ],
)
def test_free_text_beside_a_prompt_stays_as_given(
    resolver: Resolver, given: str, written: str, item: str | None, noted: str
) -> None:
    prompt = "{} was driven by"
    for edit in (
        Edit(subject="Nobody", target_new=given, prompt=prompt),
        Edit(subject=given, target_new="Nothing", prompt=prompt),
    ):
        resolved = resolver.resolve(edit)
        request = resolved.request
        assert written == (request.target if edit.subject == "Nobody" else request.subject)
        assert item == (resolved.target_id if edit.subject == "Nobody" else resolved.subject_id)
        assert noted in "".join(resolved.notes)
        assert bool(noted) == bool(resolved.notes)
        assert resolver.resolve(resolver.by_id(resolved)).request == request


def test_beside_a_relation_an_alias_brings_the_facts_of_its_item_and_stays_as_given(resolver: Resolver) -> None:
    resolved = resolver.resolve(
        Edit(subject="Einstein", relation="P27", target_new="Atlantis", prompt="Einstein is from")
    )
    assert resolved.request == Request("Einstein", "{} is from", "Atlantis", "P27")
    assert (resolved.subject_id, resolved.target_id) == ("Q937", None)
    subgraph = resolver.subgraph(resolved, {})
    assert subgraph is not None
    assert subgraph.subject_label == "Einstein"


@pytest.mark.parametrize(("boundary", "ending"), [(None, ""), (" ", " "), ("", JOINER)])
def test_a_boundary_that_is_set_reaches_the_request(resolver: Resolver, boundary: Boundary, ending: str) -> None:
    edit = Edit(subject="Q937", relation="P27", target_new="Q142", boundary=boundary)
    resolved = resolver.resolve(edit)
    assert resolved.request.prompt == "{} is a citizen of" + ending
    assert resolver.by_id(resolved) == edit
    own = resolver.resolve(edit.model_copy(update={"prompt": "答：{}"}))
    assert own.request.prompt == "答：{}" + ending
    assert resolver.by_id(own).prompt == "答：{}"


def test_the_plan_says_what_was_done_with_free_text(unlabelled: Store) -> None:
    editor = Editor.from_pretrained("mini", method="rome", graph=unlabelled, moments="identity")
    told = Provenance(feed="test", position="line 1", seen=datetime(2026, 11, 23, tzinfo=UTC))
    edit = Edit(subject="Albert Einstein", target_new="Paris", prompt="{} moved to")
    (planned,) = make_plan([Change(edit=edit, provenance=told)], editor, check_kinds=False)
    assert planned.verdict is Verdict.NEW
    assert "'Paris' stays as given; 2 items" in planned.reason


def test_a_property_without_wordings_needs_a_prompt(tmp_path: Path) -> None:
    with Store(tmp_path / "own.sqlite") as store:
        store.add(FACTS, PEOPLE, relations=[Relation(id="P9999", label="twinned with")])
        resolver = Resolver(store, Verbalizer.bundled())
        edit = Edit(subject="Q142", relation="twinned with", target_new="Q937")
        with pytest.raises(UnknownRelationText):
            resolver.resolve(edit)
        assert resolver.resolve(edit.model_copy(update={"prompt": "{} is twinned with"})).relation == "P9999"


@pytest.mark.parametrize(
    ("subject", "prompt", "written"),
    [
        ("Einstein", "Today Einstein lives in", "Einstein"),  # as the prompt has it
        ("Einstein", "Today {} lives in", "Einstein"),  # and as given
        ("Q937", "Albert Einstein lives in", "Albert Einstein"),
        ("the wise man", "Now the wise man lives in", "the wise man"),
    ],
)
def test_a_subject_is_written_as_its_prompt_has_it(
    resolver: Resolver, subject: str, prompt: str, written: str
) -> None:
    request = resolver.resolve(Edit(subject=subject, target_new="the Moon", prompt=prompt)).request
    assert request.subject == written
    assert request.prompt.count("{}") == 1


def test_an_edit_by_ids_resolves_to_the_same(resolver: Resolver) -> None:
    edit = Edit(
        subject="Albert Einstein",
        relation="P27",
        target_new="France",
        target_true="Atlantis",
        prompt="{} is a citizen of",
    )
    resolved = resolver.resolve(edit)
    by_id = resolver.by_id(resolved)
    assert (by_id.subject, by_id.relation, by_id.target_new) == ("Q937", "P27", "Q142")
    assert by_id.target_true == "Atlantis", "the old object is only told; a name that means nothing stays"
    assert resolver.resolve(by_id).request == resolved.request
    assert resolver.by_id(resolver.resolve(by_id)) == by_id


def test_an_edit_is_looked_up_once_by_a_resolver_that_remembers(
    unlabelled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    look_up = unlabelled.resolve
    monkeypatch.setattr(unlabelled, "resolve", lambda text: asked.append(text) or look_up(text))
    resolver = Resolver(unlabelled, Verbalizer.bundled(), remembered=1)
    edit = Edit(subject="Albert Einstein", relation="P27", target_new="France")
    by_id = resolver.by_id(resolver.resolve(edit))
    assert resolver.resolve(by_id) == Resolver(unlabelled, Verbalizer.bundled()).resolve(by_id)
    asked.clear()
    resolver.resolve(by_id)
    assert not asked
    resolver.resolve(edit)
    assert asked == ["Albert Einstein", "France"], "no more is kept than was said"
    resolver.forget()
    asked.clear()
    resolver.resolve(edit)
    assert asked == ["Albert Einstein", "France"], "the graph may have changed"


def test_a_benchmark_keeps_its_words_and_asks_the_graph_for_the_subgraph_alone(resolver: Resolver) -> None:
    edit = Edit(subject="A. Einstein", relation="P27", target_new="La France", prompt="{} is a citizen of")
    resolved = resolver.resolve_worded(edit, subject_id="Q937", target_id="Q142")
    assert resolved.request == Request("A. Einstein", "{} is a citizen of", "La France", "P27")
    subgraph = resolver.subgraph(resolved, {})
    assert subgraph is not None
    assert (subgraph.center, subgraph.subject_label) == ("Q937", "A. Einstein")
    assert (subgraph.target, subgraph.target_label) == ("Q142", "La France")

    for changed in ({"relation": "P9998"}, {"relation": None}, {"subject": "Nobody"}, {"subject": "Paris"}):
        other = resolver.resolve_worded(edit.model_copy(update=changed))
        assert other.request.relation == changed.get("relation", "P27"), "the edit is made all the same"
        assert resolver.subgraph(other, {}) is None
    assert resolver.subgraph(resolver.resolve_worded(edit, subject_id="Q937", look_up=False), {}) is None
    with pytest.raises(EditError):
        resolver.resolve_worded(edit.model_copy(update={"prompt": "no subject"}))


@pytest.mark.parametrize(
    "edit",
    [
        Edit(subject="Q937", relation="P27", target_new="Q39"),  # stored, without a label
        Edit(subject="Q937", target_new="Q39", prompt="{} lives in"),
        Edit(subject="Q39", relation="P27", target_new="France"),
        Edit(subject="Q937", target_new="Q900000001", prompt="{} lives in"),  # not stored, and no name either
        Edit(subject="Q937", relation="P27", target_new="Q900000001"),
    ],
)
def test_an_item_without_a_label_is_never_learnt_by_its_id(unlabelled: Store, edit: Edit) -> None:
    editor = Editor.from_pretrained("mini", method="glame", graph=unlabelled, moments="identity")
    with pytest.raises((NoLabel, UnknownEntity)):
        editor.prepare(edit)
    told = Provenance(feed="test", position="line 1", seen=datetime(2026, 11, 23, tzinfo=UTC))
    assert [item.verdict for item in make_plan([Change(edit=edit, provenance=told)], editor)] == [Verdict.UNRESOLVED]


def test_a_benchmark_with_an_id_as_its_new_object_is_refused(unlabelled: Store) -> None:
    editor = Editor.from_pretrained("mini", method="glame", graph=unlabelled, moments="identity")
    rewrite = Rewrite(subject="Albert Einstein", prompt="{} lives in", target_new="Q39", relation_id="P551")
    with pytest.raises(NoLabel):
        prepare(editor, [rewrite])


def test_a_fact_about_an_item_without_a_label_is_no_text_of_an_edit(resolver: Resolver) -> None:
    subgraph = resolver.subgraph(resolver.resolve(Edit(subject="Q937", relation="P19", target_new="France")), {})
    assert subgraph is not None
    assert [triple.object for triple in subgraph.subject_facts] == ["Q39"]
    assert subgraph.other_facts() == ()


def test_which_of_several_items_was_taken_is_told_with_the_edit(tmp_path: Path) -> None:
    with Store(tmp_path / "own.sqlite") as store:
        store.add([*FACTS, *(Triple(f"Q{number}", "P19", "Q90") for number in range(1000, 1030))], PEOPLE)
        resolver = Resolver(store, Verbalizer.bundled())
        for prompt in (None, "{} lives in"):
            resolved = resolver.resolve(Edit(subject="Q937", relation="P27", target_new="Paris", prompt=prompt))
            assert resolved.target_id == "Q90"
            assert "'Paris' is taken for the best linked of 2 items: Q90 (31 links; " in resolved.notes[0]
