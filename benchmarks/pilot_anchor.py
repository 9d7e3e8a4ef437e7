"""The norm anchor of a model: `python -m benchmarks.pilot_anchor --data made/counterfact-dev.json [--model mini]`.

The mean length of the values v* of pilot facts, each computed alone on the unedited model; the longest twentieth does
not count (`memit:anchor=A`; docs/methods.md). The pilot facts are the first records of a CounterFact file.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from kgedit import Edit
from kgedit.cli.progress import working
from kgedit.editor import Editor
from kgedit.methods.engine.goals import pilot_anchor


def main() -> None:
    """Print the anchor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="CounterFact file")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--method", default="memit:alphaedit", help="whose values are measured")
    parser.add_argument("--facts", type=int, default=60)
    given = parser.parse_args()
    records = json.loads(given.data.read_text(encoding="utf-8"))[: given.facts]
    rewrites = [record["requested_rewrite"] for record in records]
    with working(f"Loading {given.model}") as advance:
        editor = Editor.from_pretrained(given.model, method=given.method, progress=advance)
        cases = [
            [editor.prepare(Edit(subject=one["subject"], prompt=one["prompt"], target_new=one["target_new"]["str"]))]
            for one in rewrites
        ]
        lengths = [float(length) for computed in editor.compute_cases(cases) for length in computed.log["value_norms"]]
    anchor = {
        "facts": len(lengths),
        "shortest": min(lengths),
        "longest": max(lengths),
        "anchor": pilot_anchor(lengths),
    }
    sys.stdout.write(json.dumps(anchor) + "\n")


if __name__ == "__main__":
    main()
