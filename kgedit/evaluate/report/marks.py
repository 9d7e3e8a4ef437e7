"""How a method looks in every drawing: its own colour and marker, whatever else is in the report."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from kgedit.evaluate.results import PASTED, UNEDITED

END = "end"  # behind "@": scored at the end of a sequence of edits


class Look(NamedTuple):
    """Colour as #RRGGBB, marker of matplotlib, and whether the marker is filled."""

    colour: str
    marker: str
    filled: bool = True


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
_RUNS = ">dp<hv8^H"
_SHADES = (0.35, -0.3, 0.5, -0.5, 0.2)


def look(label: str) -> Look:
    """The look of a column of a report, e.g. "rome", "glame:paper" or "rome@end".

    A method with settings has its method's marker and a shade of its colour; the scores at the end of a sequence of
    edits ("@end") have hollow markers; a method of another run ("rome@second") has a marker of the run's name.
    """
    variant, _, stage = label.partition("@")
    name, _, settings = variant.partition(":")
    colour, marker = _LOOKS.get(name) or _OTHERS[_number(name) % len(_OTHERS)]
    if settings:
        colour = _shaded(colour, _SHADES[_number(settings) % len(_SHADES)])
    if stage and stage != END:
        colour, marker = (
            _shaded(colour, _SHADES[_number(stage) % len(_SHADES)]),
            _RUNS[_number(stage) // 7 % len(_RUNS)],
        )
    return Look(colour, marker, stage != END)


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])


def _shaded(colour: str, share: float) -> str:
    """The colour mixed with white, or with black where the share is negative."""
    mixed = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    end = 255 if share > 0 else 0
    return "#" + "".join(f"{round(part + abs(share) * (end - part)):02X}" for part in mixed)
