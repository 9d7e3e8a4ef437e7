"""Changes of the journal with their names resolved, the subgraph around them, and the questions that check them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from kg_cache.errors import KnowledgeGraphError
from kg_cache.graph import Triple
from kg_cache.ids import is_entity_id
from kgedit.edit import Edit
from kgedit.editor import Editor
from kgedit.errors import EditError
from kgedit.graph.rules import Implied, Rule, implied_facts
from kgedit.graph.subgraph import Subgraph
from kgedit.ingest.decide.known_facts import AskedOnce, FactPool
from kgedit.ingest.decide.probes import Probes, fact_probes, make_probes
from kgedit.ingest.store.entry import Entry, State
from kgedit.lm.chat import ChatForm
from kgedit.lm.scoring.right_answers import answers_in_sentences
from kgedit.lm.tokens import encode_target
from kgedit.methods.base import Request
from kgedit.methods.glame.consequences import Changes
from kgedit.resolve import Resolved, Resolver
from kgedit.text.answer import leading_name
from kgedit.text.template import fill


@dataclass(frozen=True)
class ResolvedChange:
    """A change of the journal, ready to be computed and checked.

    Attributes:
        entry: Its entry in the journal.
        edit: The edit, by ids where the graph knows them.
        request: The edit with names resolved.
        subgraph: The facts of the graph around it; None where the subject or relation is no item of the graph.
        probes: The questions that check it.
        implied: What follows from it by the rules of the graph.
        replaces: The applied change of the same fact, which this one supersedes.
    """

    entry: Entry
    edit: Edit
    request: Request
    subgraph: Subgraph | None
    probes: Probes
    implied: tuple[Implied, ...] = ()
    replaces: Entry | None = None

    @property
    def question(self) -> tuple[str, str]:
        """The edit prompt and the new object."""
        return self.probes.efficacy[0]

    def in_chat(self, chat: ChatForm) -> tuple[str, str]:
        """The question of its property, or else the edit prompt, as a user's turn; and the new object."""
        request = self.request
        return fill(chat.templates(request.prompt, request.relation)[-1], request.subject), request.target

    @property
    def slot(self) -> tuple[str, str]:
        """Subject and relation."""
        return self.edit.subject, self.edit.relation or ""


class ChangeResolver:
    """Resolves entries of the journal; what was resolved for a change that is applied is remembered."""

    def __init__(self, editor: Editor, names: Resolver, pool: FactPool, rules: Sequence[Rule] = ()) -> None:
        """Take the editor, what resolves the names of its graph, the facts that probes are drawn from, and rules."""
        self._editor, self._names, self._pool, self._rules = editor, names, pool, rules
        self._applied: dict[tuple[int, State], ResolvedChange] = {}

    def asked_once(self) -> AskedOnce:
        """For changes that are resolved while the model stays as it is."""
        return AskedOnce(self._editor.model, self._editor.tokenizer)

    def made(self, entries: Iterable[Entry]) -> Changes:
        """What changes make true together: (subject, relation) -> new object; those that mean nothing are left out."""
        made: dict[tuple[str, str], str] = {}
        implied: dict[tuple[str, str], str] = {}
        for entry in entries:
            with suppress(EditError, KnowledgeGraphError):
                resolved = self._names.resolve(entry.edit)
                request = resolved.request
                if request.relation is not None:
                    made[request.subject, request.relation] = request.target
                for one in self._implied(resolved):
                    implied[one.subject_label, one.fact.relation] = one.object_label
        return implied | made  # what a change says itself has the last word

    def waiting(
        self, entry: Entry, ask: AskedOnce, together: Changes, replaces: Entry | None = None
    ) -> ResolvedChange:
        """A change that is to be decided; the model is asked, as it is, which facts around it it recalls.

        Args:
            entry: The change.
            ask: Asks the model; see `asked_once`.
            together: What it and the changes that are decided with it make true; see `made`.
            replaces: The applied change of the same fact.

        Raises:
            EditError: It cannot be carried out.
            KnowledgeGraphError: A name means nothing, or several things.
        """
        editor, edit = self._editor, entry.edit
        request, subgraph, implied = self._prepare(edit)
        encode_target(editor.tokenizer, request.target, request.question)
        probes = make_probes(
            editor.model, editor.tokenizer, request, subgraph, edit, self._pool, editor.text, ask, together
        )  # fmt: skip
        return ResolvedChange(entry, edit, request, subgraph, probes, implied, replaces)

    def applied(self, entry: Entry) -> ResolvedChange:
        """A change that is applied, with questions about the new fact only; resolved once.

        Of one that a counter-patch undid, what must stay is the answer of the unedited model.

        Does not query the model: its answers depend on what was applied meanwhile, so a resumed run would differ from
        an uninterrupted one.
        """
        key = entry.id, entry.state
        if key not in self._applied:
            request, subgraph, implied = self._prepare(entry.edit)
            if entry.undone_to:
                request, subgraph, implied = replace(request, target=entry.undone_to), None, ()
            probes = fact_probes(request, self._editor.text)
            self._applied[key] = ResolvedChange(entry, entry.edit, request, subgraph, probes, implied)
        return self._applied[key]

    def given_back(self, change: ResolvedChange) -> ResolvedChange | None:
        """The same fact with the object that the model, which must be unedited now, answers with.

        Returns:
            The change; None if the model answers nothing that a change could say.
        """
        editor, request, entry = self._editor, change.request, change.entry
        old = entry.edit.target_true or ""
        name = entry.change.labels.get(old, old)
        sentence = editor.complete(request.question, names=(name,) if name else ())
        in_sentences = answers_in_sentences(editor.model)
        answer = sentence if in_sentences else leading_name(sentence, lambda text: text == name)
        if not answer:
            return None
        back = replace(request, target=answer)
        return ResolvedChange(entry, entry.edit, back, None, fact_probes(back, editor.text))

    def _prepare(self, edit: Edit) -> tuple[Request, Subgraph | None, tuple[Implied, ...]]:
        resolved = self._names.resolve(edit)
        subgraph = self._names.subgraph(resolved, self._editor.subgraph_options)
        return resolved.request, subgraph, self._implied(resolved)

    def _implied(self, resolved: Resolved) -> tuple[Implied, ...]:
        """What follows from an edit by the rules; nothing where an end of it is no item of the graph."""
        subject, relation, target = resolved.subject_id, resolved.relation, resolved.target_id
        if not self._rules or subject is None or relation is None or target is None:
            return ()
        old = resolved.edit.target_true
        known = old if old is not None and is_entity_id(old) else None
        return implied_facts(self._editor.graph, self._rules, Triple(subject, relation, target), known)
