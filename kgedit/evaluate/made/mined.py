"""Facts that a model recalls in several wordings, found by a bounded walk over the graph, as a book of cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kg_cache.settings import Settings
from kgedit.delta import model_hash
from kgedit.editor import Editor
from kgedit.evaluate.made.book import Book
from kgedit.ingest.decide.kept_verdicts import KeptVerdicts
from kgedit.ingest.decide.known_facts import FactPool, ask_all
from kgedit.ingest.decide.recall_walk import CHUNK, KnownFact, RecallWalk
from kgedit.mini.corpus import Fact
from kgedit.progress import Progress

MOST_ASKED = 4096
_WALK = "made"


@dataclass(frozen=True)
class MinedFacts:
    """What a walk found.

    Attributes:
        wordings: Recalled fact -> the wordings that only scoring uses in which the model gives its object, too.
        asked: Number of facts that were asked for.
        once: Number of those that it gave in the editing prompt, in other wordings or not.
    """

    wordings: dict[KnownFact, tuple[str, ...]] = field(default_factory=dict)
    asked: int = 0
    once: int = 0


def fact_pool(editor: Editor) -> FactPool:
    """The candidates of an editor's graph, and what is kept of those that its model was asked for before."""
    kept = KeptVerdicts(Settings().cache_dir / "recalled", model_hash(editor.model), editor.progress)
    return FactPool.of(editor.name, editor.graph, editor.text, kept=kept, progress=editor.progress)


def mine(
    pool: FactPool,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    most: int = MOST_ASKED,
    seed: int = 0,
    progress: Progress | None = None,
) -> MinedFacts:
    """Walk over the candidates and keep those that the model recalls in the editing prompt and in another statement.

    Recalled is a fact whose whole name the greedy answer begins with, see `right_answers`. Which facts come first,
    and which relations are passed over, is said at `RecallWalk`.

    Args:
        pool: Candidates and wordings; what it keeps from earlier walks is not asked again.
        model: The unedited model.
        tokenizer: Its tokenizer.
        most: The most facts that are asked for.
        seed: Same seed, same walk.
        progress: Called with (what, done, total).
    """
    kept, name = pool.kept, f"{_WALK} {seed} {pool.digest}"
    walk = RecallWalk(pool.facts, seed, kept.verdicts(name) if kept else [])
    known = len(walk.verdicts)
    once: list[KnownFact] = []
    asked = 0
    # First every candidate in the editing prompt, in whole chunks, so that what is asked beside has no say.
    try:
        while asked < min(most, len(pool.facts)) and (chunk := walk.chunk(asked)):
            if progress:
                progress(f"facts asked for, {len(once)} recalled", asked, min(most, len(pool.facts)))
            right = walk.answered(asked) or walk.answer(pool.ask(model, tokenizer, chunk))
            once += [fact for fact, answered in zip(chunk, right, strict=True) if answered]
            asked += len(chunk)
    finally:
        if kept and len(walk.verdicts) > known:
            kept.keep(name, walk.verdicts)
    # Then the recalled ones in all wordings that only scoring uses.
    found: dict[KnownFact, tuple[str, ...]] = {}
    for start in range(0, len(once), CHUNK):
        if progress:
            progress("recalled facts asked for in other wordings", start, len(once))
        part = once[start : start + CHUNK]
        found |= _in_other_wordings(pool, model, tokenizer, part)
    return MinedFacts(found, asked, len(once))


def _in_other_wordings(
    pool: FactPool, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, facts: Sequence[KnownFact]
) -> dict[KnownFact, tuple[str, ...]]:
    templates = {
        fact: (*pool.text.prompts((fact.relation,)), *pool.text.questions((fact.relation,))) for fact in facts
    }
    questions = [pair for fact in facts for pair in pool.questions(fact)]
    verdicts = iter(ask_all(model, tokenizer, questions))
    recalled = {}
    for fact in facts:
        given = {template for template in templates[fact] if next(verdicts)}
        held_out = tuple(wording for wording in pool.text.held_out((fact.relation,)) if wording in given)
        statements = pool.text.prompts((fact.relation,))
        if any(wording in statements for wording in held_out):
            recalled[fact] = held_out
    return recalled


class MinedBook(Book):
    """The casebook of the facts that a model was found to recall, each asked only in wordings in which it is."""

    def __init__(self, mined: MinedFacts) -> None:
        """Take what a walk found; labels and other names are those of the bundled snapshot."""
        facts = [Fact(fact.subject, fact.relation, fact.object, 0) for fact in mined.wordings]
        super().__init__(facts=sorted(facts))
        for fact in mined.wordings:
            self.labels |= {fact.subject: fact.subject_label, fact.object: fact.object_label}
        self._wordings = {(fact.subject, fact.relation): given for fact, given in mined.wordings.items()}

    def wordings_of(self, subject: str, relation: str) -> tuple[str, ...]:
        """Those in which the model recalls the fact."""
        return self._wordings[subject, relation]

    def statement_of(self, subject: str, relation: str) -> str | None:
        """The first statement in which the model recalls the fact."""
        statements = self.text.prompts((relation,))
        return next(wording for wording in self._wordings[subject, relation] if wording in statements)
