"""zsRE: shares of answer tokens that are on top, by the accuracies of ROME and MEMIT and by EasyEdit's protocols."""

from __future__ import annotations

from kgedit.evaluate.benchmarks.case import BenchmarkCase, Options, Questions, Replies, Unusable, says
from kgedit.evaluate.benchmarks.counterfact.case import portability
from kgedit.evaluate.benchmarks.records import Record
from kgedit.evaluate.benchmarks.zsre.measures import ZsreProbe, locality_prompt
from kgedit.evaluate.benchmarks.zsre.record import ZsreRecord
from kgedit.evaluate.measures.protocols import ProtocolProbe
from kgedit.evaluate.results import Values
from kgedit.lm.generation.greedy import Ask


def case(record: Record, options: Options) -> BenchmarkCase:
    """`zsre_` accuracies, reliability, generality and locality of both protocols, and portability where it is asked.

    Raises:
        Unusable: The record is no zsRE record.
    """
    if not isinstance(record, ZsreRecord):
        raise Unusable("the record is not one of zsRE")
    rewrite, old_answers = record.rewrite, record.true_answers
    if options.zsre_target == "answer":
        if rewrite.target_true is None:
            raise Unusable("the record gives no right answer to write")
        rewrite, old_answers = rewrite.model_copy(update={"target_new": rewrite.target_true, "target_true": None}), ()
    unrelated = tuple((locality_prompt(probe.prompt), probe.answer) for probe in record.locality)
    probe = ZsreProbe(rewrite.target_new, (rewrite.text,), record.paraphrases, unrelated)
    carried = portability(record.portability)
    protocol = ProtocolProbe(
        target=rewrite.target_new, prompts=(rewrite.text,), rephrasings=record.paraphrases, locality=unrelated
    )

    def judge(replies: Replies, before: Replies) -> Values:
        return {
            **probe.measure(replies.scores),
            **protocol.measure(replies.scores, before.scores),
            **protocol.judge(replies.answers, before.answers),
            **carried.judge(replies.answers, match=options.matcher),
        }

    return BenchmarkCase(
        id=str(record.case_id),
        rewrites=(rewrite,),
        questions=Questions(
            pairs=(*probe.pairs(), *protocol.pairs()),
            asks=(*protocol.asks(), *carried.asks()),
            fuzzy=carried if options.generate and carried.questions else None,
        ),
        asked_before=Questions(asks=(Ask(rewrite.text),)),
        judge=judge,
        recalled=says(rewrite.text, old_answers, options) if old_answers else lambda replies: None,
        paraphrases=record.paraphrases,
        unrelated=tuple(prompt for prompt, _ in unrelated),
    )
