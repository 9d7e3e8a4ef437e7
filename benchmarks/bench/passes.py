"""What passes over many texts cost: second moments and scoring, beside the published procedure."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from benchmarks.baseline import score, second_moment
from benchmarks.bench import floor
from benchmarks.bench.rows import Options, Row
from benchmarks.bench.shapes import Shape
from kg_cache.bundled import bundled_store
from kgedit.evaluate.benchmarks.case import Options as CaseOptions
from kgedit.evaluate.benchmarks.reading import load
from kgedit.evaluate.benchmarks.table import benchmark
from kgedit.evaluate.made.files import make_benchmark
from kgedit.graph.passages import fact_passages
from kgedit.graph.verbalize import Verbalizer
from kgedit.lm.scoring.pairs import Pair, score_pairs
from kgedit.lm.second_moment.collect import collect
from kgedit.lm.token_trees import BATCH_TOKENS

_BATCH = 4096  # tokens of a forward pass of ours
_LAYERS = 5


def moments(shape: Shape, options: Options) -> Row:
    """Second moments of one layer, for a thousand tokens."""
    texts, tokens = passages(shape, options)
    layer = shape.plan.layer
    # Where the baseline takes long, it reads the first of the texts alone.
    part = texts[: len(texts) // 4] if shape.plan.gpu else texts

    def difference() -> float:
        few = texts[:16]
        plain = second_moment(shape.model, shape.tokenizer, few, layer)
        ours = collect(shape.model, shape.tokenizer, few, [layer])[layer].matrix
        return float((ours - plain).norm() / plain.norm())

    return Row(
        ours=lambda: collect(shape.model, shape.tokenizer, texts, [layer], batch_tokens=_BATCH),
        baseline=lambda: second_moment(shape.model, shape.tokenizer, part, layer),
        difference=difference,
        products=_products(shape, [layer], tokens),
        units=tokens / 1000,
        baseline_units=sum(len(shape.tokenizer(text)["input_ids"]) for text in part) / 1000,
    )


def moments_of_layers(shape: Shape, options: Options) -> Row:
    """Second moments of five layers in one pass beside one layer (the last of them)."""
    texts, tokens = passages(shape, options)
    last = max(shape.plan.layer, _LAYERS - 1)
    layers = list(range(last - _LAYERS + 1, last + 1))

    def collected(chosen: Sequence[int]) -> object:
        return collect(shape.model, shape.tokenizer, texts, chosen, batch_tokens=_BATCH)

    return Row(
        ours=lambda: collected(layers),
        baseline=lambda: collected([last]),
        difference=None,
        products=_products(shape, layers, tokens),
        units=tokens / 1000,
        baseline_units=tokens / 1000,
    )


def scoring(shape: Shape, options: Options) -> Row:
    """CounterFact records without generation, scored together; the baseline goes prompt by prompt."""
    cases = counterfact(options.cases, options.seed)
    pairs = [pair for case in cases for pair in case]

    def difference() -> float:
        plain, ours = (way(shape.model, shape.tokenizer, cases[0]) for way in (score, score_pairs))
        return max(abs(ours[pair].mean_logprob / plain[pair] - 1) for pair in cases[0])

    tokenizer = shape.tokenizer
    rows, predicted = [], set()
    for prompt, target in pairs:
        before, whole = tokenizer(prompt)["input_ids"], tokenizer(f"{prompt} {target}")["input_ids"]
        rows.append(whole[:-1])
        predicted |= {tuple(whole[:end]) for end in range(len(before), len(whole))}
    tokens = floor.beginnings(rows)
    products = _in_batches(shape, range(len(shape.anatomy.blocks(shape.model))), tokens, BATCH_TOKENS)
    passes = max(1, round(tokens / BATCH_TOKENS))
    products.append(floor.head(shape, len(predicted) // passes, passes))
    few = cases[: max(1, options.cases // 10)]
    return Row(
        ours=lambda: score_pairs(shape.model, tokenizer, pairs),
        baseline=lambda: score(shape.model, tokenizer, [pair for case in few for pair in case]),
        difference=difference,
        products=products,
        units=len(cases),
        baseline_units=len(few),
    )


def passages(shape: Shape, options: Options) -> tuple[list[str], int]:
    """Passages of the bundled graph's facts, and their tokens."""
    texts, tokens = [], 0
    for text in fact_passages(bundled_store(), Verbalizer.bundled(), seed=options.seed):
        if tokens >= options.tokens:
            break
        texts.append(text)
        tokens += len(shape.tokenizer(text)["input_ids"])
    return texts, tokens


@cache
def counterfact(count: int, seed: int) -> tuple[tuple[Pair, ...], ...]:
    """Prompts with targets, per case, of records that are made from the bundled model's facts."""
    with tempfile.TemporaryDirectory() as folder:
        made = make_benchmark("counterfact", Path(folder), sizes={"test": count}, seed=seed)
        loaded = load(made.files["test"])
    case_of = benchmark("counterfact").case_maker()
    return tuple(tuple(case_of(record, CaseOptions()).questions.pairs) for record in loaded.records[:count])


def _products(shape: Shape, layers: Sequence[int], tokens: int) -> list[floor.Product]:
    """Forward to the last layer's keys, and half of k k^T, which is symmetric."""
    products = _in_batches(shape, range(max(layers) + 1), tokens, _BATCH)
    d_ff = len(shape.moment.matrix)
    d = shape.model.get_output_embeddings().weight.shape[1]
    rows, passes = products[0].rows, products[0].times
    products.append(floor.Product(rows, d_ff, d, -passes))  # the last layer's own matrix is not needed
    products += [floor.Product(d_ff, rows, d_ff, passes / 2) for _ in layers]
    return products


def _in_batches(shape: Shape, layers: range, tokens: int, batch: int) -> list[floor.Product]:
    passes = max(1, round(tokens / batch))
    return [product for layer in layers for product in floor.block(shape, layer, tokens // passes, passes)]
