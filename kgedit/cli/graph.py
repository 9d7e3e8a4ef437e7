"""`kgedit graph`: shows the facts of a graph, fetches them from Wikidata, imports them, counts them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kgedit.cli.graph_fill import fetch, import_facts
from kgedit.cli.options import MOST, AsJson, Graph
from kgedit.cli.output import emit, line, percent, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from kg_cache.graph import Neighbourhood
    from kg_cache.store import Store

app = typer.Typer(help="The local knowledge graph: show, fetch, import, count facts.")

app.command("fetch")(fetch)
app.command("import")(import_facts)

Limit = Annotated[int, typer.Option(min=1, max=10_000, help="The most facts shown of one entity.")]


@app.command()
def show(
    entity: Annotated[str, typer.Argument(help="Wikidata id, exact label or exact alias.")],
    incoming: Annotated[bool, typer.Option("--incoming", help="Also show facts whose object it is.")] = False,
    limit: Limit = 50,
    graph: Graph = None,
    as_json: AsJson = False,
) -> None:
    """Shows the stored facts of one entity."""
    with open_graph(graph) as store:
        named = store.resolve(entity)
        outgoing = _facts(store, store.neighbours([named.id], limit=limit))
        arriving = _facts(store, store.incoming([named.id], limit=limit)) if incoming else None
        data = {
            "id": named.id,
            "label": named.label,
            "aliases": list(store.aliases(named.id)),
            "also": store.labels(named.also),
            "source": store.name,
            **outgoing,
            **({"incoming": arriving} if arriving is not None else {}),
        }
    emit(data, lambda: _shown(data), as_json=as_json)


@app.command()
def stats(graph: Graph = None, as_json: AsJson = False) -> None:
    """Counts the facts of a graph and says where they come from."""
    with open_graph(graph) as store:
        data = store.provenance()
    rows = [(name, value) for name, value in data.items() if not isinstance(value, dict)]
    sources = [(name, time) for name, time in data["sources"].items()]  # type: ignore[attr-defined]
    emit(
        data,
        lambda: [table(["graph", ""], rows), table(["source", "first used"], sources)],
        as_json=as_json,
    )


@app.command()
def rules(
    subject: Annotated[str | None, typer.Option(help="Of an edit: item id, label or alias.")] = None,
    relation: Annotated[str | None, typer.Option(help="Of the edit: property id, label or alias.")] = None,
    target: Annotated[str | None, typer.Option(help="Its new object: item id, label or alias.")] = None,
    confidence: Annotated[
        float, typer.Option(min=0.01, max=1, help="In what share of cases a rule holds, at least.")
    ] = 0.8,
    support: Annotated[int, typer.Option(min=1, max=MOST, help="How many cases of it the graph has, at least.")] = 10,
    graph: Graph = None,
    as_json: AsJson = False,
) -> None:
    """Finds rules over two facts, and what follows from an edit by them.

    They are counted in the graph: born in a place that lies in a country goes with being a citizen of it. With
    --closure, an ingestion makes what follows as well.
    """
    from kg_cache.graph import Triple
    from kgedit.edit import Edit
    from kgedit.graph.rules import implied_facts, mine_rules
    from kgedit.graph.verbalize import Verbalizer
    from kgedit.resolve import Resolver

    asked = (subject, relation, target)
    if any(asked) and not all(asked):
        raise typer.BadParameter("an edit has a subject, a relation and a target; give all three, or none")
    text = Verbalizer.bundled()
    with open_graph(graph) as store:
        found = mine_rules(store.triples(), text, least_support=support, least_confidence=confidence)
        follows = None
        if subject and relation and target:
            resolved = Resolver(store, text).resolve(Edit(subject=subject, relation=relation, target_new=target))
            edit = Triple(str(resolved.subject_id), str(resolved.relation), str(resolved.target_id))
            follows = implied_facts(store, found, edit, None)
        stated = store.labels([each.stated for each in follows or () if each.stated])
    told = [{**rule._asdict(), "confidence": round(rule.confidence, 4)} for rule in found]
    labels = text.labels
    if follows is None:
        rules_told = [
            (labels[each.first], labels[each.second], labels[each.implied], percent(each.confidence), each.support)
            for each in found
        ]
        emit(
            {"rules": told},
            lambda: [table(["over", "and", "follows", "holds in", "of"], rules_told, numbers=2)],
            as_json=as_json,
        )
        return
    data = [
        {
            "subject": {"id": each.fact.subject, "label": each.subject_label},
            "relation": {"id": each.fact.relation, "label": labels[each.fact.relation]},
            "object": {"id": each.fact.object, "label": each.object_label},
            "stated": stated[each.stated] if each.stated else None,
            "rule": told[found.index(each.rule)],
        }
        for each in follows
    ]
    rows = [
        (
            each.subject_label,
            labels[each.fact.relation],
            stated.get(each.stated or "", ""),
            each.object_label,
            f"{labels[each.rule.first]}, {labels[each.rule.second]}",
            percent(each.rule.confidence),
        )
        for each in follows
    ]
    header = ["subject", "relation", "so far", "follows", "over", "holds in"]
    emit({"follows": data}, lambda: [table(header, rows, numbers=1)], as_json=as_json)


def open_graph(path: Path | None) -> Store:
    """The graph in a file, to read; the bundled snapshot without one."""
    from kg_cache.bundled import bundled_store
    from kg_cache.store import Store

    return bundled_store() if path is None else Store(path, read_only=True)


def _facts(store: Store, neighbourhood: Neighbourhood) -> dict[str, Any]:
    labels = store.labels([part for triple in neighbourhood.triples for part in triple])
    facts = [
        {name: {"id": part, "label": labels[part]} for name, part in triple._asdict().items()}
        for triple in neighbourhood.triples
    ]
    return {"facts": facts, "partial": bool(neighbourhood.partial)}


def _shown(data: dict[str, Any]) -> Iterator[RenderableType]:
    names = f", also called {', '.join(data['aliases'])}" if data["aliases"] else ""
    yield line(f"{data['label']} ({data['id']}){names}")
    if data["also"]:
        others = ", ".join(f"{label} ({id})" for id, label in data["also"].items())
        yield line(f"The name could also mean {others}.")
    yield from _fact_table(data, "object")
    if "incoming" in data:
        yield from _fact_table(data["incoming"], "subject")


def _fact_table(data: dict[str, Any], end: str) -> Iterator[RenderableType]:
    rows = [
        (fact["relation"]["label"], fact["relation"]["id"], fact[end]["label"], fact[end]["id"])
        for fact in data["facts"]
    ]
    yield table(["relation", "", end, ""], rows)
    if data["partial"]:
        yield line("Some facts are left out: because of --limit, or of the limit when they were fetched.")
