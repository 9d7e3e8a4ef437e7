"""KnowEdit: reliability, generality, locality, portability by EasyEdit's protocols, and portability with aliases."""

from __future__ import annotations

from kgedit.evaluate.benchmarks.case import BenchmarkCase, Options, Seen, Unusable, Wanted, says
from kgedit.evaluate.benchmarks.knowedit.record import KnowEditRecord
from kgedit.evaluate.benchmarks.records import Probe, Record
from kgedit.evaluate.measures.portability import PortabilityProbe
from kgedit.evaluate.measures.protocols import ProtocolProbe
from kgedit.evaluate.results import Values
from kgedit.lm.generation.greedy import Ask
from kgedit.lm.scoring.pairs import Pair


def case(record: Record, options: Options) -> BenchmarkCase:
    """Both protocols, and `portability` over all names of an answer.

    Raises:
        Unusable: The record is no KnowEdit record.
    """
    if not isinstance(record, KnowEditRecord):
        raise Unusable("the record is not one of KnowEdit")
    rewrite = record.rewrite
    protocol = ProtocolProbe(
        target=rewrite.target_new,
        prompts=(rewrite.text,),
        rephrasings=record.paraphrases,
        locality=_pairs(record.locality),
        portability=_pairs(record.portability),
    )
    # An answer of several groups asks for one name of each: as many questions.
    carried = PortabilityProbe(tuple((one.prompt, names) for one in record.portability for names in one.answers))
    truths = tuple(name for names in record.true_answers for name in names)

    def judge(seen: Seen, before: Seen) -> Values:
        return {
            **protocol.measure(seen.scores, before.scores),
            **protocol.judge(seen.answers, before.answers),
            **carried.judge(seen.answers, match=options.matcher),
        }

    return BenchmarkCase(
        id=str(record.case_id),
        rewrites=record.rewrites,
        wanted=Wanted(
            pairs=tuple(protocol.pairs()),
            asks=(*protocol.asks(), *carried.asks()),
            fuzzy=carried if options.generate and carried.questions else None,
        ),
        before=Wanted(asks=(Ask(rewrite.text),)),
        judge=judge,
        recalled=says(rewrite.text, truths, options) if truths else lambda seen: None,
    )


def _pairs(probes: tuple[Probe, ...]) -> tuple[Pair, ...]:
    return tuple((one.prompt, one.answer) for one in probes)
