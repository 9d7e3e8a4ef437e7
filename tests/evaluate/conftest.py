"""A few cases of facts that the bundled model knows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kgedit.evaluate.benchmarks.counterfact.record import CounterFactRecord, to_original
from kgedit.evaluate.benchmarks.records import Portability, Probe, Rewrite
from kgedit.mini.cases import Casebook


@pytest.fixture(scope="session")
def known_counterfacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve records in the layout of CounterFact, of facts that the bundled model knows."""
    book = Casebook()
    records = []
    for number, case in enumerate(book.draw(12, seed=7), start=100):
        edit = case.edit
        prompts = {name: [prompt for prompt, _ in pairs] for name, pairs in case.probes.items()}
        question, answer = case.probes["portability"][0]
        rewrite = Rewrite(
            subject=case.subject,
            prompt=book.text[edit.relation or ""].cloze[0],
            target_new=case.target_new,
            target_true=case.target_true,
            subject_id=edit.subject,
            relation_id=edit.relation,
            target_new_id=edit.target_new,
            target_true_id=edit.target_true,
        )
        record = CounterFactRecord(
            case_id=number,
            rewrites=(rewrite,),
            paraphrases=tuple(prompts["paraphrase"][:2]),
            neighborhood=tuple(
                Probe(prompt=prompt, answers=((case.target_true,),)) for prompt in prompts["neighborhood"]
            ),
            generation=(f"{case.subject} is",),
            portability=Portability(question=question, answer=answer),
        )
        records.append(to_original(record))
    path = tmp_path_factory.mktemp("known") / "counterfact.json"
    path.write_text(json.dumps(records), encoding="utf-8")
    return path
