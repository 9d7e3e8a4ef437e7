"""The report as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_COLUMNS = (
    "row",
    "shape",
    "ours",
    "cpu",
    "baseline",
    "cpu",
    "ratio",
    "cpu",
    "floor",
    "cpu",
    "/floor",
    "cpu",
    "MB",
    "MB base",
    "n",
)


def table(report: dict[str, Any]) -> str:
    """All rows; times are seconds for one unit, "cpu" is the same in processor time."""
    lines: list[Sequence[str]] = [_COLUMNS]
    for row in report["rows"]:
        if reason := row.get("skipped"):
            lines.append((row["row"], row["shape"], reason))
            continue
        ours, base, floor = row["ours"], row["baseline"], row["floor"]
        lines.append(
            (
                row["row"],
                row["shape"],
                _number(ours["seconds"]),
                _number(ours["cpu_seconds"]),
                _number(base["seconds"]),
                _number(base["cpu_seconds"]),
                _number(row["ratio"]),
                _number(row["ratio_cpu"]),
                _number(floor and floor["seconds"]),
                _number(floor and floor["cpu_seconds"]),
                _number(row["over_floor"]),
                _number(row["over_floor_cpu"]),
                _megabytes(ours["peak_bytes"]),
                _megabytes(base["peak_bytes"]),
                f"{ours['repetitions']}/{base['repetitions']}",
            )
        )
    lines += [_alone(one) for one in report["alone"]]
    widths = [
        max(len(line[place]) for line in lines if len(line) > 3 and place < len(line))
        for place in range(len(_COLUMNS))
    ]
    text = [
        "  ".join(
            cell.ljust(width) if place < 2 or len(line) == 3 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=False))
        ).rstrip()
        for line in lines
    ]
    return "\n".join(text)


def _alone(row: dict[str, Any]) -> Sequence[str]:
    """A row without a published procedure beside it."""
    if "skipped" in row:
        return row["row"], "", row["skipped"]
    columns = dict.fromkeys(range(len(_COLUMNS)), "")
    columns |= {0: row["row"], 2: _number(row.get("seconds")), 3: _number(row.get("cpu_seconds"))}
    columns |= {4: _number(row.get("base_seconds")), 6: _number(row.get("ratio"))}
    columns |= {12: _megabytes(row.get("peak_bytes")), 13: _megabytes(row.get("held_bytes"))}
    return [*columns.values()]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _megabytes(value: int | None) -> str:
    return "" if value is None else f"{value / 2**20:.0f}"
