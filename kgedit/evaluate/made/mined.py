"""Facts that a model recalls in several wordings, found by a bounded walk over the graph, as a book of cases."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
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
from kgedit.text.template import fill

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
    limit = min(most, len(pool.facts))
    walk = RecallWalk(pool.facts, seed, [])
    asking = _Asking(pool, model, tokenizer, limit, progress)
    # Half of the facts as they come.
    asking.ask(f"{_WALK} {seed}", walk.chunk, walk.answer, limit // 2)
    # The rest near those: facts of their objects, with which chains go on, and facts that share an object with them.
    near = _near(asking.recalled, [fact for fact in pool.facts if fact not in asking.asked])
    asking.ask(
        f"{_WALK} near {seed} {limit}", lambda start: near[start : start + CHUNK], len, limit - len(asking.asked)
    )
    # Then the recalled ones in the wordings that only scoring uses.
    found = _in_other_wordings(pool, model, tokenizer, asking.recalled, progress)
    return MinedFacts(found, len(asking.asked), len(asking.recalled))


class _Asking:
    """Asks for facts in the editing prompt, in whole chunks, so that what is asked beside has no say in a verdict."""

    def __init__(
        self,
        pool: FactPool,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        limit: int,
        progress: Progress | None,
    ) -> None:
        self._pool, self._model, self._tokenizer = pool, model, tokenizer
        self._limit, self._progress = limit, progress
        self.asked: set[KnownFact] = set()
        self.recalled: list[KnownFact] = []

    def ask(
        self,
        name: str,
        chunk_of: Callable[[int], Sequence[KnownFact]],
        answer: Callable[[Sequence[bool]], object],
        most: int,
    ) -> None:
        """Ask for facts in an order until so many are asked; verdicts are kept under a name.

        Args:
            name: Of the order.
            chunk_of: (number of facts asked before) -> the next ones; none at the end.
            answer: Told the verdicts on each chunk before the next is asked for.
            most: How many.
        """
        kept, name = self._pool.kept, f"{name} {self._pool.digest}"
        known = kept.verdicts(name) if kept else []
        verdicts: list[bool] = []
        try:
            while len(verdicts) < most and (chunk := chunk_of(len(verdicts))):
                if self._progress:
                    told = f"facts asked for, {len(self.recalled)} recalled"
                    self._progress(told, len(self.asked), self._limit)
                right = known[len(verdicts) : len(verdicts) + len(chunk)]
                if len(right) < len(chunk):
                    right = self._pool.ask(self._model, self._tokenizer, chunk)
                answer(right)
                verdicts += right
                self.asked.update(chunk)
                self.recalled += [fact for fact, answered in zip(chunk, right, strict=True) if answered]
        finally:
            if kept and len(verdicts) > len(known):
                kept.keep(name, verdicts)


def _near(recalled: Sequence[KnownFact], others: Sequence[KnownFact]) -> list[KnownFact]:
    """The other facts that touch recalled ones, those that touch the most first."""
    objects = Counter(fact.object for fact in recalled)
    pairs = Counter((fact.relation, fact.object) for fact in recalled)
    touching = {fact: objects[fact.subject] + pairs[fact.relation, fact.object] for fact in others}
    return sorted((fact for fact in others if touching[fact]), key=lambda fact: (-touching[fact], fact))


def _in_other_wordings(
    pool: FactPool,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    facts: Sequence[KnownFact],
    progress: Progress | None,
) -> dict[KnownFact, tuple[str, ...]]:
    """Each fact with the held-out wordings in which it is recalled; only facts that have a statement among them."""
    wordings = {fact: pool.text.held_out((fact.relation,)) for fact in facts}
    asked = [(fill(wording, fact.subject_label), fact.object_label) for fact in facts for wording in wordings[fact]]
    kept, name = pool.kept, f"{_WALK} wordings {hashlib.sha256(repr(asked).encode()).hexdigest()}"
    verdicts = kept.verdicts(name) if kept else []
    known = len(verdicts)
    try:
        for start in range(known, len(asked), 4 * CHUNK):
            if progress:
                progress("recalled facts asked for in other wordings", start, len(asked))
            verdicts += ask_all(model, tokenizer, asked[start : start + 4 * CHUNK])
    finally:
        if kept and len(verdicts) > known:
            kept.keep(name, verdicts)
    right = iter(verdicts)
    given = {fact: tuple(wording for wording in wordings[fact] if next(right)) for fact in facts}
    return {fact: found for fact, found in given.items() if set(found) & set(pool.text.prompts((fact.relation,)))}


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
