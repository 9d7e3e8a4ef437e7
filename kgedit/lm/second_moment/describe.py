"""What second moments were made from, in one sentence: for reports, which outlive the folder."""

from __future__ import annotations

import re
from pathlib import Path

from safetensors import SafetensorError, safe_open

from kgedit.lm.second_moment.find import MomentSource


def moments_note(source: MomentSource, *, bundled_texts: bool = False) -> str:
    """Where the second moments of a run come from; a folder is read only as far as it tells so.

    Args:
        source: As in `find_moments`.
        bundled_texts: Whether the model has texts of its own to collect them from, as the bundled one has.
    """
    if source == "identity":
        return "second moments: none, the identity was asked for"
    if source not in ("auto", "collect"):
        folder = Path(source)
        told = sorted(filter(None, map(_told, folder.glob("layer-*.safetensors"))))
        tokens = {(count, text) for _, count, text in told}
        parts = [f"{count:,} tokens{f' of the text {text}' if text else ''}" for count, text in sorted(tokens)]
        layers = ", ".join(str(layer) for layer, _, _ in told)
        return f"second moments: folder {folder.name}, layers {layers}; made from {' and '.join(parts)}"
    if bundled_texts:
        return "second moments: made from the sentences that come with the bundled model"
    return "second moments: those collected for this model, kept in the cache folder"


def _told(path: Path) -> tuple[int, int, str] | None:
    """Layer, number of tokens and hash of the text that a file says it was made from."""
    try:
        with safe_open(path, framework="pt") as file:
            about = dict(file.metadata() or {})
        text = re.search(r"\bcorpus=(\w{1,12})", about.get("key", ""))
        return int(about["layer"]), int(about["count"]), text[1] if text else ""
    except (SafetensorError, OSError, KeyError, ValueError):
        return None
