"""Writes a located report: numbers as JSON, heat maps as SVG and PNG, and one HTML page that holds them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from html import escape
from pathlib import Path

from kg_cache.text import printable
from kgedit.errors import MissingExtra
from kgedit.io.atomic_files import write_files
from kgedit.io.existing import has_fields_of, refuse_existing, refuse_foreign
from kgedit.io.html_page import is_page, note, page, table
from kgedit.lm.tracing.trace import KINDS
from kgedit.locate.heat_map import Form, average_map, prompt_map, severed_curves
from kgedit.locate.located import Located
from kgedit.locate.neurons import fact_rows, summary

_PROMPTS = 10  # prompts whose own maps are on the page
_NEURONS = 20  # of each prompt
NEURON_NOTE = (
    "Neurons are entries of an MLP's key at the prompt's last token, found by integrated gradients; * in the sets of "
    "other wordings, too."
)

Drawing = tuple[str, str, bytes]
"""Name, caption and content."""

_FORMS: tuple[Form, ...] = ("svg", "png")
_NAMES = ("locate.json", "locate.html", "mean-*.*", "severed.*", "prompt-*-*.*")


def check_folder_free(directory: Path, *, force: bool = False) -> None:
    """Refuse, before any work, to write over files of others; heat maps beside an earlier report are its own.

    Raises:
        SaveFailed: One is there, or the folder cannot be written.
    """
    page_file, numbers = directory / _NAMES[1], directory / _NAMES[0]
    refuse_foreign(page_file, ours=is_page, force=force)
    refuse_foreign(numbers, ours=lambda content: has_fields_of(Located, content), force=force)
    drawings = [path for name in _NAMES[2:] for path in directory.glob(name)]
    refuse_existing(*drawings, force=force or numbers.is_file())


def write_located(located: Located, directory: Path) -> list[str]:
    """Write the files, all or none of them; drawings of an earlier report that are not among them are removed.

    Args:
        located: The report.
        directory: Folder; made if it is not there.

    Returns:
        Names of the files. Without matplotlib there are no heat maps, and the page says so.

    Raises:
        SaveFailed: Disk full, read-only folder and the like.
    """
    drawings: dict[Form, list[Drawing]] = {}
    with suppress(MissingExtra):
        drawings = {form: _drawings(located, form) for form in _FORMS}
    html = to_html(located, drawings.get("svg"))
    files = {"locate.json": located.model_dump_json(indent=1).encode(), "locate.html": html.encode()}
    for form, drawn in drawings.items():
        files |= {f"{name}.{form}": drawing for name, _, drawing in drawn}
    earlier = _drawings_told_by(directory / _NAMES[0])
    write_files(directory, files)
    for name in earlier - files.keys():
        (directory / name).unlink(missing_ok=True)
    return list(files)


def _drawings_told_by(numbers: Path) -> set[str]:
    """Names of the drawings that belong to an earlier report's numbers; none where the file holds no such report."""
    try:
        located = Located.model_validate_json(numbers.read_bytes())
    except (OSError, ValueError):
        return set()
    return {f"{name}.{form}" for name, _, _ in _planned(located) for form in _FORMS}


def to_html(located: Located, drawings: Sequence[Drawing] | None = None) -> str:
    """The page, which loads nothing else; without matplotlib it has its tables, and says what is missing.

    Args:
        located: The report.
        drawings: Its drawings as SVG, where they are there already; else they are drawn.
    """
    try:
        shown = _drawings(located, "svg") if drawings is None else drawings
        return _page(located, [(caption, drawing) for _, caption, drawing in shown], "")
    except MissingExtra as error:
        return _page(located, [], str(error))


def _drawings(located: Located, form: Form) -> list[Drawing]:
    """Name, caption and content of each drawing."""
    return [(name, caption, draw(form)) for name, caption, draw in _planned(located)]


def _planned(located: Located) -> list[tuple[str, str, Callable[[Form], bytes]]]:
    """Name and caption of each drawing, and what draws it."""
    planned: list[tuple[str, str, Callable[[Form], bytes]]] = []
    if len(located.traces) > 1:
        planned += [
            (f"mean-{kind}", f"Average indirect effect: {kind}", partial(average_map, located, kind))
            for kind in located.effects
        ]
    if located.severed:
        planned.append(("severed", "Parts cut off", partial(severed_curves, located)))
    for number, traced in enumerate(located.traces[:_PROMPTS]):
        planned += [
            (f"prompt-{number}-{kind}", traced.prompt, partial(prompt_map, traced, kind))
            for kind in KINDS
            if kind in traced.effects
        ]
    return planned


def _page(located: Located, shown: list[tuple[str, bytes]], problem: str) -> str:
    parts = [
        f"<h1>{escape(headline(located))}</h1>",
        note(
            f"Noise of standard deviation {located.noise:.4g} on the subject's embeddings, {located.settings.samples} "
            f"samples; windows of {located.settings.window} layers; seed {located.settings.seed}. The indirect effect "
            "is what the answer's probability gains over the noisy runs."
        ),
    ]
    if problem:
        parts.append(note(problem))
    for caption, drawing in shown:
        source = base64.b64encode(drawing).decode()
        parts.append(
            f'<figure><img alt="{escape(caption, quote=True)}" src="data:image/svg+xml;base64,{source}">'
            f"<figcaption>{escape(printable(caption))}</figcaption></figure>"
        )
    for kind, by_place in located.effects.items():
        layers = range(len(next(iter(by_place.values()))))
        lines = [[escape(place), *(f"{100 * value:.1f}" for value in values)] for place, values in by_place.items()]
        parts += [f"<h2>{kind}, times 100, by layer</h2>", table(["", *map(str, layers)], lines)]
    if located.neurons:
        rows = [[escape(printable(cell)) for cell in row] for row in fact_rows(located.neurons, _NEURONS)]
        head = ["prompt", "answer", "its column says", "layer", "neuron", "attribution times 100"]
        parts += ["<h2>Neurons</h2>", note(f"{summary(located.neurons)} {NEURON_NOTE}"), table(head, rows)]
    lines = [
        [escape(printable(traced.prompt)), escape(printable(traced.answer)), f"{traced.clean:.3f}",
         f"{traced.corrupted:.3f}"]
        for traced in located.traces
    ]  # fmt: skip
    parts += ["<h2>Prompts</h2>", table(["prompt", "answer", "clean", "with noise"], lines)]
    return page(headline(located), parts)


def headline(located: Located) -> str:
    """What was found, in one sentence."""
    peaks = ", ".join(f"{kind} {layer}" for kind, layer in located.peak.items())
    what = f"{len(located.traces)} facts" if len(located.traces) > 1 else repr(printable(located.traces[0].prompt))
    return (
        f"{located.model}, {what}: the answer's probability falls from {100 * located.clean:.1f} % to "
        f"{100 * located.corrupted:.1f} % without the subject; at its last token most comes back at layer {peaks}"
    )
