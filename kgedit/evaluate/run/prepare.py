"""From a benchmark's rewrites to what a method is handed: the request in the file's words, and its subgraph."""

from __future__ import annotations

from collections.abc import Sequence

from kg_cache.errors import AmbiguousLabel, InvalidId, UnknownEntity, UnknownRelation
from kg_cache.graph import KnowledgeGraph
from kgedit.editor import Editor
from kgedit.evaluate.benchmarks.records import Rewrite
from kgedit.graph.subgraph import Subgraph, build_subgraph
from kgedit.lm.anatomy import context_length
from kgedit.methods.base import Request
from kgedit.methods.engine.objective import target_rows

Edits = list[tuple[Request, Subgraph | None]]


def prepare(editor: Editor, rewrites: Sequence[Rewrite]) -> Edits:
    """The edits of a case.

    Other than `Editor.prepare`, names stay as the file has them, since its prompts use them too; the graph is only
    asked for the subgraph. Without item and property in the graph there is none, and the edit is made all the same.

    Raises:
        EditError: A prompt or object does not suit the model's tokenizer or context.
    """
    return [(_request(editor, rewrite), _subgraph(editor, rewrite)) for rewrite in rewrites]


def _request(editor: Editor, rewrite: Rewrite) -> Request:
    """The request, if its bare prompt fits into the context: one that does not would stop the others of its batch."""
    ending: str = getattr(getattr(editor.method, "config", None), "ending", "")
    target_rows(
        editor.tokenizer,
        rewrite.prompt,
        rewrite.subject,
        rewrite.target_new + ending,
        ("",),
        max_length=context_length(editor.model),
    )
    return Request(rewrite.subject, rewrite.prompt, rewrite.target_new, rewrite.relation_id)


def _subgraph(editor: Editor, rewrite: Rewrite) -> Subgraph | None:
    graph, method = editor.graph, editor.method
    if not method.uses_graph or rewrite.relation_id is None:
        return None
    subject = _item(graph, rewrite.subject_id, rewrite.subject)
    if subject is None or not _knows_relation(graph, rewrite.relation_id):
        return None
    return build_subgraph(
        graph,
        subject,
        rewrite.relation_id,
        _item(graph, rewrite.target_new_id, rewrite.target_new) or rewrite.target_new,
        subject_label=rewrite.subject,
        target_label=rewrite.target_new,
        **method.subgraph_options,
    )


def _item(graph: KnowledgeGraph, id: str | None, label: str) -> str | None:
    """The item by its id, or by its name where the file gives no id; None if the graph cannot tell."""
    try:
        return graph.resolve(id or label).id
    except (UnknownEntity, AmbiguousLabel, InvalidId):
        return None


def _knows_relation(graph: KnowledgeGraph, relation: str) -> bool:
    try:
        graph.resolve_relation(relation)
    except (UnknownRelation, AmbiguousLabel, InvalidId):
        return False
    return True
