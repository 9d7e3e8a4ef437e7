"""A fact told from its object's side: after "The capital of Italy is Lyon" also "Lyon is the capital of Italy".

An edit of s changes what the model says of s; asked about o*, it says what it always said (the reversal curse: Ma et
al., *Untying the Reversal Curse via Bidirectional Language Model Editing*, arXiv 2310.10322). So methods take the
inverse as an edit of its own, with o* as its subject. It has one right answer only where an object has one such
subject; elsewhere (a founder of several companies) s is one of several right answers, and nothing is written.
docs/methods.md, "Inverses".
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from kgedit.graph.subgraph import Subgraph
from kgedit.graph.verbalize import Verbalizer
from kgedit.methods.base import Case, Request
from kgedit.methods.curriculum import Question
from kgedit.text.template import fill


@dataclass(frozen=True)
class InverseEdit:
    """The inverse of one edit of a case.

    Attributes:
        edit: Number of the edit.
        request: (o*, inverse, s), in the first statement of the inverse.
        question: Its first question, as a template.
        subgraph: The graph around it, where the edit has one.
    """

    edit: int
    request: Request
    question: str
    subgraph: Subgraph | None

    @property
    def asked(self) -> tuple[Question, ...]:
        """Statement and question with the right answer."""
        request = self.request
        return tuple((fill(text, request.subject), request.target) for text in (request.prompt, self.question))


def inverse_edits(case: Case, text: Verbalizer) -> list[InverseEdit]:
    """The inverses of a case's edits, where an object has one such subject and no other edit says otherwise."""
    edited = {(request.subject, request.relation) for request, _ in case}
    found = []
    for number, (request, subgraph) in enumerate(case):
        reverse = text.reverse(request.relation)
        if request.relation is None or reverse is None or not reverse.single or request.subject == request.target:
            continue
        relation = text[request.relation].inverse
        # Another edit of the case has the last word on its own subject.
        if relation is not None and (request.target, relation) in edited:
            continue
        around = None
        if subgraph is not None:
            around = subgraph.turned(relation or f"^{request.relation}", f"inverse of {text[request.relation].label}")
        inverse = Request(request.target, reverse.cloze[0], request.subject, relation)
        found.append(InverseEdit(number, inverse, f"Q: {reverse.question[0]} A:", around))
    # Of two edits that give one object to two subjects, neither has a single inverse.
    asked = Counter((inverse.request.subject, inverse.request.prompt) for inverse in found)
    return [inverse for inverse in found if asked[inverse.request.subject, inverse.request.prompt] == 1]
