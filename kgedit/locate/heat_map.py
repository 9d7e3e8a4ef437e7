"""Heat maps of indirect effects: tokens or places downwards, layers to the right; and the curves of severed parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from kg_cache.text import printable
from kgedit.io.plotting import drawn
from kgedit.lm.tracing.trace import Trace
from kgedit.locate.located import Located

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Form = Literal["svg", "png"]

TITLES: Mapping[str, str] = {
    "state": "Putting back one state",
    "mlp": "Putting back the MLPs of a window of layers",
    "attention": "Putting back the attentions of a window of layers",
}
_COLOURS = {"state": "Purples", "mlp": "Greens", "attention": "Reds"}
_WIDTH = 7.0  # inches


def average_map(located: Located, kind: str, form: Form = "svg") -> bytes:
    """The average indirect effect of one kind, by place and layer.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    effects = located.effects[kind]
    return _map(list(effects), list(effects.values()), kind, f"{TITLES[kind]}, mean of {len(located.traces)}", form)


def prompt_map(traced: Trace, kind: Literal["state", "mlp", "attention"], form: Form = "svg") -> bytes:
    """The indirect effect of one kind in one prompt, by token and layer; the subject's tokens have a star.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    first, last = traced.subject
    names = [f"{printable(token)}{'*' if first <= i <= last else ''}" for i, token in enumerate(traced.tokens)]
    title = f"{TITLES[kind]}: probability of {printable(traced.answer)!r}"
    return _map(names, traced.effects[kind], kind, title, form)


def severed_curves(located: Located, form: Form = "svg") -> bytes:
    """The effect of the state at the subject's last token, whole and with each part cut off, by layer.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    whole = located.effects.get("state", {}).get("last subject token")

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        if whole is not None:
            axes.plot(range(len(whole)), whole, color="#4B3F9E", label="state put back")
        for part, colour in (("mlp", "#009E73"), ("attention", "#D55E00")):
            values = located.severed[part]
            axes.plot(range(len(values)), values, color=colour, label=f"the same, {part} cut off")
        axes.set_xlabel("layer of the state that is put back")
        axes.set_ylabel("indirect effect")
        axes.legend(frameon=False)

    return drawn(draw, width=_WIDTH, height=2.6, salt="severed", form=form)


def _map(names: Sequence[str], rows: Sequence[Sequence[float]], kind: str, title: str, form: Form) -> bytes:
    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        # Effects below zero (what is put back hurts) are shown as none.
        image = axes.imshow(rows, cmap=_COLOURS[kind], aspect="auto", vmin=0.0, interpolation="nearest")
        axes.set_yticks(range(len(names)), names)
        axes.set_xlabel("layer")
        axes.set_title(title, fontsize=9)
        figure.colorbar(image, ax=axes, label="indirect effect")

    return drawn(draw, width=_WIDTH, height=1.0 + 0.19 * len(names), salt=f"{kind}-{title}", form=form, grid=False)
