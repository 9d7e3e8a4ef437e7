"""The table of benchmarks: what each measures, how its files are recognised, which modules read and score them.

A new benchmark is a folder and a row of `BUILT_IN`; a plugin declares its row as an entry point of the group
"kgedit.benchmarks". A row names its functions as text, so that the command line can list all benchmarks without
importing torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from kg_cache.nearest import did_you_mean, nearest
from kgedit.errors import EvaluationError, PluginError
from kgedit.io.plugins import load_plugin, plugins

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from kgedit.evaluate.benchmarks.case import BenchmarkCase, Options
    from kgedit.evaluate.benchmarks.records import Drop, Record

_HERE = "kgedit.evaluate.benchmarks"
GROUP = "kgedit.benchmarks"


@dataclass(frozen=True)
class Format:
    """One layout of records in a file.

    Attributes:
        name: What it is called in reports and in `load(..., format=...)`.
        keys: Key -> type that its value must have, in every record of the layout.
        read: "module:function" of (record, its position in the file, called for parts that are left out) -> `Record`.
    """

    name: str
    keys: Mapping[str, type] = field(hash=False)
    read: str

    def recognises(self, record: Mapping[str, Any]) -> bool:
        """Whether the record has all keys, with values of the right type."""
        return all(isinstance(record.get(key), kind) for key, kind in self.keys.items())

    def reader(self) -> Callable[[Mapping[str, Any], int, Drop], Record]:
        """The function that `read` names."""
        return cast("Callable[[Mapping[str, Any], int, Drop], Record]", _load(self.read))


@dataclass(frozen=True)
class Benchmark:
    """One benchmark, as `kgedit eval` lists it.

    Attributes:
        name: Name of the command.
        help: What it measures, in one line.
        formats: Layouts that its files may have.
        case: "module:function" of (record, options) -> `BenchmarkCase`; raises `Unusable` for a record from which
            nothing can be scored.
    """

    name: str
    help: str
    formats: tuple[Format, ...]
    case: str

    def case_maker(self) -> Callable[[Record, Options], BenchmarkCase]:
        """The function that `case` names."""
        return cast("Callable[[Record, Options], BenchmarkCase]", _load(self.case))


_COUNTERFACT_PLUS = Format(
    "counterfact-plus",
    {"requested_rewrite": dict, "portability": dict},
    f"{_HERE}.counterfact.record:read_plus",
)

BUILT_IN = (
    Benchmark(
        name="counterfact",
        help="CounterFact, original or flattened: efficacy, paraphrase, neighborhood, portability.",
        formats=(
            _COUNTERFACT_PLUS,
            Format("counterfact", {"requested_rewrite": dict}, f"{_HERE}.counterfact.record:read"),
            Format(
                "counterfact-flat",
                {"prompt": str, "rephrase_prompt": str, "locality_prompt": str},
                f"{_HERE}.counterfact.record:read_flat",
            ),
        ),
        case=f"{_HERE}.counterfact.case:case",
    ),
    Benchmark(
        name="counterfactplus",
        help="CounterFact with one portability question per record.",
        formats=(_COUNTERFACT_PLUS,),
        case=f"{_HERE}.counterfact.case:case",
    ),
    Benchmark(
        name="zsre",
        help="zsRE, with or without portability: shares of right answer tokens.",
        formats=(
            Format("zsre-plus", {"src": str, "alt": str, "portability": dict}, f"{_HERE}.zsre.record:read_plus"),
            Format("zsre", {"src": str, "alt": str}, f"{_HERE}.zsre.record:read"),
        ),
        case=f"{_HERE}.zsre.case:case",
    ),
    Benchmark(
        name="mquake",
        help="MQuAKE: multi-hop questions across one to four edited facts.",
        formats=(
            Format("mquake-questions", {"questions": list, "edited_hops": list}, f"{_HERE}.mquake.questions:read"),
            Format("mquake", {"requested_rewrite": list, "questions": list}, f"{_HERE}.mquake.record:read"),
        ),
        case=f"{_HERE}.mquake.case:case",
    ),
    Benchmark(
        name="ripple",
        help="RippleEdits: six criteria for what must change with an edit, and what must not.",
        formats=(Format("rippleedits", {"edit": dict, "example_type": str}, f"{_HERE}.ripple.record:read"),),
        case=f"{_HERE}.ripple.case:case",
    ),
    Benchmark(
        name="knowedit",
        help="KnowEdit: reliability, generality, locality, portability.",
        formats=(
            Format(
                "knowedit", {"prompt": str, "target_new": str, "portability": dict}, f"{_HERE}.knowedit.record:read"
            ),
            Format("knowedit", {"prompt": str, "target_new": str, "locality": dict}, f"{_HERE}.knowedit.record:read"),
        ),
        case=f"{_HERE}.knowedit.case:case",
    ),
    Benchmark(
        name="reverse",
        help="BAKE: is the edit known from its object's side, too?",
        formats=(
            Format("bake", {"requested_rewrite": dict, "reverse_qa": dict}, f"{_HERE}.reverse.record:read"),
            Format("bake", {"requested_rewrite": dict, "reverse_judge": dict}, f"{_HERE}.reverse.record:read"),
        ),
        case=f"{_HERE}.reverse.case:case",
    ),
    Benchmark(
        name="known-facts",
        help="Facts to be recalled; nothing is edited.",
        formats=(Format("known-facts", {"known_id": int, "attribute": str}, f"{_HERE}.known_facts.record:read"),),
        case=f"{_HERE}.known_facts.case:case",
    ),
)


def benchmarks() -> dict[str, Benchmark]:
    """Name -> benchmark: the built-in ones in the order of the table, then those of plugins by name.

    Raises:
        PluginError: A plugin cannot be loaded, takes a name that is in use, or is no `Benchmark`.
    """
    built_in = {row.name: row for row in BUILT_IN}
    return built_in | {name: _plugin(name, entry) for name, entry in plugins(GROUP, built_in).items()}


def benchmark(name: str) -> Benchmark:
    """The benchmark of that name.

    Raises:
        EvaluationError: There is none.
    """
    known = benchmarks()
    if name not in known:
        raise EvaluationError(
            f"there is no benchmark {name!r}; {did_you_mean(nearest(name, known))}there are: {', '.join(known)}"
        )
    return known[name]


def _plugin(name: str, entry: EntryPoint) -> Benchmark:
    row = load_plugin(entry)
    if not isinstance(row, Benchmark) or row.name != name:
        raise PluginError(
            f"the entry point {name!r} of {GROUP} names {entry.value!r}, which is not a Benchmark of that name; "
            "correct the plugin, or uninstall it"
        )
    return row


def _load(place: str) -> Any:
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)
