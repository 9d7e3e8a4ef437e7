"""Answers about a change as a report shows them: to questions, and to what follows from it over its subgraph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kg_cache.graph import named
from kgedit.editor import Editor
from kgedit.errors import EditError
from kgedit.graph.subgraph import Subgraph
from kgedit.graph.verbalize import Verbalizer
from kgedit.ingest.decide.probes import Probes, probabilities
from kgedit.ingest.report.report import ReportedAnswer
from kgedit.lm.generation.greedy import complete
from kgedit.methods.base import Request
from kgedit.text.answer import shown
from kgedit.text.template import fill

MOST_FOLLOWED = 8  # consequences of one change that are asked

Question = tuple[str, str]  # prompt, right answer


def answers(editor: Editor, questions: Sequence[Question]) -> list[ReportedAnswer | None]:
    """An answer for each question; None for one that cannot be put to the model (too long, no token)."""
    texts = said(editor, questions)
    asked = [question for question, text in zip(questions, texts, strict=True) if text is not None]
    shares = iter(probabilities(editor.model, editor.tokenizer, [Probes((question,)) for question in asked]))
    return [None if text is None else ReportedAnswer(text=text, probability=round(next(shares), 4)) for text in texts]


def said(editor: Editor, questions: Sequence[Question]) -> list[str | None]:
    """The greedy answer to each question, without its probability; None likewise."""
    if not questions:
        return []
    try:
        lines = complete(editor.model, editor.tokenizer, [prompt for prompt, _ in questions], stop=("\n",))
    except EditError:
        if len(questions) == 1:
            return [None]
        middle = len(questions) // 2
        return said(editor, questions[:middle]) + said(editor, questions[middle:])
    return [shown(line, (right,)) for line, (_, right) in zip(lines, questions, strict=True)]


def followed(request: Request, subgraph: Subgraph | None, text: Verbalizer) -> dict[int, Question]:
    """Place of a fact among those of the subgraph -> the question that reaches it through the new fact."""
    if subgraph is None or request.relation is None:
        return {}
    place = {
        (triple.subject, triple.relation, triple.object): number for number, triple in enumerate(subgraph.triples)
    }
    paths = [path for path in subgraph.paths() if text.composable((path.first, path.second))][:MOST_FOLLOWED]
    return {
        place[path.middle, path.second, path.object]: (
            fill(text.prompts((path.first, path.second))[0], request.subject),
            subgraph.labels[path.object],
        )
        for path in paths
        if (path.middle, path.second, path.object) in place and named(subgraph.labels, path.object)
    }


def verdicts(found: Mapping[int, bool | None], subgraph: Subgraph) -> tuple[bool | None, ...]:
    """Whether each fact of the subgraph is answered; a relation with several objects is, if one of them is said."""
    said = {subgraph.triples[place][:2] for place, right in found.items() if right}
    return tuple(
        None if place and not found.get(place) and triple[:2] in said else found.get(place)
        for place, triple in enumerate(subgraph.triples)
    )
