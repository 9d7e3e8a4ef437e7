"""Picking an item of the graph: a box to type in, and below it the items found, as a list that keys can walk."""

from __future__ import annotations

from typing import Any

from kg_cache.search import FoundItem, search_items
from kg_cache.store import Store
from kg_cache.text import printable
from kgedit.graph.verbalize import Verbalizer

_FOUND = 5  # items that a list has
_CHOOSE = "Choose one, unless the name alone is plain"
_NOTHING = "The facts of this page have no such item. Type less of the name, or take a wording of your own below"
_NAMES = 3  # other names of a relation that its entry shows


def item_picker(graph: Store, label: str, hint: str) -> tuple[Any, Any]:
    """The two fields; made inside of a page that is being built.

    Args:
        graph: What is searched.
        label: Name of the field.
        hint: What may be typed.

    Returns:
        The box, and the list of items found, whose value is the chosen item's id or None.
    """
    import gradio as gr

    box = gr.Textbox(label=label, placeholder=hint)
    found = gr.Radio(choices=[], label=f"{label}: items found", visible=False, elem_classes=["kg-search"])

    def search(text: str) -> Any:
        items = search_items(graph, text, limit=_FOUND)
        told, info = ("items found", _CHOOSE) if items else ("nothing found", _NOTHING)
        choices = [(entry(item), item.id) for item in items]
        return gr.Radio(choices=choices, value=None, visible=bool(text.strip()), label=f"{label}: {told}", info=info)

    box.change(  # not `input`, which a paste does not raise
        search, box, found, queue=False, show_progress="hidden", trigger_mode="always_last", api_visibility="private"
    )
    return box, found


def entry(item: FoundItem) -> str:
    """An item as the list names it: label, id, the name that was found, and what it is."""
    called = f", also called {item.matched}" if item.matched != item.label else ""
    what = f": {item.description}" if item.description else ""
    return printable(f"{item.label} ({item.id}{called}){what}")


def relation_choices(graph: Store, text: Verbalizer) -> list[tuple[str, str]]:
    """Every relation that has wordings, by its names, and its id."""
    labels = graph.labels(list(text.texts))
    choices = []
    for id, worded in text.texts.items():
        label = worded.label if labels[id] == id else labels[id]
        others = [alias for alias in dict.fromkeys((*worded.aliases, *graph.aliases(id))) if alias != label][:_NAMES]
        choices.append((printable(f"{label} ({id})" + (f": {', '.join(others)}" if others else "")), id))
    return sorted(choices)
