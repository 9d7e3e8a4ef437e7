"""Changes facts inside a language model, and carries each change through to the facts that follow from it.

The public names are loaded when first used: `import kgedit` alone imports neither torch nor pydantic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kgedit.io.lazy import lazy_names

if TYPE_CHECKING:
    from kgedit.delta import LowRankDelta
    from kgedit.edit import Edit, EditResult
    from kgedit.editor import Editor
    from kgedit.errors import KgeditError
    from kgedit.graph.subgraph import Subgraph, build_subgraph

__version__ = "0.1.0"

__all__ = [
    "Edit",
    "EditResult",
    "Editor",
    "KgeditError",
    "LowRankDelta",
    "Subgraph",
    "__version__",
    "build_subgraph",
]

_HOME = {
    "Edit": "kgedit.edit",
    "EditResult": "kgedit.edit",
    "Editor": "kgedit.editor",
    "KgeditError": "kgedit.errors",
    "LowRankDelta": "kgedit.delta",
    "Subgraph": "kgedit.graph.subgraph",
    "build_subgraph": "kgedit.graph.subgraph",
}

__getattr__, __dir__ = lazy_names(__name__, _HOME)
