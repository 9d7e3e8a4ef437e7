"""`kgedit graph`: look at facts, fetch them from Wikidata, import them, count them."""

from __future__ import annotations

import typer

app = typer.Typer(help="The local knowledge graph: look at facts, fetch, import, count.")
