"""KnowEdit: reliability, generality, locality, portability by EasyEdit's protocols, and portability with aliases."""

from __future__ import annotations

from kgedit.evaluate.benchmarks.case import BenchmarkCase, Options, Questions, Replies, Unusable, says
from kgedit.evaluate.benchmarks.knowedit.record import KnowEditRecord
from kgedit.evaluate.benchmarks.records import Probe, Record
from kgedit.evaluate.measures.portability import PortabilityProbe
from kgedit.evaluate.measures.protocols import ProtocolProbe
from kgedit.evaluate.results import Values
from kgedit.lm.generation.greedy import Ask
from kgedit.lm.scoring.pairs import Pair

# The file's names for prompts about the subject's other relations, and about other objects of the edited one.
_OF_SUBJECT, _OF_RELATION = "Relation_Specificity", "Forgetfulness"


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
    carried = PortabilityProbe(tuple((probe.prompt, names) for probe in record.portability for names in probe.answers))
    truths = tuple(name for names in record.true_answers for name in names)

    def judge(replies: Replies, before: Replies) -> Values:
        return {
            **protocol.measure(replies.scores, before.scores),
            **protocol.judge(replies.answers, before.answers),
            **carried.judge(replies.answers, match=options.matcher),
        }

    return BenchmarkCase(
        id=str(record.case_id),
        rewrites=record.rewrites,
        questions=Questions(
            pairs=tuple(protocol.pairs()),
            asks=(*protocol.asks(), *carried.asks()),
            fuzzy=carried if options.generate and carried.questions else None,
        ),
        asked_before=Questions(asks=(Ask(rewrite.text),)),
        judge=judge,
        recalled=says(rewrite.text, truths, options) if truths else lambda replies: None,
        paraphrases=record.paraphrases,
        subject_facts=tuple(probe.prompt for probe in record.locality if probe.kind == _OF_SUBJECT),
        unrelated=tuple(probe.prompt for probe in record.locality if probe.kind not in (_OF_SUBJECT, _OF_RELATION)),
    )


def _pairs(probes: tuple[Probe, ...]) -> tuple[Pair, ...]:
    return tuple((probe.prompt, probe.answer) for probe in probes)
