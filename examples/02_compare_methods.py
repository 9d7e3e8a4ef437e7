"""The same change by ROME and by GLAME: does the model reason with the new fact?

.venv/bin/python examples/02_compare_methods.py
"""

from __future__ import annotations

from kgedit import Edit, Editor

EDIT = Edit(subject="Albert Einstein", relation="P27", target_new="France")
PROMPTS = {
    "the fact": "Albert Einstein is a citizen of",
    "in other words": "The country of citizenship of Albert Einstein is",
    "what follows": "The capital of the country of citizenship of Albert Einstein is",
    "what stays": "Albert Einstein was born in",
}


def main() -> None:
    """Runs the example."""
    answers = {"unedited": {}, "rome": {}, "glame": {}}
    for method in ("rome", "glame"):
        editor = Editor.from_pretrained("mini", method=method)
        answers["unedited"] = {name: editor.complete(prompt) for name, prompt in PROMPTS.items()}
        with editor.preview(EDIT) as edited:
            answers[method] = {name: edited.complete(prompt) for name, prompt in PROMPTS.items()}

    for name, prompt in PROMPTS.items():
        print(f"{name}: {prompt} ...")
        for method, given in answers.items():
            print(f"    {method:<9} {given[name]}")


if __name__ == "__main__":
    main()
