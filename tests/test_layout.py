"""The layout keeps itself: sizes, import direction, no print, a test for everything that is registered."""

from __future__ import annotations

import ast
import re
import statistics
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("kgedit", "kg_cache")
WRITTEN = {"report.md"}  # files that kgedit writes
OF_THE_PROGRAM = {ROOT / "docs" / "reference" / name for name in ("commands.md", "settings.md")}  # see docs/hooks

# Each tuple lists the parts of a package, lowest row first: a part may import its own row and those before it. A new
# file or folder belongs somewhere here: `test_every_part_has_a_level` fails until that is decided.
LEVELS: dict[str, tuple[set[str], ...]] = {
    "kgedit": (
        {"errors"},
        {"io", "presets", "progress", "workers"},
        {"text"},
        {"edit"},
        {"lm", "mini", "delta", "graph"},
        {"methods"},
        {"resolve"},
        {"editor"},
        {"attribution", "evaluate", "ingest"},
        {"sharing", "trials"},
        {"locate", "tune"},
        {"workbench"},
        {"cli", "__main__"},
    ),
    "kgedit.evaluate": (
        {"results", "measures"},
        {"benchmarks"},
        {"free"},
        {"report"},
        {"run"},
        {"compare"},
        {"bundled"},
        {"made"},
    ),
    "kgedit.ingest": (
        {"change"},
        {"feeds", "plan"},
        {"store"},
        {"decide"},
        {"session", "intake", "chosen_method"},
        {"final_measure", "exports", "report"},
        {"consolidation", "counter_patch"},
        {"runner", "maintenance"},
        {"review", "following"},
        {"calibration"},
    ),
}


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """Every module of this project that the file imports, also inside functions and for type checking only."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in PACKAGES)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import in line {node.lineno}; write the full module name"
            base = node.module or ""
            if base.split(".")[0] in PACKAGES:
                for alias in node.names:
                    inner = f"{base}.{alias.name}"
                    yield inner if inner in MODULES else base


MODULES = {module_name(path) for path in python_files(*PACKAGES)}


def part(module: str, package: str) -> str:
    """The file or folder directly under a package that a module belongs to; "" for the package itself or others."""
    return module.removeprefix(f"{package}.").split(".")[0] if module.startswith(f"{package}.") else ""


def level(module: str, package: str) -> int | None:
    """Row of `LEVELS` that a module stands in; None for the package itself and for modules outside it."""
    name = part(module, package)
    return next((row for row, names in enumerate(LEVELS[package]) if name in names), None)


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_no_file_is_longer_than_400_lines() -> None:
    sizes = {path: lines(path) for path in python_files(*PACKAGES, "tests", "examples", "benchmarks")}
    assert {str(path.relative_to(ROOT)): size for path, size in sizes.items() if size > 400} == {}


def test_the_median_file_has_at_most_120_lines() -> None:
    sizes = [size for path in python_files(*PACKAGES) if (size := lines(path))]
    assert statistics.median(sizes) <= 120


@pytest.mark.parametrize("package", LEVELS)
def test_every_part_has_a_level(package: str) -> None:
    parts = {name for module in MODULES if (name := part(module, package))}
    listed = set().union(*LEVELS[package])
    assert parts - listed == set(), "say in LEVELS what these may import, and who may import them"
    assert listed - parts == set(), "these are listed in LEVELS and are not there"


@pytest.mark.parametrize("package", LEVELS)
def test_imports_run_one_way(package: str) -> None:
    wrong = [
        f"{module_name(path)} imports {imported}"
        for path in python_files(package.replace(".", "/"))
        if (row := level(module_name(path), package)) is not None
        for imported in imports(path)
        if (other := level(imported, package)) is not None and other > row
    ]
    assert wrong == []


def test_no_import_goes_in_a_circle() -> None:
    # kgedit/__init__.py only re-exports; importing `kgedit` for the version runs nothing else.
    graph = {
        module_name(path): set(imports(path)) - {"kgedit", module_name(path)}
        for path in python_files(*PACKAGES)
        if module_name(path) != "kgedit"
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"circular import: {' -> '.join(reversed(error.args[1]))}")


def test_kg_cache_knows_nothing_of_kgedit() -> None:
    wrong = [str(path) for path in python_files("kg_cache") for name in imports(path) if name.startswith("kgedit")]
    assert wrong == []


def test_a_method_is_handed_its_subgraph_and_knows_no_store() -> None:
    stores = {"kg_cache", "kg_cache.store", "kg_cache.sparql", "kg_cache.wikidata"}
    wrong = [str(path) for path in python_files("kgedit/methods", "kgedit/lm") if stores & set(imports(path))]
    assert wrong == []


def test_the_packages_print_nothing() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in python_files(*PACKAGES)
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert wrong == []


@pytest.mark.parametrize("page", sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]), ids=lambda page: page.name)
def test_every_relative_link_of_a_page_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        place, _, heading = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        linked = (page.parent / place).resolve() if place else page
        if linked in OF_THE_PROGRAM:
            continue
        if not linked.exists() or (heading and heading not in headings(linked)):
            broken.append(target)
    assert broken == []


def headings(page: Path) -> set[str]:
    """The anchors that a Markdown page has, one per heading."""
    lines_of_page = page.read_text(encoding="utf-8").splitlines()
    titles = (line.lstrip("#").strip().lower() for line in lines_of_page if line.startswith("#"))
    return {re.sub(r"[^\w -]", "", title).replace(" ", "-") for title in titles}


def test_each_public_class_name_is_used_once() -> None:
    homes: dict[str, list[str]] = {}
    for path in python_files(*PACKAGES):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(module_name(path))
    assert {name: modules for name, modules in homes.items() if len(modules) > 1} == {}


def texts_of(path: Path) -> Iterator[tuple[int, str]]:
    """Line number and text of every docstring, comment and help text of a Python file."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield getattr(node, "lineno", 1), ast.get_docstring(node) or ""
        elif isinstance(node, ast.keyword) and node.arg == "help" and isinstance(node.value, ast.Constant):
            yield node.value.lineno, str(node.value.value)
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        yield number, line.partition("#")[2]


def test_texts_cite_nothing_that_is_not_in_the_repository() -> None:
    tracked = {
        path.relative_to(ROOT).as_posix()
        for folder in (*PACKAGES, "tests", "examples", "benchmarks", "docs", ".")
        for path in (ROOT.glob("*.*") if folder == "." else (ROOT / folder).rglob("*.*"))
    }
    section = re.compile(r"\b(?:spec|[\w/]+\.md) \d+(?:\.\d+)*\b")  # sections are cited by their heading
    named = re.compile(r"(?<![\w/.*{}<>-])(?:[\w-]+/)*[\w-]+\.(?:py|md|toml)\b")
    wrong = []
    for path in python_files(*PACKAGES):
        for number, text in texts_of(path):
            names = set(named.findall(text)) - WRITTEN
            missing = [name for name in names if not any(f"/{file}".endswith(f"/{name}") for file in tracked)]
            wrong += [f"{path.relative_to(ROOT)}:{number} {cited}" for cited in [*section.findall(text), *missing]]
    assert wrong == []


def test_every_registered_method_has_its_tests() -> None:
    from kgedit.methods.registry import METHODS

    untested = set()
    for name, place in METHODS.items():
        folders, _, module = place.partition(":")[0].removeprefix("kgedit.").rpartition(".")
        test = ROOT.joinpath("tests", *folders.split("."), f"test_{module}.py")
        if not test.is_file() or not re.search(rf'[".]{name}"', test.read_text(encoding="utf-8")):
            untested.add(name)
    assert untested == set()


def test_every_model_family_of_the_table_runs_through_the_tests() -> None:
    import families
    from kgedit.lm.anatomy import FAMILIES

    assert {*families.FAMILIES, *families.ALIKE} == set(FAMILIES)


def test_every_benchmark_of_the_table_has_its_tests() -> None:
    from kgedit.evaluate.benchmarks.table import BUILT_IN

    tests = ROOT / "tests" / "evaluate" / "benchmarks"
    folders = {row.name: tests / row.case.partition(":")[0].split(".")[-2] for row in BUILT_IN}
    assert {name for name, folder in folders.items() if not any(folder.glob("test_*.py"))} == set()


def test_every_kind_of_feed_has_its_tests() -> None:
    from kgedit.ingest.feeds.base import FEEDS

    untested = set()
    for name, place in FEEDS.items():
        module = place.partition(":")[0].rpartition(".")[2]
        test = ROOT / "tests" / "ingest" / "feeds" / f"test_{module}.py"
        if not test.is_file() or not re.search(rf'[".]{name}"', test.read_text(encoding="utf-8")):
            untested.add(name)
    assert untested == set()
