"""CounterFact and CounterFactPlus: is the new object more probable than the old one, here and nowhere else?"""

from __future__ import annotations

from kgedit.evaluate.benchmarks.case import BenchmarkCase, Options, Questions, Replies, Unusable, says
from kgedit.evaluate.benchmarks.counterfact.measures import CounterFactProbe
from kgedit.evaluate.benchmarks.counterfact.record import CounterFactRecord
from kgedit.evaluate.benchmarks.records import Portability, Record
from kgedit.evaluate.measures.fluency import fluency
from kgedit.evaluate.measures.portability import PortabilityProbe
from kgedit.evaluate.results import Values
from kgedit.lm.generation.greedy import Ask


def case(record: Record, options: Options) -> BenchmarkCase:
    """Efficacy, paraphrase and neighborhood with magnitudes and accuracies; portability where it is asked for.

    Raises:
        Unusable: The record is no CounterFact record, or does not change its object.
    """
    if not isinstance(record, CounterFactRecord):
        raise Unusable("the record is not one of CounterFact")
    rewrite, probe = record.rewrite, probe_of(record)
    carried = portability(record.portability)

    def judge(replies: Replies, before: Replies) -> Values:
        values = probe.measure(replies.scores) | carried.judge(replies.answers, match=options.matcher)
        if replies.texts:
            values["fluency"] = fluency(replies.texts)
            if options.snippets is not None:
                values |= options.snippets.consistency(replies.texts, rewrite.relation_id, rewrite.target_new_id)
        return values

    return BenchmarkCase(
        id=str(record.case_id),
        rewrites=record.rewrites,
        questions=Questions(
            pairs=tuple(probe.pairs()),
            asks=tuple(carried.asks()),
            texts=record.generation if options.generate else (),
            fuzzy=carried if options.generate and carried.questions else None,
        ),
        asked_before=Questions(asks=(Ask(rewrite.text),)),
        judge=judge,
        recalled=says(rewrite.text, (probe.target_true,), options),
        paraphrases=record.paraphrases,
        neighbours=probe.neighborhood,
    )


def probe_of(record: CounterFactRecord) -> CounterFactProbe:
    """What is scored by probability: the edit prompt, the record's other wordings, and its neighbours.

    Raises:
        Unusable: The record does not change its object.
    """
    rewrite = record.rewrite
    if rewrite.target_true is None or not rewrite.changes:
        raise Unusable("the new object is the old one, or the old one is not given")
    return CounterFactProbe(
        rewrite.target_new,
        rewrite.target_true,
        rewrite=(rewrite.text,),
        paraphrase=record.paraphrases,
        neighborhood=tuple(neighbour.prompt for neighbour in record.neighborhood),
    )


def portability(question: Portability | None) -> PortabilityProbe:
    """The one-hop question of a record, if it has one."""
    return PortabilityProbe(() if question is None else ((question.question, (question.answer, *question.aliases)),))
