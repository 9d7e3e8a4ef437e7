"""How a method looks in every drawing: its own colour and marker, whatever else is in the report."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from kgedit.evaluate.results import PASTED, UNEDITED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

END = "end"  # behind "@": scored at the end of a sequence of edits
_ACROSS = 130  # letters of names that a line of a legend has room for


class Look(NamedTuple):
    """Colour as #RRGGBB, marker of matplotlib, whether the marker is filled, and how a curve is drawn."""

    colour: str
    marker: str
    filled: bool = True
    line: str = "-"


# Distinct for colour-blind readers (Okabe and Ito, 2008); models without an edit are grey.
_LOOKS = {
    UNEDITED: ("#767676", "h"),
    PASTED: ("#404040", "x"),
    "rome": ("#0072B2", "o"),
    "memit": ("#D55E00", "s"),
    "glame": ("#009E73", "D"),
    "rome-kg": ("#56B4E9", "^"),
    "memit-kg": ("#E69F00", "v"),
    "ft": ("#CC79A7", "P"),
    "ft-l": ("#7A5195", "X"),
    "finetune-adapter": ("#8C7A00", "*"),
    "locft": ("#B03A2E", "p"),
    "mend": ("#117A65", "<"),
    "ke": ("#6E2C00", ">"),
    "kn": ("#1A5276", "1"),
    "ike": ("#5D6D7E", "+"),
    "grace": ("#A04000", "d"),
    "horen": ("#2E4053", "8"),
    "memoe": ("#7D6608", "2"),
    "serac": ("#884EA0", "H"),
}
# For methods of plugins: what the table above does not have.
_OTHERS = (("#A6761D", "p"), ("#1B4F72", "d"), ("#922B21", "<"), ("#145A32", ">"), ("#6C3483", "8"), ("#B9770E", "H"))
_RUNS = ">vdp<h8^H"
_SHADES = (0.35, -0.3, 0.5, -0.5, 0.2)
_LINES = ("--", "-.", ":")


def runs_of(labels: Iterable[str]) -> tuple[str, ...]:
    """The runs that columns of a comparison are of, such as "second" of "rome@second"; none in a single run."""
    stages = (label.partition("@")[2].removeprefix(f"{END}@") for label in labels)
    return tuple(dict.fromkeys(stage for stage in stages if stage not in ("", END)))


def look(label: str, runs: Sequence[str] = ()) -> Look:
    """The look of a column of a report, e.g. "rome", "glame:paper" or "rome@end".

    A method with settings has its method's marker and a shade of its colour; the scores at the end of a sequence of
    edits ("@end") have hollow markers. In a comparison the first run's methods look as they do alone, those of every
    further run ("rome@second") have one marker and line by the run's place, and a shade of their colours.

    Args:
        label: The column.
        runs: See `runs_of`.
    """
    variant, _, stage = label.partition("@")
    name, _, settings = variant.partition(":")
    colour, marker = _LOOKS.get(name) or _OTHERS[_number(name) % len(_OTHERS)]
    if settings:
        colour = _shaded(colour, _SHADES[_number(settings) % len(_SHADES)])
    filled = stage != END and not stage.startswith(f"{END}@")
    run = stage.removeprefix(f"{END}@")
    if run not in runs or (place := runs.index(run) - 1) < 0:
        return Look(colour, marker, filled)
    colour = _shaded(colour, _SHADES[place % len(_SHADES)])
    return Look(colour, _RUNS[place % len(_RUNS)], filled, _LINES[place % len(_LINES)])


def legend(figure: Figure) -> None:
    """Above a drawing the methods of all its panels, each once; as many beside each other as their names let fit."""
    named = {name: line for axes in figure.axes for line, name in zip(*axes.get_legend_handles_labels(), strict=True)}
    across = _ACROSS // (8 + max(map(len, named), default=0))
    figure.legend(
        [*named.values()],
        [*named],
        loc="outside upper center",
        ncols=max(1, min(len(named), 4, across)),
        frameon=False,
    )


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])


def _shaded(colour: str, share: float) -> str:
    """The colour mixed with white, or with black where the share is negative."""
    mixed = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    end = 255 if share > 0 else 0
    return "#" + "".join(f"{round(part + abs(share) * (end - part)):02X}" for part in mixed)
