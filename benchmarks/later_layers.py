"""Edits that questions about other items pass through: do the questions follow, and what do neighbours say?

    python -m benchmarks.later_layers --model smollm2 --methods rome,glame,glame:later_layers=24+25

The edits are of facts that the model recalls, and that other recalled facts lead to ("the capital of Sweden", where it
knows of an academy that it is Swedish). Each is made alone. `through`: questions over both facts in held-out wordings,
answered with the new object; all other figures are those of `kgedit tune` (docs/methods.md, "Choosing settings").
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from kgedit.cli.progress import working
from kgedit.editor import Editor
from kgedit.lm.anatomy import anatomy_of
from kgedit.methods.registry import method_for
from kgedit.trials.measure import means, measure_edits, measure_unedited
from kgedit.trials.passed import draw_passed


def main() -> None:
    """Draw the edits, make each with every method, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--methods", default="rome,glame", help="with settings as everywhere")
    parser.add_argument("--edits", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with working(f"Loading {given.model}") as advance:
        # The widest subgraphs that a method may want: walks to the subject, and siblings.
        widest = "glame:later_layers=1:later_siblings=24"
        editor = Editor.from_pretrained(given.model, method=widest, moments="collect", progress=advance)
        edits = draw_passed(editor, given.edits, seed=given.seed)
        depth = anatomy_of(editor.model).n_layers(editor.model)
        measured: dict[str, Any] = {
            "command": " ".join(["python -m benchmarks.later_layers", *sys.argv[1:]]),
            "edits": len(edits), "questions": sum(len(edit.through) for edit in edits),
            "unedited": means(measure_unedited(editor, edits)),
        }  # fmt: skip
        for variant in given.methods.split(","):
            editor.method = method_for(editor.name, variant, depth)[0]
            began = time.process_time()
            found = means(measure_edits(editor, edits, progress=advance, what=variant))
            seconds = round((time.process_time() - began) / len(edits), 1)
            measured[variant] = {name: round(value, 3) for name, value in found.items()} | {"seconds": seconds}
    sys.stdout.write(json.dumps(measured, indent=1) + "\n")
    if given.out:
        given.out.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
