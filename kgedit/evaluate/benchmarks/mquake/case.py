"""MQuAKE: are the edited facts recalled, and are questions answered across them?"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from kgedit.evaluate.benchmarks.case import BenchmarkCase, Options, Seen, Unusable, Values, Wanted
from kgedit.evaluate.benchmarks.mquake.measures import Hop, MquakeProbe
from kgedit.evaluate.benchmarks.mquake.questions import MQuakeQuestions
from kgedit.evaluate.benchmarks.mquake.record import Hop as RecordHop
from kgedit.evaluate.benchmarks.mquake.record import MQuakeRecord
from kgedit.evaluate.benchmarks.records import Record, Rewrite
from kgedit.evaluate.measures.matching import exact


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
    edited = set(record.edited)
    probe = MquakeProbe(
        rewrites=tuple(_rewritten(rewrite, record.new_hops) for rewrite in record.rewrites),
        chain=_chain(record.new_hops, [relation for _, relation, _ in record.new_triples], edited),
        chain_before=_chain(record.hops, [relation for _, relation, _ in record.triples], set()),
        questions=record.questions,
        answers=(record.new_answer, *record.new_answer_aliases),
        answers_before=(record.answer, *record.answer_aliases),
    )

    def judge(seen: Seen, before: Seen) -> Values:
        return {**_generated(probe, seen, options), **probe.measure(seen.scores)}

    def recalled(before: Seen) -> bool:
        return bool(probe.judge_before(before.answers, options.prompts, match=options.matcher)["recalled_before"])

    return BenchmarkCase(
        id=str(record.case_id),
        rewrites=record.rewrites,
        wanted=Wanted(pairs=tuple(probe.pairs()), asks=tuple(probe.asks(options.prompts, options.styles))),
        before=Wanted(asks=tuple(probe.asks_before(options.prompts))),
        judge=judge,
        recalled=recalled,
        hops=probe.hops,
    )


def _reduced(record: MQuakeQuestions, options: Options) -> BenchmarkCase:
    """Without old answers there is no comparison of probabilities; without a new one no multi-hop figure either."""
    probe = MquakeProbe(
        rewrites=tuple(_rewritten(rewrite, ()) for rewrite in record.rewrites),
        chain=(),
        chain_before=(),
        questions=record.questions if record.new_answer else (),
        answers=(record.new_answer,) if record.new_answer else (),
        answers_before=(),
    )

    def judge(seen: Seen, before: Seen) -> Values:
        values = _generated(probe, seen, options)
        by_hops = {name: value for name, value in values.items() if name.endswith("_0")}  # the probe sees no chain
        named = {f"{name[:-1]}{record.n_hops}": value for name, value in by_hops.items() if record.n_hops}
        return {name: value for name, value in values.items() if name not in by_hops} | named

    return BenchmarkCase(
        id=str(record.case_id),
        rewrites=record.rewrites,
        wanted=Wanted(asks=tuple(probe.asks(options.prompts, options.styles))),
        judge=judge,
        hops=record.n_hops,
    )


def _generated(probe: MquakeProbe, seen: Seen, options: Options) -> Values:
    prompts = options.prompts
    right = [exact(seen.answers[hop.ask(prompts)], hop.answers) for hop in probe.rewrites]
    judged = probe.judge(seen.answers, prompts, options.styles, match=options.matcher)
    return {"efficacy": fmean(right), **judged}


def _rewritten(rewrite: Rewrite, hops: Sequence[RecordHop]) -> Hop:
    """The edited fact, with the other names of its object that the chain knows."""
    aliases = next((hop.aliases for hop in hops if _same(hop, rewrite)), ())
    return Hop(
        cloze=rewrite.text,
        answers=(rewrite.target_new, *aliases),
        question=rewrite.question or "",
        relation=rewrite.relation_id,
        edited=True,
    )


def _same(hop: RecordHop, rewrite: Rewrite) -> bool:
    worded = hop.cloze == rewrite.text or hop.question == rewrite.question
    return worded and hop.answer == rewrite.target_new


def _chain(hops: Sequence[RecordHop], relations: Sequence[str], edited: set[int]) -> tuple[Hop, ...]:
    known = len(relations) == len(hops)
    return tuple(
        Hop(
            cloze=hop.cloze or "",
            answers=(hop.answer, *hop.aliases),
            question=hop.question,
            relation=relations[place] if known else None,
            edited=place in edited and bool(hop.cloze),  # only a statement can be continued
        )
        for place, hop in enumerate(hops)
    )
