"""What the graph calls an item beside its label, as far as it is a name that people say."""

from __future__ import annotations

from kg_cache.errors import KnowledgeGraphError
from kg_cache.graph import KnowledgeGraph
from kgedit.text.names import may_be_name


def other_names(graph: KnowledgeGraph | None, item: str | None) -> tuple[str, ...]:
    """Other names of an item, without codes such as "it" for Italian; none where the graph has or gives no answer.

    Args:
        graph: Knows the names; None for none.
        item: Item id; None for a text that is no item.
    """
    try:
        return tuple(filter(may_be_name, graph.aliases(item))) if graph is not None and item else ()
    except KnowledgeGraphError:
        return ()
