"""KnowEdit (Zhang et al., 2024): WikiData recent, WikiData counterfact and its version of zsRE.

`ground_truth` is a text, a list of names, or a list of lists of names; all three are read (see `raw.groups`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kgedit.evaluate.benchmarks.raw import Raw, groups, slot
from kgedit.evaluate.benchmarks.records import Answers, Drop, Probe, Prompt, Record, Rewrite

GroundTruth = str | list[str] | list[list[str]]


class KnowEditRecord(Record):
    """One fact change with what shall follow from it and what shall stay.

    Attributes:
        paraphrases: Other wordings of the prompt, where the file has them.
        true_answers: The answer before the edit; empty where the fact is new.
        portability: Probes of kind Subject_Aliasing, Reasoning, Logical_Generalization.
        locality: Probes of kind Relation_Specificity, Forgetfulness.
    """

    paraphrases: tuple[Prompt, ...] = ()
    true_answers: Answers = ()
    portability: tuple[Probe, ...] = ()
    locality: tuple[Probe, ...] = ()


class _RawProbe(Raw):
    prompt: str
    ground_truth: GroundTruth


class _RawKnowEdit(Raw):
    case_id: int | None = None
    subject: str
    prompt: str
    target_new: str
    ground_truth: GroundTruth | None = None
    rephrase_prompt: str | list[str] | None = None
    rephrase: str | list[str] | None = None
    portability: dict[str, list[_RawProbe]] = {}
    locality: dict[str, list[_RawProbe]] = {}


def read(raw: Mapping[str, Any], index: int, drop: Drop) -> KnowEditRecord:
    """A record of any of the three files; probes without an answer are left out."""
    parsed = _RawKnowEdit.model_validate(raw)
    truths: Answers = ()
    if parsed.ground_truth is not None:
        truths = groups(parsed.ground_truth, "ground_truth", drop)
        if not truths:
            drop("ground_truth", "blank; the record is read as one without an old object")
    reworded = parsed.rephrase_prompt or parsed.rephrase or []
    rewrite = Rewrite(
        subject=parsed.subject,
        prompt=slot(parsed.prompt, parsed.subject),
        target_new=parsed.target_new,
        target_true=truths[0][0] if truths else None,
    )
    return KnowEditRecord(
        case_id=index if parsed.case_id is None else parsed.case_id,
        rewrites=(rewrite,),
        paraphrases=(reworded,) if isinstance(reworded, str) else tuple(reworded),
        true_answers=truths,
        portability=_probes(parsed.portability, "portability", drop),
        locality=_probes(parsed.locality, "locality", drop),
    )


def _probes(kinds: Mapping[str, list[_RawProbe]], part: str, drop: Drop) -> tuple[Probe, ...]:
    probes = []
    for kind, raw_probes in kinds.items():
        for position, probe in enumerate(raw_probes):
            where = f"{part}.{kind}[{position}]"
            answers = groups(probe.ground_truth, f"{where}.ground_truth", drop)
            if answers and probe.prompt.strip():
                probes.append(Probe(prompt=probe.prompt, answers=answers, kind=kind))
            else:
                drop(where, "the probe has no answer" if probe.prompt.strip() else "the probe has no prompt")
    return tuple(probes)
