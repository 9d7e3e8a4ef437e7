"""`kgedit locate`: causal tracing, which layers of a model carry its facts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kgedit.cli.loading import loads_model
from kgedit.cli.options import MOST, MOST_SEED, AsJson, Force, Graph, Model
from kgedit.cli.output import emit, line, table
from kgedit.cli.progress import working
from kgedit.lm.loading import Loading

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from kgedit.locate.located import Located

_NEURONS = 15  # of one prompt in the table


@loads_model
def locate(
    model: Model = "mini",
    subject: Annotated[str | None, typer.Option(help="Trace one prompt about this subject.")] = None,
    prompt: Annotated[str | None, typer.Option(help='The prompt; the subject is spelled out there, or "{}".')] = None,
    facts: Annotated[int, typer.Option(min=1, max=MOST, help="How many recalled facts to trace.")] = 20,
    samples: Annotated[int, typer.Option(min=1, max=100, help="Noisy runs of each prompt.")] = 4,
    window: Annotated[
        int | None,
        typer.Option(
            min=1, help="Layers whose MLPs or attentions are put back together (10, or a third of the depth)."
        ),
    ] = None,
    neurons: Annotated[
        bool, typer.Option("--neurons", help="Also find the neurons that each answer depends on.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="Seed of the facts and of the noise.")] = 0,
    graph: Graph = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the page, the heat maps (SVG, PNG) and the numbers (JSON).")
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
    *,
    loading: Loading,
) -> None:
    """Traces which layers carry a model's facts."""
    if (subject is None) != (prompt is None):
        raise typer.BadParameter("--subject and --prompt are given together, or neither of them")
    with working(f"Loading {model}") as advance:
        from kgedit.editor import Editor
        from kgedit.locate.files import check_folder_free, write_located
        from kgedit.locate.located import TracingSettings, locate_facts, locate_prompt

        if out is not None:
            check_folder_free(out, force=force)
        settings = TracingSettings(facts=facts, samples=samples, window=window, neurons=neurons, seed=seed)
        editor = Editor.from_pretrained(model, method=None, graph=graph, progress=advance, **loading)
        if subject is not None and prompt is not None:
            located = locate_prompt(editor, subject, prompt, settings, progress=advance)
        else:
            located = locate_facts(editor, settings, progress=advance)
        files = [] if out is None else write_located(located, out)
    data: dict[str, Any] = located.model_dump(mode="json") | {"out": None if out is None else str(out), "files": files}
    emit(data, lambda: _shown(located, out), as_json=as_json)


def _shown(located: Located, out: Path | None) -> Iterator[RenderableType]:
    from kgedit.locate.files import NEURON_NOTE, headline
    from kgedit.locate.neurons import fact_rows, summary

    yield line(headline(located) + ".", "bold")
    rows = []
    for kind, by_place in located.effects.items():
        for place, values in by_place.items():
            peak = max(range(len(values)), key=values.__getitem__)
            rows.append((kind, place, peak, f"{100 * values[peak]:.1f}"))
    yield table(["what is put back", "where", "best layer", "effect x 100"], rows, numbers=2)
    for part, values in located.severed.items():
        peak = max(range(len(values)), key=values.__getitem__)
        yield line(f"With the {part} above cut off, at most {100 * values[peak]:.1f} comes back (layer {peak}).")
    if located.neurons:
        most = _NEURONS if len(located.neurons) == 1 else _NEURONS // 5
        yield line(summary(located.neurons), "bold")
        head = ["prompt", "answer", "its column says", "layer", "neuron", "x 100"]
        yield table(head, fact_rows(located.neurons, most), numbers=3)
        yield line(NEURON_NOTE, "dim")
    if out is not None:
        yield line(f"locate.html, locate.json and the heat maps are in {out}")
