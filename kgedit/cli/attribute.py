"""`kgedit attribute`: which training texts made a model give an answer."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kgedit.cli.loading import loads_model
from kgedit.cli.moments import parse_layers
from kgedit.cli.options import MOST, MOST_SEED, AsJson, Model
from kgedit.cli.output import emit, line, table
from kgedit.cli.progress import working
from kgedit.lm.loading import Loading

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from kgedit.attribution import Attributed, ModelCheckpoint

_SCORES = "ekfac,influence,tracin,cosine,bm25"


@loads_model
def attribute(
    prompt: Annotated[str, typer.Argument(help='The beginning of a sentence, e.g. "Albert Einstein was born in".')],
    texts: Annotated[
        str,
        typer.Option(
            help="Training texts: UTF-8 file with one text per line, folder of such files, or data set on the hub "
            'with a column "text".'
        ),
    ],
    answer: Annotated[
        str | None, typer.Option(help="The answer to be explained; by default what the model says.")
    ] = None,
    model: Model = "mini",
    scores: Annotated[str, typer.Option(help="Scores, the first of which orders the texts that are shown.")] = _SCORES,
    layers: Annotated[
        str | None,
        typer.Option(help="Blocks whose MLPs count: 5, 1-3, or 3,5-8; by default four, spread over the depth."),
    ] = None,
    matrices: Annotated[
        Literal["output", "mlp"],
        typer.Option(help="output, the second MLP matrix (down projection), or mlp, all of the MLP."),
    ] = "output",
    checkpoint: Annotated[
        list[str] | None,
        typer.Option(
            help="Folder of the model at a time of its training, for tracin; may be given several times. "
            "=RATE behind it is the learning rate then, e.g. steps/100=0.001."
        ),
    ] = None,
    curvature_texts: Annotated[
        int, typer.Option(min=1, max=MOST, help="Texts, drawn at random, that ekfac and influence learn from.")
    ] = 256,
    iterations: Annotated[int, typer.Option(min=1, max=MOST, help="Most steps of the conjugate gradients.")] = 20,
    top: Annotated[int, typer.Option(min=1, max=MOST, help="How many texts are shown of each score.")] = 10,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Seed of the drawn texts and labels.")] = 0,
    as_json: AsJson = False,
    *,
    loading: Loading,
) -> None:
    """Shows which training texts made a model say something."""
    with working(f"Loading {model}") as advance:
        from kgedit.attribution import AttributionSettings, Question
        from kgedit.attribution import attribute as attributed
        from kgedit.cli.passages import Passages
        from kgedit.lm.load import load_model

        settings = AttributionSettings.model_validate(
            {
                "scores": _named(scores),
                "layers": None if layers is None else parse_layers(layers),
                "matrices": matrices,
                "curvature_texts": curvature_texts,
                "iterations": iterations,
                "seed": seed,
            }
        )
        rated = [_rated(given) for given in checkpoint or ()]
        passages = list(Passages(texts, option="--texts"))
        loaded, tokenizer = load_model(model, progress=advance, **loading)
        question = Question(prompt, _said(loaded, tokenizer, prompt) if answer is None else answer)
        (found,) = attributed(
            loaded,
            tokenizer,
            passages,
            [question],
            settings,
            checkpoints=_loaded(rated, loading) if rated else None,
            progress=advance,
        )
    best = {name: found.best(name, top) for name in settings.scores}
    data: dict[str, Any] = {
        "model": model,
        **found.model_dump(mode="json", exclude={"scores"}),
        "best": {
            name: [
                {"number": number + 1, "score": found.scores[name][number], "text": passages[number]}
                for number in numbers
            ]
            for name, numbers in best.items()
        },
    }
    emit(data, lambda: _shown(found, passages, top), as_json=as_json)


def _named(scores: str) -> list[str]:
    """The scores that are asked for."""
    from kgedit.attribution.settings import SCORES

    names = [name.strip() for name in scores.split(",")]
    for name in names:
        if name not in SCORES:
            raise typer.BadParameter(f"{name!r} is no score; there are: {', '.join(SCORES)}", param_hint="--scores")
    return list(dict.fromkeys(names))


def _said(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: str) -> str:
    """What the model says behind a prompt, to the end of the sentence."""
    from kgedit.lm.generation.greedy import complete
    from kgedit.text.answer import shown

    (said,) = complete(model, tokenizer, [prompt], max_new_tokens=16, stop=("\n",))
    answer = shown(said)
    if not answer:
        raise typer.BadParameter(
            f"the model says nothing behind {prompt!r}; give the answer to be explained", param_hint="--answer"
        )
    return answer


def _rated(given: str) -> tuple[Path, float]:
    """Folder and learning rate of a checkpoint."""
    folder, _, rate = given.rpartition("=") if "=" in given else (given, "", "1")
    try:
        number = float(rate)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise typer.BadParameter(
            f"{given!r}: behind the = stands a learning rate, such as 0.001", param_hint="--checkpoint"
        )
    return Path(folder), number


def _loaded(rated: Sequence[tuple[Path, float]], loading: Loading) -> Iterator[ModelCheckpoint]:
    """The checkpoints, each loaded when it is its turn."""
    from kgedit.attribution import ModelCheckpoint
    from kgedit.lm.load import load_model

    for folder, rate in rated:
        yield ModelCheckpoint(load_model(str(folder), **loading)[0], rate)


def _shown(found: Attributed, passages: Sequence[str], top: int) -> Iterator[RenderableType]:
    first, *others = found.settings.scores
    yield line(
        f"{found.prompt} {found.answer}: {found.texts} texts, blocks {', '.join(map(str, found.layers))}", "bold"
    )
    ranks = {name: found.ranks(name) for name in others}
    rows = [
        (passages[number], number + 1, f"{found.scores[first][number]:.3g}", *(ranks[name][number] for name in others))
        for number in found.best(first, top)
    ]
    headings = ["text", "number", first, *(f"rank by {name}" for name in others)]
    yield table(headings, rows, numbers=len(headings) - 1, wide=0)
    for name in others:
        number = found.best(name, 1)[0]
        yield line(f"first by {name}: {number + 1}. {passages[number]}")
    if found.residual is not None and found.residual > 0.1:
        yield line(
            f"influence: the conjugate gradients left {found.residual:.0%} of the equation; more --iterations solve "
            "it further, at the same cost each"
        )
