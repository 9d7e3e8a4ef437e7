"""What edits cost: one and many by ROME, MEMIT and GLAME, beside the published procedure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from torch import Tensor

from benchmarks.baseline import glame_edit, memit_edits, published_graph, rome_edit
from benchmarks.bench import floor
from benchmarks.bench.rows import Options, Row
from benchmarks.bench.shapes import Shape
from benchmarks.oracle import Sentence, rome_sentences
from kgedit.delta import LowRankDelta
from kgedit.editor import Editor
from kgedit.graph.subgraph import Subgraph
from kgedit.methods.base import Computed, Request
from kgedit.methods.glame.config import GlameConfig
from kgedit.methods.glame.encoder import RelationalEncoder
from kgedit.methods.glame.method import Glame
from kgedit.methods.memit import Memit, MemitConfig
from kgedit.methods.rome import Rome, RomeConfig, rome_objective
from kgedit.mini import MINI
from kgedit.mini.cases import Casebook

_CHECKED_STEPS, _CHECKED_EDITS = 3, 8
_MOMENT_WEIGHT = 100.0


@cache
def edits(count: int, seed: int) -> tuple[tuple[Request, Subgraph | None], ...]:
    """Edits of facts of the bundled graph, with GLAME's subgraphs."""
    editor = Editor.from_pretrained(MINI, method="glame", config=GlameConfig.paper(layers=(0,), repr_layer=0))
    return tuple(editor.prepare(case.edit) for case in Casebook().draw(count, seed=seed))


@dataclass(frozen=True)
class RomeWork:
    """ROME edits of some requests, each behind so many templates."""

    shape: Shape
    requests: Sequence[Request]
    templates: int

    def config(self, steps: int) -> RomeConfig:
        """The settings of both sides."""
        plan = self.shape.plan
        return RomeConfig(layer=plan.layer, steps=steps, stop_loss=0.0, clamp=plan.clamp, ending=plan.ending)

    def ours(self, steps: int) -> list[Computed]:
        """All of them in one batch."""
        return Rome(self.config(steps)).compute(self.shape.workbench(self.templates), self.requests)

    def published(self, requests: Sequence[Request], steps: int) -> list[Tensor]:
        """One after another, dW of each."""
        shape, settings = self.shape, loop_settings(self.config(steps))
        return [
            rome_edit(
                shape.model, shape.plan.layer, sentences(shape, request, self.templates), shape.inverse, **settings
            )
            for request in requests
        ]

    def difference(self) -> float:
        """Of the first edit of a small batch after a few steps."""
        few = replace(self, requests=self.requests[:_CHECKED_EDITS])
        (first, *_), (plain,) = few.ours(_CHECKED_STEPS), self.published(self.requests[:1], _CHECKED_STEPS)
        return apart(first, [plain])

    def row(self, options: Options, baseline_edits: int) -> Row:
        """What is measured."""
        config, bench = self.config(options.steps), self.shape.workbench(self.templates)
        objectives = [
            rome_objective(bench, request, ending=config.ending, kl_weight=config.kl_weight)
            for request in self.requests
        ]
        few = self.requests[:baseline_edits]
        return Row(
            ours=lambda: self.ours(options.steps),
            baseline=lambda: self.published(few, options.steps),
            difference=self.difference,
            products=list(floor.optimisation(self.shape, objectives, config.layer, options.steps)),
            units=len(self.requests),
            baseline_units=len(few),
        )


def one_rome(shape: Shape, options: Options) -> Row:
    """One edit behind 21 templates."""
    return RomeWork(shape, [edits(1, options.seed)[0][0]], 21).row(options, 1)


def one_rome_of_5(shape: Shape, options: Options) -> Row:
    """One edit behind 5 templates."""
    return RomeWork(shape, [edits(1, options.seed)[0][0]], 5).row(options, 1)


def many_rome(shape: Shape, options: Options) -> Row:
    """Many edits in one batch, behind 21 templates; the baseline makes a few, one at a time."""
    count = min(options.edits, shape.plan.most)
    return RomeWork(shape, [request for request, _ in edits(count, options.seed)], 21).row(options, 3)


def many_rome_of_5(shape: Shape, options: Options) -> Row:
    """Many edits in one batch, behind 5 templates."""
    return RomeWork(shape, [request for request, _ in edits(options.edits, options.seed)], 5).row(options, 10)


def memit(shape: Shape, options: Options) -> Row:
    """Many edits at once by MEMIT, behind 21 templates."""
    requests = [request for request, _ in edits(options.edits, options.seed)]
    plan, bench = shape.plan, shape.workbench(21)

    def config(steps: int) -> MemitConfig:
        settings: dict[str, Any] = {"layers": plan.band, "steps": steps, "stop_loss": 0.0, "ending": plan.ending}
        return MemitConfig(**settings, moment_weight=_MOMENT_WEIGHT, clamp=4.0)

    def ours(few: Sequence[Request], steps: int) -> Computed:
        (computed,) = Memit(config(steps)).together(bench, [[(request, None) for request in few]])
        return computed

    def published(few: Sequence[Request], steps: int) -> list[Tensor]:
        asked = [sentences(shape, request, 21) for request in few]
        moments, settings = [shape.moment.matrix] * len(plan.band), loop_settings(config(steps))
        return memit_edits(
            shape.model, plan.band, asked, moments, moment_weight=_MOMENT_WEIGHT, ridge=shape.moment.ridge, **settings
        )

    def products() -> list[floor.Product]:
        settings = config(options.steps)
        objectives = [
            rome_objective(bench, request, ending=settings.ending, kl_weight=settings.kl_weight)
            for request in requests
        ]
        found = list(floor.optimisation(shape, objectives, plan.band[-1], options.steps))
        # Phase 2: the contexts go through the band once more, and the bare prompts to its end after each write.
        rows = [row.ids[: row.place + 1] for one in objectives for row in one.rows if row.kind == "target"]
        bare = floor.beginnings(one.rows[0].ids[: one.rows[0].place + 1] for one in objectives)
        for number, layer in enumerate(plan.band[1:], start=1):
            found += floor.block(shape, layer, floor.beginnings(rows))
            found += floor.block(shape, layer, bare, times=number - 1)
        return found

    return Row(
        ours=lambda: ours(requests, options.steps),
        baseline=lambda: published(requests, options.steps),
        difference=lambda: apart(ours(requests[:3], _CHECKED_STEPS), published(requests[:3], _CHECKED_STEPS)),
        products=products(),
        units=len(requests),
        baseline_units=len(requests),
    )


def one_glame(shape: Shape, options: Options) -> Row:
    """One edit by GLAME as published, 40 steps, behind 21 templates, without dropout."""
    return _glame(shape, options, 1)


def many_glame(shape: Shape, options: Options) -> Row:
    """Many edits by GLAME as published in one batch; the baseline makes one."""
    return _glame(shape, options, min(options.glame, shape.plan.most) if shape.plan.gpu else options.glame)


def _glame(shape: Shape, options: Options, count: int) -> Row:
    asked, plan, bench = edits(count, options.seed), shape.plan, shape.workbench(21)
    whole = GlameConfig.paper(layers=(plan.layer,), repr_layer=plan.repr_layer)
    changes = {"stop_loss": 0.0, "dropout": 0.0, "clamp": plan.clamp, "ending": plan.ending}
    steps = whole.steps * options.steps // 20  # published: twice ROME's

    def config(steps: int) -> GlameConfig:
        return whole.model_copy(update=changes | {"steps": steps})

    def ours(few: Sequence[tuple[Request, Subgraph | None]], steps: int) -> list[Computed]:
        return Glame(config(steps)).compute(bench, *zip(*few, strict=True))

    def published(steps: int) -> Tensor:
        (request, subgraph), settings = asked[0], config(steps)
        assert subgraph is not None
        graph = published_graph(shape.model, shape.tokenizer, subgraph, plan.repr_layer)
        d = shape.model.get_output_embeddings().weight.shape[1]
        layers = RelationalEncoder(d, layers=settings.order, seed=bench.seed).to(graph.nodes.device).layers
        weights = [(layer.neighbour.detach(), layer.own.detach()) for layer in layers]
        texts = sentences(shape, request, 21)
        loop = loop_settings(settings)
        return glame_edit(shape.model, plan.layer, texts, shape.inverse, graph, weights, **loop)

    objectives = [
        rome_objective(bench, request, ending=plan.ending, kl_weight=whole.kl_weight) for request, _ in asked
    ]
    return Row(
        ours=lambda: ours(asked, steps),
        baseline=lambda: published(steps),
        difference=lambda: apart(ours(asked[:1], _CHECKED_STEPS)[0], [published(_CHECKED_STEPS)]),
        products=list(floor.optimisation(shape, objectives, plan.layer, steps)),
        units=count,
        baseline_units=1,
    )


def default_glame(shape: Shape, options: Options) -> Row:
    """One edit by GLAME as it is set by default, beside one by ROME: two methods, so nothing is to be equal."""
    plan, bench = shape.plan, shape.workbench(21)
    asked = edits(1, options.seed)
    config = GlameConfig(layers=(plan.layer,), repr_layer=plan.repr_layer, ending=plan.ending, clamp=plan.clamp)
    rome, glame = RomeWork(shape, [asked[0][0]], 21), Glame(config)
    # Nothing is compared first, so the libraries that a first edit imports are imported here.
    Glame(config.model_copy(update={"steps": 1})).compute(bench, *zip(*asked, strict=True))
    rome.ours(1)
    rome_row = rome.row(options, 1)
    return replace(
        rome_row,
        ours=lambda: glame.compute(bench, *zip(*asked, strict=True)),
        baseline=lambda: rome.ours(options.steps),
        difference=None,
        products=[],
    )


def sentences(shape: Shape, request: Request, templates: int) -> list[Sentence]:
    """A request as the baseline takes it."""
    wanted, prefixes = request.target + shape.plan.ending, shape.prefixes(templates)
    weight = RomeConfig(layer=0).kl_weight
    return rome_sentences(shape.tokenizer, request.prompt, request.subject, wanted, prefixes, weight)


def loop_settings(config: Any) -> dict[str, float]:
    """What `oracle.rome` and `oracle.published_glame` take of a method's settings."""
    return {name: getattr(config, name) for name in ("steps", "learning_rate", "weight_decay", "clamp", "stop_loss")}


def apart(computed: Computed, plain: Sequence[Tensor]) -> float:
    """Largest relative difference between the updates of a delta and the same changes."""
    assert isinstance(computed.delta, LowRankDelta)
    return max(
        float((update.dense().double() - change.cpu()).norm() / change.norm().cpu())
        for update, change in zip(computed.delta.updates, plain, strict=True)
    )
