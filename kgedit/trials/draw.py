"""Draws edits of facts that a model recalls, each with the prompts that it is measured by.

The measures are CounterFact's (Meng et al., 2022): the edit prompt; paraphrases, each plain and behind a sentence
about something else; and neighbours, which have the old object and must keep it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from kgedit.edit import Edit
from kgedit.editor import Editor
from kgedit.errors import DataError
from kgedit.evaluate.benchmarks.counterfact.measures import CounterFactProbe
from kgedit.evaluate.made.mined import fact_pool
from kgedit.graph.subgraph import Subgraph
from kgedit.ingest.decide.known_facts import FactPool
from kgedit.ingest.decide.made_changes import made_changes
from kgedit.methods.base import Request
from kgedit.methods.curriculum import Question
from kgedit.mini.corpus import bundled_sentences
from kgedit.text.template import fill

NEIGHBOURS = 10
_PARAPHRASES = 2


@dataclass(frozen=True)
class TrialEdit:
    """One edit, ready to be computed and measured.

    Attributes:
        edit: What changes.
        request: The edit with its names resolved.
        subgraph: The facts around it, for methods that read them.
        probe: The prompts that it is measured by.
        through: Questions about other items that pass through the edited fact, and the answer once it is edited.
    """

    edit: Edit
    request: Request
    subgraph: Subgraph | None
    probe: CounterFactProbe
    through: tuple[Question, ...] = ()


def draw_edits(editor: Editor, count: int, *, seed: int) -> list[TrialEdit]:
    """Draw edits of recalled facts, no two of one subject.

    Args:
        editor: Editor of the unedited model; its method says how far subgraphs reach.
        count: How many; fewer come back where the model recalls too little.
        seed: Same seed, same edits.

    Raises:
        DataError: The model recalls none of the facts that it was asked.
    """
    pool = fact_pool(editor)
    edits = made_changes(pool, editor.model, editor.tokenizer, count, seed=seed)
    if not edits:
        raise DataError(
            f"{editor.name!r} recalls none of the facts of the graph {editor.graph.name!r} that it was asked, so "
            "there is nothing to edit; give a graph of facts that it knows (--graph)"
        )
    return made_ready(editor, pool, edits, random.Random(seed))


def made_ready(editor: Editor, pool: FactPool, edits: Sequence[Edit], rng: random.Random) -> list[TrialEdit]:
    """The edits with their subgraphs, as far as the editor's method reaches, and the prompts that measure them."""
    sentences = list(bundled_sentences())
    ready = []
    for edit in edits:
        request, subgraph = editor.prepare(edit)
        ready.append(TrialEdit(edit, request, subgraph, _probe(edit, request, pool, sentences, rng)))
    return ready


def _probe(
    edit: Edit, request: Request, pool: FactPool, sentences: Sequence[str], rng: random.Random
) -> CounterFactProbe:
    relation = str(edit.relation)
    wordings = pool.text.held_out((relation,))
    plain = [fill(wording, request.subject) for wording in rng.sample(wordings, min(_PARAPHRASES, len(wordings)))]
    behind = [f"{rng.choice(sentences)} {prompt}" for prompt in plain]
    near = [
        fact
        for fact in pool.facts
        if (fact.relation, fact.object) == (relation, edit.target_true) and fact.subject != edit.subject
    ]
    chosen = rng.sample(near, min(NEIGHBOURS, len(near)))
    statements = pool.text.prompts((relation,))
    return CounterFactProbe(
        target_new=request.target,
        target_true=_label(pool, edit),
        rewrite=(request.question,),
        paraphrase=(*plain, *behind),
        neighborhood=tuple(fill(rng.choice(statements), fact.subject_label) for fact in chosen),
    )


def _label(pool: FactPool, edit: Edit) -> str:
    """Label of the old object."""
    slot = (edit.subject, edit.relation)
    return next(fact.object_label for fact in pool.facts if (fact.subject, fact.relation) == slot)
