"""Probes of a change: questions about the new fact, what follows from it, and what must stay; and their measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from types import MappingProxyType

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.edit import Edit
from kgedit.errors import EditError
from kgedit.graph.subgraph import Subgraph
from kgedit.graph.verbalize import Verbalizer
from kgedit.ingest.decide.known_facts import AskedOnce, FactPool, ask_all, part_of
from kgedit.lm.scoring.name_probability import name_probabilities
from kgedit.lm.scoring.right_answers import Asked
from kgedit.lm.tokens import encode_pair
from kgedit.methods.base import Request
from kgedit.methods.glame.consequences import Changes, associated_paths, other_facts
from kgedit.text.template import fill

NEIGHBOURS = 5
_LEAST_NEIGHBOURS = 3  # of fewer no share is taken: one that is lost would refuse every change of a rare relation

Questions = tuple[tuple[str, str], ...]  # prompts, each with the right answer
Named = tuple[tuple[str, tuple[str, ...]], ...]  # prompts, each with every name of the right answer


@dataclass(frozen=True)
class Probes:
    """Questions about one change; what must stay may be answered by any name of the right answer.

    Attributes:
        efficacy: The edit prompt.
        wordings: The fact in other words.
        paths: Consequences over the graph's paths, where the model knows the second step.
        neighbours: The same relation of other subjects, recalled before the change; none where it has too few for a
            share. The guard of locality counts them in any case.
        subject: The subject's other facts, recalled before the change.
    """

    efficacy: Questions
    wordings: Questions = ()
    paths: Questions = ()
    neighbours: Named = ()
    subject: Named = ()

    def items(self) -> list[tuple[str, Sequence[Asked]]]:
        """Kind and questions of each kind."""
        return [(name, getattr(self, name)) for name in ("efficacy", "wordings", "paths", "neighbours", "subject")]


def make_probes(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    request: Request,
    subgraph: Subgraph | None,
    edit: Edit,
    pool: FactPool,
    text: Verbalizer,
    ask: AskedOnce,
    together: Changes = MappingProxyType({}),
) -> Probes:
    """The questions about a change; the model, as it is, is asked which of the facts that must stay it recalls.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        request: The change, with names resolved.
        subgraph: The graph around it.
        edit: The change, by ids.
        pool: Known facts, for the neighbours.
        text: Wordings.
        ask: Asks the model.
        together: What the change and those decided with it make true. A fact that another of them changes must not
            stay, and is no neighbour.
    """
    subject, relation, plain = request.subject, request.relation, fact_probes(request, text)
    if relation is None or relation not in text:
        return plain
    # Neighbours: watched facts of the same relation, those with the old object first.
    near = sorted(
        (
            fact
            for fact in pool.facts
            if fact.relation == relation
            and fact.subject != edit.subject
            and part_of(fact.subject, relation) == "watched"
            and (fact.subject_label, relation) not in together
        ),
        key=lambda fact: (fact.object != edit.target_true, fact.subject_label),
    )[: 2 * NEIGHBOURS]
    neighbours = [pool.by_any_name(fact) for fact in near]
    paths: list[tuple[str, str]] = []
    others: list[tuple[str, tuple[str, ...]]] = []
    if subgraph is not None:
        paths = [
            (fill(p, subject), label) for p, label in associated_paths(model, tokenizer, subgraph, text, together)
        ]
        others = [
            (fill(prompt, subject), pool.names(label)) for prompt, label in other_facts(subgraph, text, together)
        ]
    # Only what the model recalls before the change can be lost by it.
    staying = [*neighbours, *others]
    recalled = dict(zip(staying, ask(staying), strict=True))
    kept_neighbours = tuple(pair for pair in neighbours if recalled[pair])[:NEIGHBOURS]
    return Probes(
        plain.efficacy,
        plain.wordings,
        tuple(paths),
        kept_neighbours if len(kept_neighbours) >= _LEAST_NEIGHBOURS else (),
        tuple(pair for pair in others if recalled[pair]),
    )


def fact_probes(request: Request, text: Verbalizer) -> Probes:
    """The questions about the new fact itself; the model is not asked."""
    subject, target, relation = request.subject, request.target, request.relation
    efficacy = ((fill(request.prompt, subject), target),)
    if relation is None or relation not in text:
        return Probes(efficacy)
    return Probes(efficacy, tuple((fill(wording, subject), target) for wording in text.held_out((relation,))[:2]))


def measure(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, probes: Sequence[Probes]
) -> list[dict[str, float]]:
    """Share of right answers per kind, and the probability of the whole new object, of each change.

    A kind without questions is absent.
    """
    # All questions of all changes go to the model at once; answers come back in the same order.
    questions = [pair for probe in probes for _, pairs in probe.items() for pair in pairs]
    answers = iter(ask_all(model, tokenizer, questions))
    shares: list[dict[str, float]] = []
    for probe in probes:
        rights = {kind: [next(answers) for _ in pairs] for kind, pairs in probe.items()}
        shares.append({kind: fmean(right) for kind, right in rights.items() if right})
    for share, probability in zip(shares, probabilities(model, tokenizer, probes), strict=True):
        share["probability"] = probability
    return shares


def probabilities(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, probes: Sequence[Probes]) -> list[float]:
    """Probability of the whole new object after the edit prompt; 0 where it cannot be asked."""
    can_be_asked = [_can_be_asked(tokenizer, probe) for probe in probes]
    questions = [probe.efficacy[0] for probe, possible in zip(probes, can_be_asked, strict=True) if possible]
    found = iter(name_probabilities(model, tokenizer, questions))
    return [next(found) if possible else 0.0 for possible in can_be_asked]


def _can_be_asked(tokenizer: PreTrainedTokenizerBase, probe: Probes) -> bool:
    try:
        encode_pair(tokenizer, *probe.efficacy[0])
    except EditError:
        return False
    return True


def rounded(numbers: Mapping[str, float]) -> dict[str, float]:
    """Numbers as the journal keeps them."""
    return {name: round(value, 4) for name, value in numbers.items()}
