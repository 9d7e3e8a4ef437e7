"""`kgedit moments`: collects the second moments of the keys, which the closed form of an edit needs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from kgedit.cli.loading import loads_model
from kgedit.cli.options import MOST, AsJson, Graph, Model
from kgedit.cli.output import emit, line, percent, table
from kgedit.cli.progress import working
from kgedit.cli.workers import Executor, GpusPerWorker, WorkerCount, worker_plan
from kgedit.lm.loading import Loading

if TYPE_CHECKING:
    from rich.console import RenderableType

    from kgedit.lm.second_moment.convergence import HalvesChange

_METHODS = "rome,memit,glame"


@loads_model
def moments(
    text: Annotated[
        str | None,
        typer.Option(
            help="UTF-8 file with one passage per line, folder of such files, or data set on the hub with a column "
            '"text"; by default the facts of the graph, put in words.'
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for --moments of other commands; by default the cache, where they look by themselves."
        ),
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(help="Layers: 5, 1-3, or 3,5-8 (also 3+5-8); by default those that the methods write."),
    ] = None,
    model: Model = "mini",
    methods: Annotated[str, typer.Option(help="Whose layers are collected, where --layers is not given.")] = _METHODS,
    graph: Graph = None,
    sampled: Annotated[
        int, typer.Option(min=0, max=MOST, help="Texts that the model samples itself, read as well.")
    ] = 0,
    tokens: Annotated[
        int | None,
        typer.Option(
            min=1, max=MOST, help="Stop after so many tokens; by default 60 a dimension of the key for facts."
        ),
    ] = None,
    max_length: Annotated[int, typer.Option(min=2, max=MOST, help="The most tokens read of a passage.")] = 1024,
    skip_first: Annotated[
        int | None,
        typer.Option(min=0, max=MOST, help="First tokens of a passage that are left out; measured by default."),
    ] = None,
    executor: Executor = "here",
    workers: WorkerCount = None,
    gpus_per_worker: GpusPerWorker = None,
    as_json: AsJson = False,
    *,
    loading: Loading,
) -> None:
    """Collects the second moments of layers' keys over a text.

    Says as it goes how much C^-1 k, the direction of an edit, still differs between the halves of the text.
    """
    named = [] if layers is None else parse_layers(layers)
    with working(f"Loading {model}") as advance:
        from kg_cache.settings import Settings
        from kgedit.cli.passages import Passages, PassageSource
        from kgedit.lm.load import load_model
        from kgedit.lm.second_moment.collect import collect, origin_of, weights_keys
        from kgedit.lm.second_moment.files import moment_file, save_moment
        from kgedit.lm.second_moment.find import cached_file, check_same_texts, enough_tokens
        from kgedit.lm.second_moment.first_tokens import FirstTokens, outlying_first_tokens
        from kgedit.methods.registry import parse_variant, split_variants

        # 1. The layers and the texts; names are checked before the model is loaded.
        given = None if text is None else Passages(text)
        variants = [] if named else split_variants(methods)
        for variant in variants:
            parse_variant(variant)
        loaded, tokenizer = load_model(model, progress=advance, **loading)
        wanted = _checked_layers(loaded, named or _written_layers(loaded, model, variants))
        source = PassageSource(given, graph, sampled)
        passages = source(loaded, tokenizer)
        # 2. How much is read of them.
        limit = tokens if tokens or given is not None else enough_tokens(loaded, wanted[0])
        first = (
            outlying_first_tokens(loaded, tokenizer, passages(), wanted)
            if skip_first is None
            else FirstTokens(skip_first, {})
        )
        how: dict[str, Any] = {"max_length": max_length, "max_tokens": limit, "skip_first": first.left_out}
        if out is not None:
            check_same_texts(out, wanted, lambda: origin_of(loaded, tokenizer, passages(), **how))
        # 3. The sums, by this process or by workers.
        total = sum(1 for _ in passages())
        what = "Collecting second moments, passages"
        advance(what, 0, total)
        changes: list[HalvesChange] = []

        def on_halves(change: HalvesChange) -> None:
            changes.append(change)
            advance.note(f"{change.tokens:,} tokens: C^-1 k differs by {percent(change.largest)} between the halves")

        folder = out or Settings().cache_dir / "moments"
        plan = worker_plan(executor, workers, gpus_per_worker, loading.get("device"))
        if plan is None:
            collected = collect(
                loaded,
                tokenizer,
                passages(),
                wanted,
                checkpoint_dir=folder,
                progress=lambda passages, _: advance(what, passages, total),
                on_halves=on_halves,
                **how,
            )
        else:
            from kgedit.cli.moments_shards import StartShards, collect_shared

            start = StartShards(
                model, loading, source, tuple(wanted), folder=folder.absolute(), shards=plan.number, **how
            )
            collected = collect_shared(start, loaded, plan, progress=advance, on_halves=on_halves)
        # 4. The files, where edits look for them.
        weights = weights_keys(loaded, wanted)
        files = {
            layer: moment_file(out, layer) if out else cached_file(Settings().cache_dir, weights[layer], layer)
            for layer in wanted
        }
        for layer, moment in collected.items():
            save_moment(moment, files[layer])
    counts = {layer: moment.count for layer, moment in collected.items()}
    outcome = _Outcome(total, first.left_out, first.ratios, counts, files, changes)
    asked = {"model": model, "text": text or "facts of the graph", "sampled": sampled}
    emit(asked | outcome.data(), outcome.shown, as_json=as_json)


def _written_layers(loaded: Any, model: str, variants: Sequence[str]) -> list[int]:
    """The layers whose second moments some methods need, ascending.

    Raises:
        typer.BadParameter: They need none.
    """
    from kgedit.lm.anatomy import anatomy_of
    from kgedit.methods.registry import method_for

    depth = anatomy_of(loaded).n_layers(loaded)
    layers = {layer for variant in variants for layer in method_for(model, variant, depth)[0].moment_layers}
    if not layers:
        raise typer.BadParameter(f"{','.join(variants)} need no second moments; name layers with --layers")
    return sorted(layers)


def _checked_layers(loaded: Any, layers: list[int]) -> list[int]:
    """The layers, each of which the model has.

    Raises:
        NoSuchLayer: It has not.
    """
    from kgedit.lm.anatomy import anatomy_of

    for layer in layers:
        anatomy_of(loaded).block(loaded, layer)
    return layers


class _Outcome(NamedTuple):
    """What was collected.

    Attributes:
        passages: Number of passages.
        left_out: First tokens of each that were left out.
        ratios: See `FirstTokens`.
        tokens: Layer -> number of tokens.
        files: Layer -> file.
        changes: How far the halves differed, time after time.
    """

    passages: int
    left_out: int
    ratios: Mapping[int, tuple[float, ...]]
    tokens: Mapping[int, int]
    files: Mapping[int, Path]
    changes: Sequence[HalvesChange]

    @property
    def last(self) -> HalvesChange | None:
        """How far the halves of the whole text differ; None where a half has too few tokens to tell."""
        return self.changes[-1] if self.changes else None

    def data(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "passages": self.passages,
            "first_tokens_left_out": self.left_out,
            "first_tokens": self.ratios,
            "layers": {str(i): {"tokens": count, "file": str(self.files[i])} for i, count in self.tokens.items()},
            "changes": [
                {"tokens": change.tokens, "layers": {str(i): value for i, value in change.changes.items()}}
                for change in self.changes
            ],
            "verdict": self.last.verdict if self.last else "too little text",
        }

    def shown(self) -> Iterator[RenderableType]:
        """As a table, with a sentence on whether the text was enough."""
        rows = [
            (layer, count, percent(self.last.changes[layer]) if self.last else "-", str(self.files[layer]))
            for layer, count in self.tokens.items()
        ]
        yield table(["layer", "tokens", "change between halves", "file"], rows)
        yield line(_verdict(self.last, self.left_out))


def _verdict(change: HalvesChange | None, left_out: int) -> str:
    if change is None:
        told = (
            "Too little text: a half has fewer tokens than a key has dimensions, so edits will harm unrelated facts."
        )
    else:
        told = {
            "settled": "Settled: more text would hardly change an edit.",
            "enough": "Enough: more text would change edits a little.",
            "too little text": "Too little text: the halves give different edits. Give more.",
        }[change.verdict]
    return told + (
        f" The first {left_out} tokens of each passage were left out: their keys are huge." if left_out else ""
    )


def parse_layers(text: str) -> list[int]:
    """The layers that a text such as "3,5-8" names, ascending and each once.

    Raises:
        typer.BadParameter: A part is neither a layer nor a range.
    """
    layers: set[int] = set()
    for part in re.split(r"[+,]", text):
        bounds = re.fullmatch(r"\s*(\d{1,4})(?:\s*-\s*(\d{1,4}))?\s*", part, flags=re.ASCII)
        first, last = (int(bounds[1]), int(bounds[2] or bounds[1])) if bounds else (1, 0)
        if first > last:
            raise typer.BadParameter(
                f"{part!r} is no layer and no range; write e.g. 5 or 3,5-8", param_hint="--layers"
            )
        layers.update(range(first, last + 1))
    return sorted(layers)
