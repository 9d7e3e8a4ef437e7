"""`kgedit models` lists every row of every table, each with a line that tells it from the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kgedit.evaluate.benchmarks.table import BUILT_IN
from kgedit.ingest.feeds.base import FEEDS
from kgedit.lm.anatomy import FAMILIES
from kgedit.methods.registry import METHODS, parse_variant

Run = Callable[..., Any]


def test_every_table_is_listed(run: Run, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    listed = run("models", "--json")
    tables = {"methods": METHODS, "families": FAMILIES, "benchmarks": [row.name for row in BUILT_IN], "feeds": FEEDS}
    assert listed["bundled"] == ["mini"]
    plain = run("models")
    for name, rows in tables.items():
        assert list(listed[name]) == list(rows)
        assert all(listed[name].values())
        assert all(row in plain for row in rows)
    assert listed["plugins"] == {}


def test_no_two_rows_read_alike(run: Run) -> None:
    listed = run("models", "--json")
    listed["methods"] = {name: row["summary"] for name, row in listed["methods"].items()}
    for name in ("methods", "benchmarks", "feeds"):
        lines = list(listed[name].values())
        assert len(set(lines)) == len(lines), name


def test_each_method_says_its_kind_what_it_needs_and_what_it_exports(run: Run) -> None:
    methods = run("models", "--json")["methods"]
    assert all(row["kind"] for row in methods.values())
    assert (methods["rome"]["needs"], methods["rome"]["exports"]) == ("second moments", "LoRA, GGUF")
    assert (methods["ft"]["kind"], methods["ft"]["needs"]) == ("fine-tuning", "")


def test_every_variant_is_listed_by_the_name_that_is_typed_for_it(run: Run, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    variants, plain = run("models", "--json")["variants"], run("models")
    assert {f"{name}:paper" for name in METHODS} <= variants.keys()
    for name, row in variants.items():
        method, changes = parse_variant(name)
        assert changes == {"paper": name.removeprefix(f"{method}:")}
        assert row["about"] == "as published" or f"{name} " in plain
    named = ["memit:alphaedit", "memit:seq", "memit:emmet", "memit:comeba-hk", "ft:ft-m", "finetune-adapter:lora"]
    named += ["locft:aug", "locft:token-mean", "locft:depth-first"]
    assert [name in plain for name in named] == [True] * len(named)
    assert variants["ft:ft-m"]["sets"] == {"loss": "target"}
    own = [row["about"] for row in variants.values() if row["about"] != "as published"]
    assert len(set(own)) == len(own)
