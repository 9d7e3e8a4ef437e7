"""How a model is loaded beside its name: device, precision, revision, and whether its own code may run."""

from __future__ import annotations

from typing import TypedDict

DTYPES = ("auto", "float32", "bfloat16", "float16")


class Loading(TypedDict, total=False):
    """Keyword arguments of `load_model` that everything which loads a model passes on.

    Attributes:
        device: Torch device, e.g. "cuda" or "cuda:1"; the CPU by default.
        dtype: Precision of the weights, one of `DTYPES`; "auto" is the stored one.
        revision: Branch, tag or commit on the hub.
        trust_remote_code: Run the repository's own Python; needs `revision` to be a full commit.
    """

    device: str | None
    dtype: str
    revision: str | None
    trust_remote_code: bool
