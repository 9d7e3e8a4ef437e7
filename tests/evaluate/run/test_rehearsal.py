"""What a method may rehearse in a run: facts that the model recalls, and none that the run asks about."""

from __future__ import annotations

from pathlib import Path

from kgedit.evaluate import EvaluationSettings
from kgedit.evaluate.run.prepared import open_method, prepare
from kgedit.evaluate.run.rehearsal import Rehearsal
from kgedit.ingest.decide.known_facts import ask_all


def test_nothing_that_the_run_asks_about_is_rehearsed(known_counterfacts: Path) -> None:
    settings = EvaluationSettings(
        suite="counterfact",
        data=str(known_counterfacts),
        methods="locft:facts=60,rome",
        protocol="free",
        moments="identity",
    )
    prepared = prepare(settings)
    rehearsal = Rehearsal(settings, prepared.cases)
    editors = [open_method(settings, label, config, rehearsal) for label, config in prepared.configs.items()]
    facts = editors[0].known_facts
    assert editors[1].known_facts == ()
    assert 20 < len(facts) <= 60
    assert all(ask_all(prepared.editor.model, prepared.editor.tokenizer, [(f.question, f.target) for f in facts]))
    for case in prepared.cases:
        prompts = [*(ask.prompt for ask in case.questions.asks), *(prompt for prompt, _ in case.questions.pairs)]
        assert not [(fact.subject, prompt) for fact in facts for prompt in prompts if fact.subject in prompt]
    # Without the run's cases some of what they ask would be among them.
    assert set(facts) < set(Rehearsal(settings, []).known_facts(editors[0]))
