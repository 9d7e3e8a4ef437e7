"""`kgedit models`: lists what can be edited, how, on what it is measured, and where changes come from."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import typer

from kgedit.cli.models_fetch import fetch
from kgedit.cli.options import AsJson
from kgedit.cli.output import emit, table
from kgedit.cli.progress import working

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from importlib.metadata import EntryPoint

    from rich.console import RenderableType

    from kgedit.methods.base import Method


app = typer.Typer(short_help="Lists models, methods, benchmarks, feeds and plugins.")


@app.callback(invoke_without_command=True)
def models(context: typer.Context, as_json: AsJson = False) -> None:
    """Lists models, methods and their variants, model families, benchmarks, feeds and plugins."""
    if context.invoked_subcommand is not None:
        return
    with working("Reading the tables"):
        data = _listing()
    emit(data, lambda: _shown(data), as_json=as_json)


app.command()(fetch)


def _listing() -> dict[str, Any]:
    """Table -> name -> what is known of it; `plugins` has group -> name -> distribution."""
    from kg_cache.settings import Settings
    from kgedit.evaluate.benchmarks import table as benchmark_table
    from kgedit.ingest.feeds import base as feeds
    from kgedit.io.plugins import plugins
    from kgedit.lm import anatomy
    from kgedit.lm.sources.catalogue import FETCHABLE
    from kgedit.lm.sources.fetch import fetched_file
    from kgedit.methods import registry
    from kgedit.mini import MINI

    cache_dir = Settings().cache_dir
    groups = {
        benchmark_table.GROUP: [row.name for row in benchmark_table.BUILT_IN],
        feeds.GROUP: feeds.FEEDS,
        anatomy.GROUP: anatomy.FAMILIES,
        registry.GROUP: registry.METHODS,
    }
    added = {group: plugins(group, built_in) for group, built_in in groups.items()}
    return {
        "bundled": [MINI],
        "fetchable": {
            name: {"title": row.title, "licence": row.licence, "fetched": fetched_file(row, cache_dir).is_file()}
            for name, row in FETCHABLE.items()
        },
        "methods": {name: _about(registry.load_method(name)) for name in registry.method_names()},
        "variants": dict(_variants(registry.method_names())),
        "families": {
            name: {"parallel": row.parallel, "gated": row.gated, "weight": row.mlp_out_path}
            for name, row in anatomy.families().items()
        },
        "benchmarks": {name: row.help for name, row in benchmark_table.benchmarks().items()},
        "feeds": {kind: _first_line(place.load()) for kind, place in feeds.feed_kinds().items()},
        "plugins": {
            group: {name: _distribution(entry) for name, entry in entries.items()}
            for group, entries in added.items()
            if entries
        },
    }


def _about(method: type[Method]) -> dict[str, str]:
    return {field: getattr(method, field) for field in ("kind", "needs", "exports", "summary")}


def _variants(names: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each method's published settings by the word that is typed for them."""
    from kgedit.methods.registry import load_method

    for name in names:
        for word, variant in load_method(name).Config.published.items():
            yield f"{name}:{word}", {"about": variant.about, "sets": dict(variant.sets)}


def _first_line(documented: object) -> str:
    return (inspect.getdoc(documented) or "").partition("\n")[0]


def _distribution(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "an unknown distribution"


def _shown(data: dict[str, Any]) -> Iterator[RenderableType]:
    from kgedit.methods.settings import AS_PUBLISHED

    rows = [(name, "bundled", "") for name in data["bundled"]]
    for name, row in data["fetchable"].items():
        where = "fetched" if row["fetched"] else f"kgedit models fetch {name}"
        rows.append((name, where, f"{row['title']} ({row['licence']})"))
    yield table(["model", "where", "what it is"], rows)
    methods = [(name, *row.values()) for name, row in data["methods"].items()]
    yield table(["method", "kind", "needs", "export", "what it does"], methods)
    # What is no more than a method's own settings as published needs no line of its own.
    variants = [(name, row["about"]) for name, row in data["variants"].items() if row["about"] != AS_PUBLISHED]
    title = f"METHOD:paper is every method {AS_PUBLISHED}, with the layers of the model's preset"
    yield table(["variant", "what it is"], variants, title=title)
    kinds = [
        (
            name,
            "parallel" if row["parallel"] else "sequential",
            "gated" if row["gated"] else "plain",
            row["weight"],
        )
        for name, row in data["families"].items()
    ]
    yield table(["model family", "block", "MLP", "edited matrix"], kinds)
    yield table(["benchmark", "what it measures"], list(data["benchmarks"].items()))
    yield table(["feed", "what it reads"], list(data["feeds"].items()))
    if data["plugins"]:
        entries = [(name, group, source) for group, found in data["plugins"].items() for name, source in found.items()]
        yield table(["plugin", "entry-point group", "distribution"], entries)
