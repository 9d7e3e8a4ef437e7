"""`kgedit moments`: collects the second moments of the keys, which the closed form of an edit needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from kgedit.cli.loading import loads_model
from kgedit.cli.options import AsJson, Model
from kgedit.cli.output import emit, table
from kgedit.cli.progress import working
from kgedit.lm.loading import Loading


@loads_model
def moments(
    text: Annotated[
        Path,
        typer.Option(exists=True, dir_okay=False, readable=True, help="UTF-8 text, one passage per line."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the moments; a stopped run resumes there.")],
    layers: Annotated[str, typer.Option(help="Layers: 5, 1-3, or 3,5-8 (also 3+5-8).")],
    model: Model = "mini",
    max_length: Annotated[int, typer.Option(min=2, help="The most tokens read of a passage.")] = 1024,
    as_json: AsJson = False,
    *,
    loading: Loading,
) -> None:
    """Collects the second moments of layers' keys over a text."""
    wanted = parse_layers(layers)
    with working(f"Loading {model}") as advance:
        from kgedit.lm.load import load_model
        from kgedit.lm.second_moment.collect import collect
        from kgedit.lm.second_moment.files import moment_file, save_moment

        total = sum(1 for _ in _passages(text))
        loaded, tokenizer = load_model(model, progress=advance, **loading)
        what = "Collecting second moments, passages"
        advance(what, 0, total)
        collected = collect(
            loaded,
            tokenizer,
            _passages(text),
            wanted,
            max_length=max_length,
            checkpoint_dir=out,
            progress=lambda passages, _: advance(what, passages, total),
        )
        for layer, moment in collected.items():
            save_moment(moment, moment_file(out, layer))
    rows = [(layer, moment.count, str(moment_file(out, layer))) for layer, moment in collected.items()]
    data = {
        "model": model,
        "text": str(text),
        "passages": total,
        "layers": {str(layer): {"tokens": tokens, "file": file} for layer, tokens, file in rows},
    }
    emit(data, lambda: [table(["layer", "tokens", "file"], rows)], as_json=as_json)


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


def _passages(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as file:
        try:
            yield from (passage.strip() for passage in file if passage.strip())
        except UnicodeDecodeError as error:
            raise typer.BadParameter(f"{path} is no UTF-8 text ({error})", param_hint="--text") from error
