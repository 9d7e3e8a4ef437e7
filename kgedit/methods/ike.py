"""IKE: in-context editing (Zheng et al., *Can We Edit Factual Knowledge by In-Context Learning?*, EMNLP 2023).

No weight changes: the model reads the new fact before every text, behind demonstrations of what to do with a new fact.
docs/methods.md, "IKE".
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic import Field
from transformers import PreTrainedTokenizerBase

from kg_cache import snapshot
from kgedit.delta import hash_weights
from kgedit.delta.in_context import Ids, InContextDelta
from kgedit.graph.verbalize import Verbalizer
from kgedit.lm.anatomy import anatomy_of, context_length
from kgedit.lm.context import check_room
from kgedit.lm.tokens import encode_target, encode_texts
from kgedit.methods.base import Case, Computed, Method, Request, Workbench, check_cases
from kgedit.methods.settings import MethodSettings, Variant
from kgedit.mini import mini_folder
from kgedit.mini.corpus import Fact, load_facts
from kgedit.text.boundary import boundary
from kgedit.text.template import fill

# Published: of 32 demonstrations 4 copy the fact, 12 ask for it in other words, 16 ask for a neighbour, which stays.
_KINDS = ("copy",) + 3 * ("update",) + 4 * ("retain",)
_SHARE = 0.5  # of the context that demonstrations may take
_PLAIN = "{fact}\n"
_LABELLED = "New Fact: {fact}\nPrompt: "


def stated(prompt: str, target: str) -> str:
    """A fact as a sentence: the prompt, its subject filled in, with the object behind it."""
    return f"{prompt}{boundary(prompt, target)}{target}."


class IkeSettings(MethodSettings):
    """What is read before a text.

    Attributes:
        demonstrations: How many, from facts that the bundled model knows; as many as fit into half the context.
        labels: Whether texts are headed "New Fact:" and "Prompt:" as published; else facts stand there as sentences.
    """

    published: ClassVar[Mapping[str, Variant]] = {
        "paper": Variant("IKE as published: demonstrations with headings", {"demonstrations": 32, "labels": True})
    }

    demonstrations: int = Field(default=32, ge=0, le=1000)
    labels: bool = True


class Ike(Method):
    """The method; see the module's docstring."""

    name = "ike"
    summary = "The new fact is read before every text, behind demonstrations; no weight changes (Zheng et al., 2023)."
    kind = "memory"
    takes_gate = False
    exports = ""
    Config = IkeSettings
    config: IkeSettings

    def together(self, bench: Workbench, cases: Sequence[Case]) -> list[Computed]:
        """One change in context per case, with all of its facts.

        Raises:
            PromptError: A fact does not fit into the context.
        """
        check_cases(cases)
        return [self._computed(bench, [request for request, _ in case]) for case in cases]

    def _computed(self, bench: Workbench, requests: Sequence[Request]) -> Computed:
        model, config = bench.model, self.config
        weight = anatomy_of(model).weight_name(0)
        for request in requests:
            encode_target(bench.tokenizer, request.target, request.question)
        sentences = [stated(request.question, request.target) for request in requests]
        before, _, behind = (_LABELLED if config.labels else _PLAIN).partition("{fact}")
        begin, facts = _encoded(bench.tokenizer, [f"{before}{sentence}\n" for sentence in sentences])
        end = behind.removeprefix("\n")
        tail = _encoded(bench.tokenizer, [end])[1][0] if end else ()
        taken = len(begin) + sum(map(len, facts)) + len(tail)
        check_room(model, begin + sum(facts, ()), len(tail))
        # As many demonstrations as fit, the nearest ones next to the fact.
        room = int(_SHARE * context_length(model)) - taken
        shown: list[Ids] = []
        for text in reversed(self._demonstrations(requests, bench.seed)):
            (ids,) = _encoded(bench.tokenizer, [text])[1]
            if len(ids) > room:
                break
            room -= len(ids)
            shown.insert(0, ids)
        notes = () if len(shown) == config.demonstrations else (
            f"{len(shown)} of {config.demonstrations} demonstrations fit into half of the model's context",
        )  # fmt: skip
        manifest = {
            "method": self.name,
            "settings": config.model_dump(),
            "seed": bench.seed,
            "texts": sentences,
            "demonstrations": len(shown),
        }
        delta = InContextDelta(
            weight, begin, tuple(shown), tuple(facts), tail, hash_weights(model, [weight]), manifest
        )  # fmt: skip
        return Computed(delta, notes)

    def _demonstrations(self, requests: Sequence[Request], seed: int) -> list[str]:
        """The texts, those about the relations of the edits last."""
        count = self.config.demonstrations
        if not count:
            return []
        text, rng = Verbalizer.bundled(), random.Random(seed)
        labels = snapshot.labels()
        subjects = {request.subject for request in requests}
        facts: dict[str, list[Fact]] = defaultdict(list)
        for fact in load_facts(mini_folder()):
            if not subjects & {labels[fact.subject], labels[fact.object]}:
                facts[fact.relation].append(fact)
        wanted = [relation for request in requests if (relation := request.relation) in facts]
        near = [fact for relation in dict.fromkeys(wanted) for fact in facts[relation]]
        far = [fact for relation in sorted({*facts} - {*wanted}) for fact in facts[relation]]
        chosen = [fact for group in (near, far) for fact in rng.sample(group, min(len(group), count))][:count]
        written: list[str] = []
        for fact in chosen:
            # The object that it makes up, and the neighbour that keeps its own, are of the same relation.
            made_up = _any_but(rng, facts[fact.relation], fact, "object")
            neighbour = _any_but(rng, facts[fact.relation], fact, "subject")
            if made_up is None or neighbour is None:
                continue
            subject, obj = labels[fact.subject], labels[made_up.object]
            wordings = text.prompts((fact.relation,))
            new_fact = stated(fill(wordings[0], subject), obj)
            asked = {
                "copy": new_fact,
                "update": stated(fill(rng.choice(wordings[1:]), subject), obj),
                "retain": stated(fill(wordings[0], labels[neighbour.subject]), labels[neighbour.object]),
            }[_KINDS[len(written) % len(_KINDS)]]
            form = _LABELLED if self.config.labels else _PLAIN
            written.append(f"{form.format(fact=new_fact)}{asked}\n\n")
        return written[::-1]


def _any_but(rng: random.Random, facts: Sequence[Fact], fact: Fact, field: str) -> Fact | None:
    """One of the facts that has another subject or object than this one; None where there is none."""
    others = [other for other in facts if getattr(other, field) != getattr(fact, field)]
    return rng.choice(others) if others else None


def _encoded(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> tuple[Ids, list[Ids]]:
    """What the tokenizer puts before a text, and the ids of each text without it."""
    encoded = encode_texts(tokenizer, texts)
    return encoded[0].ids[: encoded[0].leading], [row.ids[row.leading :] for row in encoded]
