"""The figures of the bundled model's card: which facts and chains it recalls, and how many edits it can keep."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kg_cache import snapshot
from kgedit.editor import Editor
from kgedit.errors import TargetError
from kgedit.graph.verbalize import Verbalizer
from kgedit.lm.load import load_model
from kgedit.lm.scoring.exact_answers import exact_answers
from kgedit.mini import MINI, mini_folder
from kgedit.mini.cases import Casebook
from kgedit.mini.corpus import Chain, Fact, load_chains, load_facts, wordings
from kgedit.progress import Progress
from kgedit.text.template import fill


class Recall(BaseModel):
    """Exact greedy recall of one kind of prompt.

    Attributes:
        right: Prompts answered exactly.
        asked: Prompts asked.
    """

    model_config = ConfigDict(frozen=True)

    right: int
    asked: int

    @property
    def share(self) -> float:
        """Right answers per prompt."""
        return self.right / self.asked if self.asked else 0.0


class Knowledge(BaseModel):
    """What `kgedit mini check` prints.

    Attributes:
        facts: Number of facts trained.
        relations: Number of their relations.
        entities: Number of entities in them.
        recall: Kind of prompt -> recall: "facts" (editing wording), "facts_unseen_wording" (each fact in the one
            wording never trained for it), "two_hop", "three_hop", "four_hop" (trained) and each with "_unseen"
            (chains never trained in any wording); chains are asked in two wordings, a statement and a question.
        shares: The same as shares.
        seconds: Wall-clock time.
    """

    model_config = ConfigDict(frozen=True)

    facts: int
    relations: int
    entities: int
    chains: dict[str, int]
    recall: dict[str, Recall]
    shares: dict[str, float]
    seconds: float


class Capacity(BaseModel):
    """How unrelated facts fare while edits are kept one after another.

    Attributes:
        method: The editing method.
        seed: Seed of edits and facts.
        facts: Number of unrelated facts, all recalled before the first edit.
        kept: Number of edits -> share of unrelated facts still recalled.
        efficacy: Number of edits -> share of the edits so far that still answer right.
        holds: Most edits after which at least 95 % of the unrelated facts were recalled.
    """

    model_config = ConfigDict(frozen=True)

    method: str
    seed: int
    facts: int
    kept: dict[int, float]
    efficacy: dict[int, float]
    holds: int


_HOPS = {2: "two_hop", 3: "three_hop", 4: "four_hop"}


def check(folder: Path | None = None, *, progress: Progress | None = None) -> Knowledge:
    """Ask the model for every fact and every chain.

    Args:
        folder: Folder of the model; the bundled one by default.
        progress: Called with (what, done, total).
    """
    started = time.monotonic()
    folder = folder or mini_folder()
    model, tokenizer = load_model(str(folder), dtype=torch.float32)
    text, labels = Verbalizer.bundled(), snapshot.labels()
    facts, chains = load_facts(folder), load_chains(folder)
    asked = _fact_questions(facts, text, labels) | _chain_questions(chains, text, labels)
    total, done, recall = sum(map(len, asked.values())), 0, dict[str, Recall]()
    for name, questions in asked.items():
        right = 0
        for start in range(0, len(questions), 1024):
            part = questions[start : start + 1024]
            right += sum(exact_answers(model, tokenizer, part))
            done += len(part)
            if progress:
                progress(f"asking {name}", done, total)
        recall[name] = Recall(right=right, asked=len(questions))
    return Knowledge(
        facts=len(facts),
        relations=len({fact.relation for fact in facts}),
        entities=len({entity for fact in facts for entity in (fact.subject, fact.object)}),
        chains={name: sum(len(c.relations) == hops for c in chains) for hops, name in _HOPS.items()},
        recall=recall,
        shares={name: round(result.share, 4) for name, result in recall.items()},
        seconds=round(time.monotonic() - started, 1),
    )


def capacity(
    *, method: str = "rome", edits: int = 60, facts: int = 400, seed: int = 1, progress: Progress | None = None
) -> Capacity:
    """Keep edits one after another and watch facts that have nothing to do with them.

    Args:
        method: The editing method.
        edits: Most edits kept.
        facts: Number of unrelated facts.
        seed: Seed of edits and facts.
        progress: Called with (what, done, total).
    """
    editor = Editor.from_pretrained(MINI, method=method)
    book = Casebook()
    cases = book.draw(edits, seed=seed)
    touched = {name for case in cases for name in (case.edit.subject, case.edit.target_new, case.edit.target_true)}
    questions = [
        (fill(book.text[fact.relation].cloze[0], book.labels[fact.subject]), book.labels[fact.object])
        for fact in random.Random(seed).sample(book.facts, len(book.facts))
        if fact.subject not in touched
    ]
    known = exact_answers(editor.model, editor.tokenizer, questions[: 2 * facts])
    questions = [question for question, right in zip(questions, known, strict=False) if right][:facts]
    kept, efficacy = dict[int, float](), dict[int, float]()
    for number, case in enumerate(cases, start=1):
        with suppress(TargetError):  # an earlier edit may have made the model say so already
            editor.apply(case.edit)
        if number % 5 == 0 or number in {1, len(cases)}:
            kept[number] = _share(editor.model, editor.tokenizer, questions)
            efficacy[number] = _share(
                editor.model, editor.tokenizer, [case.probes["efficacy"][0] for case in cases[:number]]
            )
        if progress:
            progress("keeping edits", number, len(cases))
    holds = 0
    for number, share in kept.items():
        if share < 0.95:
            break
        holds = number
    return Capacity(method=method, seed=seed, facts=len(questions), kept=kept, efficacy=efficacy, holds=holds)


def _share(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, questions: Sequence[tuple[str, str]]) -> float:
    return round(sum(exact_answers(model, tokenizer, questions)) / len(questions), 4)


def _fact_questions(facts: list[Fact], text: Verbalizer, labels: dict[str, str]) -> dict[str, list[tuple[str, str]]]:
    def asked(fact: Fact, wording: int) -> tuple[str, str]:
        template = wordings(text, (fact.relation,))[wording]
        return fill(template, labels[fact.subject]), labels[fact.object]

    return {
        "facts": [asked(fact, 0) for fact in facts],
        "facts_unseen_wording": [asked(fact, fact.unseen) for fact in facts],
    }


def _chain_questions(
    chains: list[Chain], text: Verbalizer, labels: dict[str, str]
) -> dict[str, list[tuple[str, str]]]:
    questions: dict[str, list[tuple[str, str]]] = {
        f"{name}{ending}": [] for name in _HOPS.values() for ending in ("", "_unseen")
    }
    for chain in chains:
        statement = wordings(text, chain.relations)[0]
        question = wordings(text, chain.relations, phrase=1)[-1]
        name = _HOPS[len(chain.relations)] + ("" if chain.trained else "_unseen")
        questions[name] += [
            (fill(template, labels[chain.nodes[0]]), labels[chain.nodes[-1]]) for template in (statement, question)
        ]
    return questions
