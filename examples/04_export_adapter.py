"""Ship an edit as a LoRA adapter: nothing of kgedit is needed where it is loaded.

.venv/bin/pip install -c constraints.txt -e '.[peft]'
.venv/bin/python examples/04_export_adapter.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from peft import PeftModel

from kgedit import Edit, Editor


def main() -> None:
    """Runs the example."""
    editor = Editor.from_pretrained("mini", method="rome")
    prompt = editor.tokenizer("Albert Einstein is a citizen of", return_tensors="pt")
    with torch.no_grad():
        before = editor.model(**prompt).logits
        editor.apply(Edit(subject="Albert Einstein", relation="P27", target_new="France"))
        edited = editor.model(**prompt).logits

    with tempfile.TemporaryDirectory() as folder:
        editor.export_adapter(folder)
        size = (Path(folder) / "adapter_model.safetensors").stat().st_size
        base = Editor.from_pretrained("mini").model  # whoever loads it needs the base model and peft alone
        adapted = PeftModel.from_pretrained(base, folder).eval()
        with torch.no_grad():
            loaded = adapted(**prompt).logits

    print(f"adapter: {size / 1024:.0f} KiB")
    print(f"the edit changed the logits by up to     {(edited - before).abs().max().item():.3g}")
    print(f"the adapter differs from the edit by at most {(loaded - edited).abs().max().item():.3g}")


if __name__ == "__main__":
    main()
