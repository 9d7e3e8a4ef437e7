"""How long `kgedit ... --help` takes, beside the bare interpreter and the imports that help must not pay for.

    .venv/bin/python benchmarks/cli_start.py [--repeat 5]

Prints JSON: seconds (the best of the runs, each in a fresh process), and how much of the imports help takes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import typer

from kgedit.cli import app

HEAVY = "import networkx, torch, torch_geometric, transformers; from transformers import AutoModelForCausalLM"


def commands(group: Any, words: str = "") -> Iterator[str]:
    """The words of every command and group, beginning with none."""
    yield words
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, f"{words} {name}".strip())


def seconds(words: list[str], repeat: int) -> float:
    """The best wall-clock time of several fresh processes.

    Args:
        words: What the interpreter is started with.
        repeat: How many times.
    """
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        subprocess.run([sys.executable, *words], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return round(min(times), 3)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="Times the start of the command line.")
    parser.add_argument("--repeat", type=int, default=5, help="fresh processes per figure; the best one counts")
    repeat = parser.parse_args().repeat
    helps = {
        f"kgedit {command}".strip(): seconds(["-m", "kgedit", *command.split(), "--help"], repeat)
        for command in commands(typer.main.get_command(app))
    }
    heavy = seconds(["-c", HEAVY], repeat)
    slowest = max(helps.values())
    report = {
        "interpreter": seconds(["-c", "pass"], repeat),
        "help": helps,
        "slowest_help": slowest,
        "heavy_imports": heavy,
        "share": round(slowest / heavy, 3),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
