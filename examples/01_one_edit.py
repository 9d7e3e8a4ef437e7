"""One edit from first look to saved file: preview, apply, undo, apply again, save.

.venv/bin/python examples/01_one_edit.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from kgedit import Edit, Editor

PROMPTS = (
    "Albert Einstein is a citizen of",  # the fact itself
    "The capital of the country of citizenship of Albert Einstein is",  # what follows from it
    "Albert Einstein was born in",  # what must stay
)


def main() -> None:
    """Runs the example."""
    editor = Editor.from_pretrained("mini", method="glame")
    edit = Edit(subject="Albert Einstein", relation="P27", target_new="France")

    before = [editor.complete(prompt) for prompt in PROMPTS]
    with editor.preview(edit) as edited:  # afterwards the weights are what they were, bit for bit
        after = [edited.complete(prompt) for prompt in PROMPTS]
    for prompt, old, new in zip(PROMPTS, before, after, strict=True):
        print(f"{prompt} ...\n    before: {old}\n    after:  {new}")

    result = editor.apply(edit)
    print(f"\napplied {result.id[:12]} in {result.seconds:.1f} s, from {result.edges} facts around it")
    for name, norm in result.weights.items():
        print(f"    {name} changed by {norm:.2%} of its norm")
    editor.revert(result.id)
    print(f"reverted: {editor.complete(PROMPTS[0])}")

    editor.apply(edit)
    with tempfile.TemporaryDirectory() as folder:
        editor.save(folder)
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
        print(f"saved the change alone: {size / 1024:.0f} KiB")
        other = Editor.from_pretrained("mini")
        other.load_delta(folder)
        print(f"loaded into a fresh model: {other.complete(PROMPTS[0])}")


if __name__ == "__main__":
    main()
