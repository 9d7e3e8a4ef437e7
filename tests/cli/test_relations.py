from collections.abc import Callable
from typing import Any

import pytest

from kg_cache.bundled import bundled_store
from kg_cache.errors import AmbiguousLabel, UnknownRelation
from kgedit.edit import Edit
from kgedit.graph.verbalize import Verbalizer
from kgedit.resolve import Resolver

Run = Callable[..., Any]


@pytest.mark.parametrize(
    ("name", "relation"),
    [
        ("nationality", "P27"),
        ("Citizenship", "P27"),
        ("prime minister", "P6"),
        ("wife", "P26"),
        ("birthplace", "P19"),
        ("alma mater", "P69"),
        ("profession", "P106"),
        ("founder", "P112"),
        ("capital city", "P36"),
        ("mother tongue", "P103"),
        ("country", "P17"),
        ("known for", "P800"),
        ("succeeds", "P155"),
        ("plays for", "P54"),
        ("ethnicity", "P172"),
    ],
)
def test_everyday_names_of_relations_are_understood_and_listed(name: str, relation: str, run: Run) -> None:
    with bundled_store() as store:
        resolver = Resolver(store, Verbalizer.bundled())
        edit = Edit(subject="Q937", relation=name, target_new="Q142", prompt="{} is found beside")
        assert resolver.resolve(edit).relation == relation
    assert relation in [row["id"] for row in run("relations", name, "--json")["relations"]]


def test_a_misspelt_or_shared_name_is_answered_with_what_may_be_meant() -> None:
    with bundled_store() as store:
        resolver = Resolver(store, Verbalizer.bundled())
        for name, meant in (("nationalty", "nationality"), ("prime minster", "prime minister"), ("spuse", "spouse")):
            with pytest.raises(UnknownRelation, match=f"did you mean '{meant}'.*kgedit relations"):
                resolver.resolve(Edit(subject="Q937", relation=name, target_new="Q142"))
        with pytest.raises(AmbiguousLabel, match=r"P6 \(head of government\), P35 \(head of state\)"):
            resolver.resolve(Edit(subject="Q937", relation="president", target_new="Q142"))


def test_relations_are_a_table_with_wordings(run: Run) -> None:
    assert "{} is a citizen of" in " ".join(run("relations", "P27").split())
    rows = run("relations", "--json")["relations"]
    assert len(rows) > 100
    assert next(row["inverse"] for row in rows if row["id"] == "P22") == "P40"
    assert "did you mean 'nationality'" in run("relations", "nationalty").lower()
