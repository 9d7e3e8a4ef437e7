"""Facts that a model recalls in several wordings, found by a bounded walk over the graph, as a book of cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kg_cache.settings import Settings
from kgedit.delta import model_hash
from kgedit.editor import Editor
from kgedit.evaluate.made.asking import Ask, AskingWorkers, Question, in_pieces
from kgedit.evaluate.made.book import Book
from kgedit.evaluate.made.turns import TurnWalk
from kgedit.ingest.decide.kept_verdicts import KeptVerdicts
from kgedit.ingest.decide.known_facts import FactPool, ask_all
from kgedit.ingest.decide.recall_walk import KnownFact
from kgedit.mini.corpus import Fact
from kgedit.progress import Progress
from kgedit.text.template import fill

MOST_ASKED = 4096
_WALK = "made in turns"
_PIECE = 32  # questions; half of what is asked for between two turns of the walk


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
    workers: AskingWorkers | None = None,
) -> MinedFacts:
    """Walk over the candidates and keep those that the model recalls in the editing prompt and in another statement.

    Recalled is a fact whose whole name the greedy answer begins with, see `right_answers`. Which facts come first is
    said at `TurnWalk`.

    Args:
        pool: Candidates and wordings; what it keeps from earlier walks is not asked again.
        model: The unedited model.
        tokenizer: Its tokenizer.
        most: The most facts that are asked for.
        seed: Same seed, same walk; a longer one goes on where a shorter one stopped.
        progress: Called with (what, done, total).
        workers: Ask the same model in the place of this process.
    """
    limit = min(most, len(pool.facts))
    walk = TurnWalk(pool.facts, seed)
    ask = partial(ask_all, model, tokenizer)
    verdicts = _Verdicts(pool.kept, f"{_WALK} {seed} {pool.digest}", ask, workers)
    wordings: dict[KnownFact, tuple[str, ...]] = {}
    asked = once = 0
    # Always whole chunks: what else is asked has no say in a verdict.
    while asked < limit and (chunk := walk.next_chunk()):
        if progress:
            progress(f"facts asked for, {len(wordings)} recalled in several wordings", asked, limit)
        right = verdicts.of([pool.question(fact) for fact in chunk])
        recalled = [fact for fact, answered in zip(chunk, right, strict=True) if answered]
        # Those recalled in the editing prompt are asked for in the wordings that only scoring uses.
        held_out = {fact: pool.text.held_out((fact.relation,)) for fact in recalled}
        others = [
            (fill(wording, fact.subject_label), fact.object_label) for fact in recalled for wording in held_out[fact]
        ]
        answers = iter(verdicts.of(others))
        given = {fact: tuple(wording for wording in held_out[fact] if next(answers)) for fact in recalled}
        found = {fact: own for fact, own in given.items() if set(own) & set(pool.text.prompts((fact.relation,)))}
        walk.answer(chunk, [fact in found for fact in chunk])
        wordings |= found
        asked, once = asked + len(chunk), once + len(recalled)
    return MinedFacts(wordings, asked, once)


class _Verdicts:
    """What a model answers to the questions of one walk, one after the other; what is kept of them is not asked."""

    def __init__(self, kept: KeptVerdicts | None, name: str, ask: Ask, workers: AskingWorkers | None) -> None:
        self._kept, self._name, self._ask, self._workers = kept, name, ask, workers
        self._all = kept.verdicts(name) if kept else []
        self._told = 0

    def of(self, questions: Sequence[Question]) -> list[bool]:
        """Whether it answers each of the next questions right."""
        end = self._told + len(questions)
        if len(self._all) < end:
            pieces = in_pieces(questions, _PIECE, self._ask, self._workers)
            self._all[self._told :] = [verdict for _, verdicts in pieces for verdict in verdicts]
            if self._kept:
                self._kept.keep(self._name, self._all)
        verdicts = self._all[self._told : end]
        self._told = end
        return verdicts


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
