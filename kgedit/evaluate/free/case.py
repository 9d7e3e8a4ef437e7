"""Cases under the free protocol: the benchmark's own figures, and what the model says freely about each edit."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from transformers import PreTrainedTokenizerBase

from kgedit.evaluate.benchmarks.case import BenchmarkCase, FollowUp, Questions, Replies
from kgedit.evaluate.free.graph_facts import GraphFacts
from kgedit.evaluate.free.probe import ChoiceProbe, FreeProbe, LocalityProbe, NameProbe, figures_of, judge_all
from kgedit.evaluate.free.wordings import after_telling, ask, choice, distracted, in_chat, negated
from kgedit.evaluate.results import SaidText, Values
from kgedit.lm.generation.greedy import Ask

NEIGHBOURS = 5  # prompts about neighbours that are asked, of ten in CounterFact
UNRELATED = 3
OF_SUBJECT = 5  # prompts about other facts of the subject, where the file has some


@dataclass(frozen=True)
class FreeForm:
    """What the free protocol needs beside the cases.

    Attributes:
        tokenizer: Says whether the model has a chat form.
        facts: Facts that must stay as they are.
        match: The rule that counts beside exact match.
        seed: Of what is drawn.
        system: System prompt of a chat; the template's own by default.
    """

    tokenizer: PreTrainedTokenizerBase
    facts: GraphFacts
    match: str
    seed: int
    system: str | None = None


def free_cases(cases: Sequence[BenchmarkCase], form: FreeForm) -> list[BenchmarkCase]:
    """The cases with the figures of the free protocol beside their own."""
    ends = {
        end.casefold()
        for case in cases
        for rewrite in case.rewrites
        for end in (rewrite.subject, rewrite.target_new, rewrite.target_true or "")
    }
    return [_free(case, form, ends) if case.rewrites else case for case in cases]


def _free(case: BenchmarkCase, form: FreeForm, ends: set[str]) -> BenchmarkCase:
    rng = random.Random(f"{form.seed} {case.id}")
    edits = [probe for number in range(len(case.rewrites)) for probe in _about_edit(case, number, form, rng)]
    probes: list[FreeProbe] = [*edits, *_beside_edit(case, form, ends, rng)]
    old = [
        NameProbe(
            "efficacy_before",
            ask(rewrite.text),
            rewrite.text,
            _names(rewrite.target_true, rewrite.target_true_id, form),
        )
        for rewrite in case.rewrites
        if rewrite.target_true
    ]

    brief = [probe for probe in edits if probe.figure == "efficacy"]

    def judge_brief(replies: Replies, before: Replies) -> Values:
        return figures_of(judge_all(brief, replies, before, form.match))

    def texts(replies: Replies, before: Replies) -> tuple[SaidText, ...]:
        return (*case.texts(replies, before), *judge_all(probes, replies, before, form.match))

    def judge(replies: Replies, before: Replies) -> Values:
        return {**case.judge(replies, before), **figures_of(judge_all(probes, replies, before, form.match))}

    def judge_unedited(before: Replies) -> Values:
        known = figures_of(judge_all(old, before, before, form.match))
        return {**case.judge_unedited(before), **known}

    return replace(
        case,
        questions=case.questions + _questions(probes),
        judge=judge,
        judge_unedited=judge_unedited,
        texts=texts,
        brief=BenchmarkCase(
            case.id,
            case.rewrites,
            _questions(brief),
            judge_brief,
            asked_before=case.asked_before,
            recalled=case.recalled,
            hops=case.hops,
        ),
    )


def _questions(probes: Sequence[FreeProbe]) -> Questions:
    """What probes ask, each prompt once."""
    return Questions(
        asks=tuple(dict.fromkeys(probe.ask for probe in probes if isinstance(probe.ask, Ask))),
        follow_ups=tuple(probe.ask for probe in probes if isinstance(probe.ask, FollowUp)),
    )


def _about_edit(case: BenchmarkCase, number: int, form: FreeForm, rng: random.Random) -> Iterator[FreeProbe]:
    """The edited fact in every form; the wordings of the record belong to its first edit."""
    rewrite = case.rewrites[number]
    text, question = rewrite.text, rewrite.question or rewrite.text
    stated = case.target_names[number] if case.target_names else ()
    names = tuple(dict.fromkeys((*_names(rewrite.target_new, rewrite.target_new_id, form), *stated)))

    def probe(figure: str, asked: Ask | FollowUp, *, absent: bool = False) -> NameProbe:
        return NameProbe(figure, asked, text, names, absent)

    yield probe("efficacy", ask(text))
    others = (*(case.paraphrases if number == 0 else ()), *((question,) if question != text else ()))
    for wording in others:
        yield probe("paraphrase", ask(wording))
    chat = in_chat(form.tokenizer, question, system=form.system)
    if chat is not None:
        yield probe("chat", ask(chat))
    yield probe("after_telling", after_telling(form.tokenizer, rewrite.subject, question, system=form.system))
    yield probe("negation", ask(negated(text)), absent=True)
    old = rewrite.target_true
    if old is not None and rewrite.changes:
        yield probe("distraction", ask(distracted(text, old, case.neighbours)))
        asked = choice(form.tokenizer, question, rewrite.target_new, old, rng, system=form.system)
        yield ChoiceProbe("choice", ask(asked.prompt), asked)


def _beside_edit(case: BenchmarkCase, form: FreeForm, ends: set[str], rng: random.Random) -> Iterator[LocalityProbe]:
    """What must stay: neighbours, unrelated facts, other facts of the subjects."""
    yield from (LocalityProbe("neighborhood", ask(prompt)) for prompt in case.neighbours[:NEIGHBOURS])
    for prompt in (*case.unrelated, *form.facts.unrelated(ends, UNRELATED, rng)):
        yield LocalityProbe("unrelated", ask(prompt))
    # Other facts of the subjects: those of the file, or else those that the graph mostly has beside the edited one.
    edited = {rewrite.text for rewrite in case.rewrites}
    beside = case.subject_facts[:OF_SUBJECT] or (
        prompt for rewrite in case.rewrites for prompt in form.facts.of_subject(rewrite.subject, rewrite.relation_id)
    )
    yield from (LocalityProbe("subject_facts", ask(prompt)) for prompt in beside if prompt not in edited)


def _names(label: str | None, item: str | None, form: FreeForm) -> tuple[str, ...]:
    return (label or "", *form.facts.names(item))
