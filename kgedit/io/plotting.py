"""Drawings by matplotlib in one style, as files with equal bytes every time; matplotlib is the extra `plots`."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from kgedit.errors import MissingExtra

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def drawn(
    draw: Callable[[Figure], None],
    *,
    width: float,
    height: float,
    salt: str,
    form: Literal["svg", "png"] = "svg",
    grid: bool = True,
) -> bytes:
    """One drawing as the content of a file.

    Args:
        draw: Draws on the empty figure that it is given.
        width: Inches.
        height: Inches.
        salt: Keeps the names inside of several SVG drawings of one page apart.
        form: Kind of file.
        grid: Whether axes have horizontal lines.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("plots need matplotlib; install it with pip install 'kgedit[plots]'") from error
    # Defaults first, so that a user's matplotlibrc changes nothing; no name is read as mathematics.
    settings = {
        **mpl.rcParamsDefault,
        "svg.hashsalt": f"kgedit-{salt}",
        "svg.fonttype": "path",
        "font.size": 8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": grid,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "grid.color": "#E4E4E4",
        "text.parse_math": False,
    }
    with mpl.rc_context():
        mpl.rcParams.update({key: value for key, value in settings.items() if not key.startswith("backend")})
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure)
        file = io.BytesIO()
        fields = ("Date", "Creator", "Format", "Type") if form == "svg" else ("Software",)
        (FigureCanvasSVG if form == "svg" else FigureCanvasAgg)(figure)
        figure.savefig(file, format=form, dpi=150, metadata=dict.fromkeys(fields))
    return file.getvalue()
