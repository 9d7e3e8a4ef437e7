"""Changes applied to the bundled model: right answers in force, exact undo, refusals with numbers, nothing twice."""

from __future__ import annotations

import math
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import torch

from kgedit.delta import LowRankDelta, WeightUpdate, hash_weights
from kgedit.errors import JournalError
from kgedit.ingest import runner
from kgedit.ingest.change import change_key, slot_key
from kgedit.ingest.decide.known_facts import ask_all
from kgedit.ingest.decide.trial import Trial, TrialRunner
from kgedit.ingest.feeds.base import FeedOptions
from kgedit.ingest.maintenance import undo, undo_in
from kgedit.ingest.runner import apply_feed, fingerprint
from kgedit.ingest.session import open_session
from kgedit.ingest.store.entry import PlannedEdit, Received, State
from kgedit.ingest.store.store import open_store
from kgedit.lm.load import load_model
from kgedit.methods.base import Computed, Workbench
from kgedit.methods.finetune_adapter.method import AdapterConfig, FineTuneAdapter
from kgedit.mini import mini_folder

QUICK = "rome:steps=12:prefixes=4x1"
SMALL = {
    "guards": {"facts": 40, "locality": 0.5, "neighbours": 0.0, "subject": 0.0, "norm": 99.0, "norm_cumulative": 99.0},
    "ingest": {"facts": 60},
    "finetune-adapter": {"epochs": 4, "more_epochs": 4, "least_rehearsed": 60, "facts": 100, "rank": 8},
}


@contextmanager
def small(directory, method: str = QUICK, **changed: Any):
    settings = {**SMALL, "guards": SMALL["guards"] | changed.pop("guards", {})}
    with open_session(directory, model="mini", method=method, settings=settings, **changed) as session:
        yield session


def alone(session, *entries) -> dict[str, torch.Tensor]:
    """Weights of a fresh model with the deltas of some changes applied one after another."""
    model, _ = load_model(str(mini_folder()), dtype=torch.float32)
    for entry in entries:
        session.store.delta(entry.delta).apply(model, check=False)
    return dict(model.named_parameters())


def same(session, wanted: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(session.editor.model.get_parameter(name), value) for name, value in wanted.items())


@pytest.fixture(scope="module")
def done(tmp_path_factory, changes):
    """A store after a run over four changes."""
    directory = tmp_path_factory.mktemp("store")
    with small(directory) as session:
        result = apply_feed(session, "test", changes[:4], fingerprint="f" * 64, batch=2)
    return directory, result


def test_accepted_changes_answer_right_and_their_weights_are_base_plus_deltas(done, cases) -> None:
    directory, result = done
    assert result.classes["new"] == 4
    assert result.accepted >= 2, result.refusals
    assert result.accepted_right == 1.0
    assert result.changed == 4
    with small(directory) as session:
        live = session.store.journal.in_force()
        questions = [session.decider.changes.applied(entry).question for entry in live]
        assert set(questions) <= {case.probes["efficacy"][0] for case in cases}
        assert all(ask_all(session.editor.model, session.editor.tokenizer, questions))
        assert same(session, alone(session, *live))
        for entry in live:
            assert entry.numbers["efficacy"] == 1.0
            assert {"probability", "norm", "perplexity", "locality", "kept", "norm_cumulative"} <= set(entry.numbers)
        # Each norm is a share of the unedited weights, also in the second batch, where others are in force.
        assert len({entry.batch for entry in live}) == 2
        unedited, _ = load_model(str(mini_folder()), dtype=torch.float32)
        for entry in live:
            found = max(session.store.delta(entry.delta).norms(unedited).values())
            assert entry.numbers["norm"] == pytest.approx(found, abs=1e-3)


def test_a_second_run_changes_nothing_and_says_so(done, changes) -> None:
    directory, result = done
    with small(directory) as session:
        journal = session.store.journal
        steps = [journal.steps(entry.id) for entry in journal.entries()]
        again = apply_feed(session, "test", changes[:4], fingerprint="f" * 64, batch=2)
        assert [journal.steps(entry.id) for entry in journal.entries()] == steps
    assert again.changed == 0
    assert again.model_dump(exclude={"changed", "seconds"}) == result.model_dump(exclude={"changed", "seconds"})


def test_undo_in_any_order_gives_what_the_remaining_changes_alone_give(tmp_path, changes) -> None:
    with small(tmp_path) as session:
        apply_feed(session, "test", changes[:3], fingerprint=None, batch=3)
        live = session.store.journal.in_force()
        assert len(live) >= 2
        undo_in(session, live[0].id)
        assert same(session, alone(session, *live[1:]))
        with pytest.raises(JournalError, match=r"is undone, not applied"):
            undo_in(session, live[0].id)
        for entry in reversed(live[1:]):
            undo_in(session, entry.id)
        assert session.weights.hash() == session.weights.hash_unedited() == session.store.weights_hash
        assert same(session, alone(session))


@pytest.mark.parametrize("method", ["grace:steps=30", "ike", "memit:comeba-hk:steps=3"])
def test_changes_that_no_weight_carries_are_decided_and_undone_like_others(tmp_path, changes, method) -> None:
    with small(tmp_path / "store", method, guard="warn", moments="identity") as session:
        apply_feed(session, "test", changes[:2], fingerprint="f" * 64, batch=2)
        assert [entry.state for entry in session.store.entries()] == [State.CHECKED] * 2
    undo(tmp_path / "store", 1)
    with open_store(tmp_path / "store") as store:
        assert [entry.state for entry in store.entries()] == [State.UNDONE, State.CHECKED]


def test_what_the_guards_refuse_is_listed_with_its_numbers_and_leaves_no_trace(tmp_path, changes) -> None:
    with small(tmp_path, guards={"norm": 1e-6}) as session:
        result = apply_feed(session, "test", changes[:1], fingerprint=None)
        assert (result.accepted, result.refused) == (0, 1)
        for refusal in result.refusals:
            assert "norm" in refusal.reason
            assert "is above 1e-06" in refusal.reason
            assert refusal.numbers["norm"] > 1e-6
        assert session.weights.hash() == session.weights.hash_unedited()
        assert list(tmp_path.glob("deltas/*")) == []


def test_in_warn_mode_the_same_is_accepted_and_the_warning_kept(tmp_path, changes) -> None:
    with small(tmp_path, guards={"norm": 1e-6}, guard="warn") as session:
        result = apply_feed(session, "test", changes[:1], fingerprint=None)
        assert (result.accepted, result.refused) == (1, 0)
        (entry,) = session.store.entries(State.CHECKED)
        assert "is above 1e-06" in entry.reason


def test_a_batch_that_would_harm_is_halved_until_the_harm_is_alone(tmp_path, changes, monkeypatch) -> None:
    with small(tmp_path) as session:
        guard, weights = session.decider.guard, session.weights
        real, bad = guard.batch, {}

        def batch(model, earlier, changed):
            numbers = real(model, earlier, changed)
            harmful = bad.setdefault("slot", min(changed))
            return {**numbers, "locality": 0.1 if harmful in changed else 1.0}

        monkeypatch.setattr(guard, "batch", batch)
        result = apply_feed(session, "test", changes[:4], fingerprint=None, batch=4)
        assert result.refused >= 1
        assert result.accepted + result.refused == 4
        assert bad["slot"][0] in {refusal.subject for refusal in result.refusals}
        assert "locality 0.1 is below 0.5" in " ".join(refusal.reason for refusal in result.refusals)
        assert same(session, alone(session, *session.store.journal.in_force()))
        assert weights.hash() == session.store.weights_hash


def test_a_later_change_of_the_same_fact_supersedes_the_earlier_and_the_first_may_return(tmp_path, changes) -> None:
    first = changes[1]
    back = first.model_copy(update={"edit": first.edit.model_copy(update={"target_new": first.edit.target_true})})
    elsewhere = first.model_copy(update={"provenance": first.provenance.model_copy(update={"position": "line 9"})})
    with small(tmp_path) as session:
        journal = session.store.journal
        for record, wanted in [(first, ["checked"]), (back, ["superseded", "checked"])]:
            result = apply_feed(session, "test", [record], fingerprint=None)
            assert [entry.state for entry in journal.entries()] == wanted, result.refusals
            assert same(session, alone(session, list(journal.entries())[-1]))
        assert apply_feed(session, "test", [first], fingerprint=None).classes["duplicate"] == 1  # delivered once more
        result = apply_feed(session, "test", [elsewhere], fingerprint=None)
        states = [entry.state for entry in journal.entries()]
        assert states == ["superseded", "superseded", "checked"], result.refusals
        assert same(session, alone(session, journal.entry(3)))
        assert journal.find(journal.entry(1).key).id == 3
        assert undo_in(session, 3).superseded == 2
        assert [entry.state for entry in journal.entries()] == ["superseded", "superseded", "undone"]


def test_what_another_run_left_waiting_is_decided_before_older_evidence_is_planned(tmp_path, changes) -> None:
    """A run killed after it had received a change; then a feed with older evidence for another object."""

    def told(change, day: int, **edit):
        provenance = change.provenance.model_copy(update={"dated": datetime(2026, 1, day, tzinfo=UTC)})
        return change.model_copy(update={"edit": change.edit.model_copy(update=edit), "provenance": provenance})

    newer = told(changes[1], 2)
    older = told(changes[1], 1, target_new=changes[1].edit.target_true)
    with small(tmp_path) as session:
        journal = session.store.journal
        edit, provenance = newer.edit, newer.provenance
        waiting = PlannedEdit(edit=edit, provenance=provenance)
        journal.receive([Received(key=change_key(edit), slot=slot_key(edit), change=waiting)])
        result = apply_feed(session, "test", [older], fingerprint=None)
        assert [entry.state for entry in journal.entries()] == ["checked"], result.refusals
        assert result.classes["conflict"] == 1


def test_numbers_that_are_not_finite_are_refused_and_listed(tmp_path, changes, monkeypatch) -> None:
    with small(tmp_path, guard="warn") as session:
        real = session.decider.guard.batch
        monkeypatch.setattr(session.decider.guard, "batch", lambda *given: {**real(*given), "perplexity": math.inf})
        result = apply_feed(session, "test", changes[:1], fingerprint="0" * 64)
        assert (result.accepted, result.refused) == (0, 1)
        assert result.refusals[0].numbers["perplexity"] == "inf"
        assert session.weights.hash() == session.weights.hash_unedited()


@pytest.mark.long
def test_an_adapter_holds_a_batch_and_gives_one_change_back(tmp_path, changes, monkeypatch) -> None:
    pytest.importorskip("peft")
    with small(tmp_path, "finetune-adapter") as session:
        flags = {name: p.requires_grad for name, p in session.editor.model.named_parameters()}
        result = apply_feed(session, "test", changes[:4], fingerprint=None)
        assert result.accepted + result.refused == 4
        assert result.accepted >= 3
        assert result.accepted_right == 1.0
        live = session.store.journal.in_force()
        assert len({entry.delta for entry in live}) == 1  # one delta for all
        assert same(session, alone(session, live[0]))
        assert {name: p.requires_grad for name, p in session.editor.model.named_parameters()} == flags
        # At once, by a patch on top; then the others are retrained, and the patch has nothing left to counter.
        monkeypatch.setattr("kgedit.ingest.counter_patch.patching_method", lambda *_: "rome")  # is quicker
        countered = undo_in(session, live[1].id, counter_patch=True)
        assert countered.answer
        assert session.store.journal.entry(live[1].id).state == State.COUNTERED
        assert len(session.store.live()) == 2
        undo_in(session, live[0].id)
        assert session.store.journal.entry(live[1].id).state == State.UNDONE
        assert len(session.store.live()) == 1
        left = session.store.journal.in_force()
        assert [entry.id for entry in left] == [entry.id for entry in live[2:]]
        assert left[0].delta != live[0].delta  # retrained without it
        assert same(session, alone(session, left[0]))
        assert session.weights.hash() == session.store.weights_hash


def test_the_others_of_an_adapter_are_retrained_as_it_was_trained(tmp_path, changes, monkeypatch) -> None:
    pytest.importorskip("peft")
    trained: list[tuple[AdapterConfig, int]] = []
    name = "transformer.h.1.mlp.c_proj.weight"

    def together(self: FineTuneAdapter, bench: Workbench, cases) -> list[Computed]:
        """Next to nothing, in the place of training."""
        trained.append((self.config, bench.seed))
        d_in, d_out = bench.model.get_parameter(name).shape
        update = WeightUpdate(name, torch.full((d_in, 1), 1e-5 * len(cases[0])), torch.ones(d_out, 1), conv1d=True)
        manifest = {"method": self.name, "settings": self.config.model_dump(mode="json"), "seed": bench.seed}
        return [Computed(LowRankDelta((update,), hash_weights(bench.model, [name]), manifest))]

    monkeypatch.setattr(FineTuneAdapter, "together", together)
    with small(tmp_path, "finetune-adapter:rank=3", guards={"facts": 4}, guard="warn", seed=5) as session:
        apply_feed(session, "test", changes[:2], fingerprint=None)
        assert [len(entries) for entries in session.store.live().values()] == [2]
    noted = trained[-1]
    assert (noted[0].rank, noted[1]) == (3, 5)
    trained.clear()
    undo(tmp_path, 1)
    assert trained == [noted], "not as the preset has it"


@pytest.mark.long
def test_what_is_refused_is_trained_back_out_of_the_adapter_that_others_share(tmp_path, changes, monkeypatch) -> None:
    pytest.importorskip("peft")
    attempt, tried = TrialRunner.attempt, list[float]()

    def failing(self: TrialRunner, *given: Any, **more: Any) -> list[Trial]:
        trials = attempt(self, *given, **more)
        tried.extend(trial.numbers["efficacy"] for trial in trials if trial.change.entry.id == 1)
        return [replace(one, failures=("made to fail",)) if one.change.entry.id == 1 else one for one in trials]

    with small(tmp_path, "finetune-adapter") as session:
        editor = session.editor
        question = editor.resolver.resolve(changes[0].edit).request.question
        unedited = editor.complete(question)
        monkeypatch.setattr(TrialRunner, "attempt", failing)
        result = apply_feed(session, "test", changes[:3], fingerprint=None)
        assert (result.accepted, [one.reason for one in result.refusals]) == (2, ["made to fail"])
        assert tried[-1] == 1.0, "the adapter made the change before it was refused"
        assert result.accepted_right == 1.0
        assert editor.complete(question) == unedited


def test_a_run_with_other_options_is_not_taken_for_one_that_was_done(tmp_path, monkeypatch) -> None:
    noted: list[str | None] = []
    monkeypatch.setattr(runner, "open_session", lambda *_, **__: nullcontext())
    monkeypatch.setattr(runner, "apply_feed", lambda *_, fingerprint, **__: noted.append(fingerprint))

    def of_run(file: str, kind: str | None = None, **options: Any) -> str | None:
        runner.run(tmp_path / "store", tmp_path / file, format=kind, options=FeedOptions(**options))
        return noted[-1]

    for name in ("feed.txt", "feed.jsonl", "ids.txt", "new.nt", "old.nt"):
        (tmp_path / name).write_text("Q937\n")
    assert of_run("feed.txt", "jsonl") == of_run("feed.txt", "jsonl") != of_run("feed.txt", "csv")
    # A plain run is known by what it was always known by.
    assert of_run("feed.jsonl") == fingerprint(tmp_path / "feed.jsonl", "feed.jsonl", "refuse", "False", "None", "[]")
    # Wikidata is asked about a list of items anew each time.
    assert of_run("ids.txt", "wikidata", properties=("P27",)) is None
    difference = [of_run("new.nt", "difference", before=tmp_path / "old.nt", properties=("P19", "P27"))]
    assert difference == [of_run("new.nt", "difference", before=tmp_path / "old.nt", properties=("P27", "P19"))]
    difference.append(of_run("new.nt", "difference", before=tmp_path / "old.nt", properties=("P27",)))
    (tmp_path / "old.nt").write_text("quite another graph\n")
    difference.append(of_run("new.nt", "difference", before=tmp_path / "old.nt", properties=("P27",)))
    assert len(set(difference)) == 3


def test_the_fingerprint_of_a_feed_is_its_content_and_what_decides_its_plan(tmp_path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text("one")
    first = fingerprint(file, "refuse")
    assert first == fingerprint(file, "refuse")
    assert first != fingerprint(file, "last-wins")
    file.write_text("two")
    assert first != fingerprint(file, "refuse")
