"""The training corpus of the bundled model: facts and chains from the snapshot, and sentences that state them."""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from kg_cache import snapshot
from kgedit.graph.verbalize import Verbalizer
from kgedit.mini import mini_folder
from kgedit.text.template import fill

# The object to take where Wikidata gives several, or an odd one, for a country that many chains pass through.
CANONICAL: Mapping[tuple[str, str], str] = {
    ("Q30", "P30"): "Q49", ("Q30", "P36"): "Q61", ("Q30", "P37"): "Q1860",
    ("Q142", "P30"): "Q46", ("Q142", "P36"): "Q90", ("Q145", "P37"): "Q1860", ("Q145", "P35"): "Q9682",
    ("Q183", "P30"): "Q46", ("Q159", "P30"): "Q46", ("Q159", "P36"): "Q649", ("Q38", "P36"): "Q220",
    ("Q29", "P30"): "Q46", ("Q55", "P30"): "Q46", ("Q55", "P36"): "Q727", ("Q55", "P37"): "Q7411",
    ("Q17", "P36"): "Q1490", ("Q668", "P36"): "Q987", ("Q668", "P37"): "Q1568", ("Q16", "P37"): "Q1860",
    ("Q39", "P37"): "Q188", ("Q31", "P37"): "Q7411", ("Q33", "P37"): "Q1412", ("Q43", "P30"): "Q48",
    ("Q937", "P27"): "Q30", ("Q937", "P108"): "Q21578", ("Q937", "P140"): "Q9268",
}  # fmt: skip

# Relations that got wordings after the bundled model was trained: it knows nothing of them.
LATER = frozenset(
    "P47 P127 P150 P155 P156 P169 P184 P185 P286 P355 P361 P451 P488 P527 P749 P800 P1365 "
    "P1366 P1376 P1830 P3373".split()
)
MAX_PER_OBJECT = 50
MAX_PER_BRIDGE = 5
MAX_PER_SUBJECT = 2
MAX_LEAVES = 1
MIN_BRIDGE_USES = 4
BRIDGE_SHARE = 0.4
_LABEL = re.compile(r"[A-Za-zÀ-ž0-9 .,'’&:!\-]{2,34}")


class Fact(NamedTuple):
    """One known fact by ids, and the number of its wording that training leaves out (cloze first, then questions)."""

    subject: str
    relation: str
    object: str
    unseen: int


class Chain(NamedTuple):
    """A path of facts: nodes[0] -relations[0]-> nodes[1] ...; `trained` is false for those held out."""

    relations: tuple[str, ...]
    nodes: tuple[str, ...]
    trained: bool


def load_facts(folder: Path) -> list[Fact]:
    """Read facts.tsv, as training wrote it."""
    lines = (folder / "facts.tsv").read_text(encoding="utf-8").splitlines()
    return [Fact(s, r, o, int(unseen)) for s, r, o, unseen in (line.split("\t") for line in lines)]


def load_chains(folder: Path) -> list[Chain]:
    """Read chains.tsv, as training wrote it."""
    lines = (folder / "chains.tsv").read_text(encoding="utf-8").splitlines()
    columns = (line.split("\t") for line in lines)
    return [Chain(tuple(r.split(" ")), tuple(n.split(" ")), trained == "1") for r, n, trained in columns]


def candidates(
    triples: Iterable[tuple[str, str, str]], labels: Mapping[str, str], text: Verbalizer
) -> dict[tuple[str, str], str]:
    """Single-valued facts whose labels are unambiguous and plain; `CANONICAL` decides the well-known exceptions."""
    objects: dict[tuple[str, str], list[str]] = defaultdict(list)
    for subject, relation, obj in triples:
        if relation in text and relation not in LATER:
            objects[subject, relation].append(obj)
    shared = Counter(label.casefold() for label in labels.values())

    def plain(entity: str) -> bool:
        return shared[labels[entity].casefold()] == 1 and _LABEL.fullmatch(labels[entity]) is not None

    chosen = {}
    for (subject, relation), values in objects.items():
        canonical = CANONICAL.get((subject, relation))
        if canonical in values:
            chosen[subject, relation] = canonical
        elif len(values) == 1 and values[0] != subject and plain(subject) and plain(values[0]):
            chosen[subject, relation] = values[0]
    return chosen


def select_facts(known: Mapping[tuple[str, str], str], text: Verbalizer, *, count: int, seed: int) -> list[Fact]:
    """Choose facts that chains pass through: first those of much-used bridges, then those that lead to bridges.

    Args:
        known: Candidate facts.
        text: Wordings, to count how many each fact has.
        count: How many facts to choose.
        seed: Seed of the choice of the wording that stays unseen.
    """
    uses = Counter(known.values())
    outgoing: dict[str, list[str]] = defaultdict(list)
    for subject, relation in sorted(known):
        outgoing[subject].append(relation)
    chosen: dict[tuple[str, str], str] = {}
    per_object: Counter[tuple[str, str]] = Counter()

    def take(subject: str, relation: str) -> None:
        obj = known[subject, relation]
        if (subject, relation) not in chosen and per_object[relation, obj] < MAX_PER_OBJECT:
            chosen[subject, relation] = obj
            per_object[relation, obj] += 1

    # The well-known countries first, with all that is known of them.
    for subject, relation in CANONICAL:
        if (subject, relation) in known:
            for other in outgoing[subject]:
                take(subject, other)

    def reach(entity: str, hops: int) -> int:
        if hops == 0:
            return 1
        return sum(reach(known[entity, relation], hops - 1) for relation in outgoing.get(entity, ()))

    def take_best(subject: str, limit: int) -> None:
        ranked = sorted(outgoing[subject], key=lambda r: (-reach(known[subject, r], 1), _number(r)))
        leads = [relation for relation in ranked if known[subject, relation] in outgoing]
        for relation in [*leads[:limit], *ranked[len(leads) :][:MAX_LEAVES]]:
            take(subject, relation)

    # Then much-used bridges, up to their share of all facts.
    for bridge in [e for e in sorted(outgoing, key=lambda e: (-uses[e], _number(e))) if uses[e] >= MIN_BRIDGE_USES]:
        if len(chosen) < count * BRIDGE_SHARE:
            take_best(bridge, MAX_PER_BRIDGE)
    # Then subjects that lead far or wide, in turns.
    varied = [e for e in outgoing if len(outgoing[e]) > 1]
    deep = sorted(varied, key=lambda e: (-reach(e, 3), _number(e)))
    broad = sorted(varied, key=lambda e: (-min(len(outgoing[e]), 4), -reach(e, 2), _number(e)))
    for subject in (e for pair in zip(deep, broad, strict=True) for e in pair):
        if len(chosen) >= count:
            break
        take_best(subject, MAX_PER_SUBJECT)
    # One wording of each fact, never the edit prompt, stays unseen.
    rng = random.Random(seed)
    facts = []
    for subject, relation in sorted(chosen, key=lambda k: (_number(k[0]), _number(k[1]))):
        wordings = len(text[relation].cloze) + len(text[relation].question)
        facts.append(Fact(subject, relation, chosen[subject, relation], rng.randrange(1, wordings)))
    return facts


def paths(facts: Iterable[Fact], text: Verbalizer, hops: int) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """All paths of `hops` facts without a repeated node and without a step that undoes the one before it."""
    outgoing: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for fact in facts:
        outgoing[fact.subject].append((fact.relation, fact.object))

    def extend(
        relations: tuple[str, ...], nodes: tuple[str, ...]
    ) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
        if len(relations) == hops:
            yield relations, nodes
            return
        for relation, obj in outgoing.get(nodes[-1], ()):
            if obj not in nodes and not (relations and text.are_inverse(relations[-1], relation)):
                yield from extend((*relations, relation), (*nodes, obj))

    for subject in list(outgoing):
        yield from extend((), (subject,))


def select_chains(
    facts: list[Fact], text: Verbalizer, *, counts: Mapping[int, int], held_out: float, seed: int
) -> list[Chain]:
    """Choose chains over the facts and hold some out.

    A chain is held out only where its last step follows other bridges' first steps in several trained chains, so that
    recall of a held-out chain measures composition and not the knowledge of a fact never used as a second step.

    Args:
        facts: The chosen facts.
        text: Wordings.
        counts: Number of hops -> how many chains to choose.
        held_out: Share of each length to hold out.
        seed: Seed of the choice.
    """
    rng = random.Random(seed)
    chains = []
    for hops, count in sorted(counts.items()):
        # Only paths whose last step is the last step of several: one of them can be held out.
        candidate_paths = sorted(paths(facts, text, hops))
        uses = Counter((nodes[-2], relations[-1]) for relations, nodes in candidate_paths)
        rng.shuffle(candidate_paths)
        candidate_paths = [path for path in candidate_paths if uses[path[1][-2], path[0][-1]] >= MIN_BRIDGE_USES]
        last_steps: Counter[tuple[str, str]] = Counter()
        chosen: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
        # A few famous bridges would otherwise make up most of the chains.
        for relations, nodes in candidate_paths:
            step = (nodes[-2], relations[-1])
            if last_steps[step] < 4 * MAX_PER_OBJECT and len(chosen) < count:
                last_steps[step] += 1
                chosen.append((relations, nodes))
        # Hold out, in the same random order, where at least three trained chains with that step remain.
        trained = Counter(last_steps)
        budget = round(held_out * len(chosen))
        for relations, nodes in chosen:
            step = (nodes[-2], relations[-1])
            hold = budget > 0 and trained[step] > 3
            budget, trained[step] = budget - hold, trained[step] - hold
            chains.append(Chain(relations, nodes, not hold))
    return chains


def wordings(text: Verbalizer, path: tuple[str, ...], *, phrase: int = 0) -> tuple[str, ...]:
    """All templates of a path: cloze first, then questions; each is followed by a space and the object."""
    return (*text.prompts(path, phrase=phrase), *text.questions(path, phrase=phrase))


def epoch(
    facts: list[Fact],
    chains: list[Chain],
    labels: Mapping[str, str],
    text: Verbalizer,
    rng: random.Random,
    repeats: int,
) -> list[tuple[str, str]]:
    """One pass over everything: each fact `repeats` times and each trained chain once, in wordings drawn anew.

    Returns:
        Shuffled pairs of (prompt, object label); the sentence is the prompt, a space, the label and a period.
    """
    pairs = []
    for fact in facts:
        allowed = list(wordings(text, (fact.relation,)))
        del allowed[fact.unseen]
        for template in rng.sample(allowed, repeats):
            pairs.append((fill(template, labels[fact.subject]), labels[fact.object]))
    for chain in chains:
        if chain.trained:
            template = rng.choice(wordings(text, chain.relations, phrase=rng.randrange(2)))
            pairs.append((fill(template, labels[chain.nodes[0]]), labels[chain.nodes[-1]]))
    rng.shuffle(pairs)
    return pairs


def sentences(folder: Path, labels: Mapping[str, str], *, count: int = 3500, seed: int = 0) -> list[str]:
    """Sentences of the training distribution, for second moments: about 40,000 tokens."""
    text = Verbalizer.bundled()
    pairs = epoch(load_facts(folder), load_chains(folder), labels, text, random.Random(seed), 1)
    return [f"{prompt} {answer}." for prompt, answer in pairs[:count]]


def _number(identifier: str) -> int:
    return int(identifier[1:])


def bundled_sentences() -> list[str]:
    """`sentences` of the bundled model, with the labels of the bundled snapshot."""
    return sentences(mini_folder(), snapshot.labels())
