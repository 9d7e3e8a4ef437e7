"""MQuAKE: are the edited facts recalled, and are questions answered across them?"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from statistics import fmean

from kgedit.evaluate.benchmarks.case import BenchmarkCase, Options, Questions, Replies, StatedFact, Unusable
from kgedit.evaluate.benchmarks.mquake.measures import MquakeProbe, SingleHop
from kgedit.evaluate.benchmarks.mquake.prompts import MquakePrompts
from kgedit.evaluate.benchmarks.mquake.questions import MQuakeQuestions
from kgedit.evaluate.benchmarks.mquake.record import Hop, MQuakeRecord, Triple
from kgedit.evaluate.benchmarks.records import Record
from kgedit.evaluate.measures.matching import exact
from kgedit.evaluate.results import Values
from kgedit.lm.generation.greedy import Ask


def case(record: Record, options: Options) -> BenchmarkCase:
    """Efficacy (rewrites answered exactly), edit- and instance-wise recall, and multi-hop figures of every style.

    Raises:
        Unusable: The record is no MQuAKE record.
    """
    if isinstance(record, MQuakeRecord):
        return _whole(record, options)
    if isinstance(record, MQuakeQuestions):
        return _reduced(record, options)
    raise Unusable("the record is not one of MQuAKE")


def _whole(record: MQuakeRecord, options: Options) -> BenchmarkCase:
    prompts = options.prompts
    positions = [(rewrite, record.position(rewrite)) for rewrite in record.rewrites]
    probe = MquakeProbe(
        # An edited fact that lies on the chain may be answered by any name that the chain has for its object.
        rewrites=tuple(
            SingleHop(Ask(rewrite.text), (rewrite.target_new,) if at is None else record.new_hops[at].names)
            for rewrite, at in positions
        ),
        chain=_single_hops(record.new_hops, record.new_triples, prompts, edited=record.edited),
        chain_before=_single_hops(record.hops, record.triples, prompts, other_times=True),
        questions=record.questions,
        answers=(record.new_answer, *record.new_answer_aliases),
        answers_before=(record.answer, *record.answer_aliases, *record.answer_other_times),
        hops=len(record.new_hops),
        prompts=prompts,
        styles=options.styles,
    )

    def judge(replies: Replies, before: Replies) -> Values:
        return {**_generated(probe, replies, options), **probe.measure(replies.scores)}

    def recalled(before: Replies) -> bool:
        return bool(probe.judge_before(before.answers, match=options.matcher)["recalled_before"])

    return BenchmarkCase(
        id=str(record.case_id),
        rewrites=record.rewrites,
        questions=Questions(pairs=tuple(probe.pairs()), asks=tuple(probe.asks())),
        asked_before=Questions(asks=tuple(probe.asks_before())),
        judge=judge,
        recalled=recalled,
        judge_unedited=lambda before: probe.judge_questions_before(before.answers, match=options.matcher),
        hops=probe.hops,
        target_names=tuple(fact.names for fact in probe.rewrites),
        chain=tuple(_stated(record)),
    )


def _reduced(record: MQuakeQuestions, options: Options) -> BenchmarkCase:
    """Without old answers there is no comparison of probabilities; without a new one no multi-hop figure either."""
    probe = MquakeProbe(
        rewrites=tuple(SingleHop(Ask(rewrite.text), (rewrite.target_new,)) for rewrite in record.rewrites),
        questions=record.questions if record.new_answer else (),
        answers=(record.new_answer,) if record.new_answer else (),
        hops=record.n_hops,
        prompts=options.prompts,
        styles=options.styles,
    )
    return BenchmarkCase(
        id=str(record.case_id),
        rewrites=record.rewrites,
        questions=Questions(asks=tuple(probe.asks())),
        judge=lambda replies, before: _generated(probe, replies, options),
        hops=record.n_hops,
    )


def _stated(record: MQuakeRecord) -> Iterator[StatedFact]:
    """Every fact of the chain after the edits, by the ids and labels that the file has."""
    count = len(record.new_hops)
    unknown: tuple[None, None, None] = (None, None, None)
    ids = record.new_triples if len(record.new_triples) == count else [unknown] * count
    labels = record.new_triple_labels if len(record.new_triple_labels) == count else [unknown] * count
    for hop, (subject, relation, item), (label, _, name) in zip(record.new_hops, ids, labels, strict=True):
        yield StatedFact.of(
            subjects=(subject, label), relation=relation, statement=hop.cloze, objects=(item, name, *hop.names)
        )


def _generated(probe: MquakeProbe, replies: Replies, options: Options) -> Values:
    right = [exact(replies.answers[fact.ask], fact.names) for fact in probe.rewrites]
    return {"efficacy": fmean(right), **probe.judge(replies.answers, match=options.matcher)}


def _single_hops(
    hops: Sequence[Hop],
    triples: Sequence[Triple],
    prompts: MquakePrompts,
    *,
    edited: Container[int] = (),
    other_times: bool = False,
) -> tuple[SingleHop, ...]:
    """Each fact of a chain: edited ones by their statement, the others after demonstrations of their relation.

    With `other_times`, what held at another time counts, too: before an edit nobody knows of when a model is.
    """
    relations: Sequence[str | None] = [relation for _, relation, _ in triples]
    if len(relations) != len(hops):  # the file does not say which relation each fact has
        relations = [None] * len(hops)
    return tuple(
        SingleHop(
            Ask(hop.cloze)
            if position in edited and hop.cloze
            else prompts.single_hop(hop.question, hop.cloze or "", relation),
            (*hop.names, *hop.other_times) if other_times else hop.names,
        )
        for position, (hop, relation) in enumerate(zip(hops, relations, strict=True))
    )
