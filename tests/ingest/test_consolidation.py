"""Consolidation of the bundled model's patches: one delta of all changes, and what it does not hold stays a patch."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ingest import cheap
from ingest.store.test_commit import QUICK, SMALL, alone, same, small
from kgedit.delta import Delta, DeltaStack, LowRankDelta, WeightUpdate
from kgedit.errors import FileCorrupt, JournalError, SettingError, UnknownEdit
from kgedit.ingest import (
    Consolidated,
    RunResult,
    State,
    accept,
    consolidate,
    export,
    open_store,
    refuse,
    replay,
    runner,
    undo,
    verify,
)
from kgedit.ingest.change import change_key, slot_key
from kgedit.ingest.decide import trial
from kgedit.ingest.decide.writer import Writer, trained_by
from kgedit.ingest.runner import apply_feed
from kgedit.ingest.session import open_edited, open_session
from kgedit.ingest.store.commit import commit
from kgedit.ingest.store.decision import Accepted, Decision, Refusal
from kgedit.ingest.store.entry import Entry, PlannedEdit, Received
from kgedit.ingest.store.store import DELTAS
from kgedit.methods.finetune_adapter.method import AdapterConfig, FineTuneAdapter
from kgedit.mini.cases import Casebook

pytest.importorskip("peft")

SETTINGS = {
    **SMALL,
    "guards": {**SMALL["guards"], "probability": 0.0},
    "finetune-adapter": {"epochs": 9, "least_rehearsed": 12, "facts": 60, "rank": 8},
    "locft": {"epochs": 16, "learning_rate": 4e-3, "rows": 32, "wordings": 1, "rehearsed": 4.0, "facts": 60},
}
RUN = RunResult(
    feed="test", method="rome", records=4, classes={}, accepted=3, refused=1, superseded=0, accepted_right=1.0,
    unrelated_recalled=1.0, unrelated_asked=0, refusals=(), weights_hash="",
)  # fmt: skip


def consolidated(directory: Path, **changed) -> Consolidated:
    return consolidate(directory, settings=SETTINGS, **changed)


def copied(store: Path, folder: Path) -> Path:
    return Path(shutil.copytree(store, folder / "store"))


@pytest.fixture(scope="module")
def patched(tmp_path_factory, mini) -> Path:
    """A store with patches of three changes, which do next to nothing, and a fourth that was refused."""
    directory = tmp_path_factory.mktemp("patched")
    cases = Casebook().draw(7, seed=1001)
    weights = DeltaStack(mini.model, sole_writer=True)
    name = "transformer.h.1.mlp.c_proj.weight"
    d_in, d_out = mini.model.get_parameter(name).shape
    with open_store(directory, write=True) as store:
        store.bind("mini", weights.hash_unedited())
        edits = [cases[number].edit for number in (0, 1, 2, 6)]
        store.journal.begin_run(
            "0" * 64,
            {},
            (Received(key=change_key(e), slot=slot_key(e), change=PlannedEdit(edit=e)) for e in edits),
        )
        *held, last = store.entries(State.RECEIVED)
        accepted = []
        for entry in held:
            update = WeightUpdate(name, torch.full((d_in, 1), 1e-4 * entry.id), torch.ones(d_out, 1), conv1d=True)
            accepted.append(
                Accepted(entry, LowRankDelta((update,), weights.base_hash([name]), {"method": "rome"}), {})
            )
        commit(store, weights, Decision(tuple(accepted), (Refusal(last, "weak", {"probability": 0.1}),)))
        store.journal.end_run("0" * 64, RUN)
    weights.put([])
    return directory


@pytest.fixture(scope="module")
def trained(tmp_path_factory, patched) -> Path:
    """The same store, the changes in force consolidated into an adapter."""
    directory = copied(patched, tmp_path_factory.mktemp("trained"))
    result = consolidated(directory, refused=False)
    assert (result.switched, result.asked, result.trained, result.patches) == (True, 3, 3, 0)
    assert (result.accepted_right, result.unrelated_asked) == (1.0, 20)
    return directory


@pytest.fixture
def training(trained, monkeypatch) -> list[tuple[list[int], bool]]:
    """In place of any training: the adapter of `trained`. Lists what was to be trained, and whether it was begun."""
    asked: list[tuple[list[int], bool]] = []
    with open_store(trained) as store:
        (delta,) = store.live_deltas()

    def train(self: Writer, items, earlier, *, more: bool, back) -> Delta:
        asked.append(([item.entry.id for item in items if item.entry.id not in (self._satisfied or ())], more))
        return delta

    monkeypatch.setattr(Writer, "_trained", train)
    return asked


def test_all_changes_are_one_delta_and_the_store_is_whole(trained, patched) -> None:
    with open_store(patched) as before, open_store(trained) as store:
        live = store.journal.in_force()
        assert [entry.id for entry in live] == [1, 2, 3]
        assert [len(entries) for entries in before.live().values()] == [1, 1, 1]
        assert [len(entries) for entries in store.live().values()] == [3]
        assert {path.name for path in (trained / DELTAS).iterdir()} == {live[0].delta}, "the patches are gone"
        assert "trained into one delta with 2 others" in store.journal.steps(1)[-1].reason
        assert store.delta(str(live[0].delta)).manifest["consolidated"] == [1, 2, 3]
    assert verify(trained).deltas == 1
    with small(trained) as session:
        assert same(session, alone(session, live[0]))


def test_the_changes_are_trained_into_one_matrix(patched, tmp_path) -> None:
    directory = copied(patched, tmp_path)
    result = consolidated(directory, method="locft", refused=False)
    assert (result.switched, result.trained + result.patches) == (True, 3)
    with open_store(directory) as store:
        assert store.delta(result.delta).names == ("transformer.h.3.mlp.c_proj.weight",)
    assert verify(directory).deltas == 1 + result.patches


def test_a_later_consolidation_trains_what_the_one_in_force_does_not_make_and_patches_what_it_cannot(
    trained, tmp_path, training, monkeypatch
) -> None:
    directory, measured = copied(trained, tmp_path), list[int]()
    measure = trial.measure

    def counted(model, tokenizer, probes):
        measured.append(len(probes))
        return measure(model, tokenizer, probes)

    monkeypatch.setattr(trial, "measure", counted)
    result = consolidated(directory)
    assert measured[0] == 4, "all changes are asked with the delta in force"
    assert set(measured[1:]) == {1}, "and no others again, as long as nothing new was trained"
    assert training == [([4], False), ([4], True), ([], True)], "what fails is trained further, and nothing else"
    assert (result.trained, result.patches, result.tried_again, result.refused) == (3, 1, 1, ())
    with open_store(directory) as store:
        assert [len(entries) for entries in store.live().values()] == [3, 1]
        assert [entry.state for entry in store.entries()] == [State.CHECKED] * 4
    assert replay(directory).right == 1.0


def test_what_a_person_refused_or_what_contradicts_an_undone_fact_is_not_tried_again(
    patched, tmp_path, training, mini
) -> None:
    directory, weights = copied(patched, tmp_path), DeltaStack(mini.model, sole_writer=True)

    def contradicted(store, id: int, target: str) -> Entry:
        """Another change of the fact of a change, which waits."""
        edit = store.journal.entry(id).edit.model_copy(update={"target_new": target})
        store.journal.receive([Received(key=change_key(edit), slot=slot_key(edit), change=PlannedEdit(edit=edit))])
        return store.journal.find(change_key(edit))

    with open_store(directory, write=True) as store:
        for id in (1, 2, 3):
            refusal = Refusal(contradicted(store, id, "Q90"), "weak")
            commit(store, weights, Decision(refused=(refusal,)))
        vandal = contradicted(store, 4, "Q90")
    refuse(directory, [vandal.id], "a vandal wrote it")
    undo(directory, 1)
    undo(directory, 2)
    with open_store(directory, write=True) as store:  # said again after the undo
        commit(store, weights, Decision(refused=(Refusal(again := contradicted(store, 2, "Q142"), "weak"),)))
    consolidated(directory, without=[3], anew=True)
    assert training[0] == ([again.id], False)


def test_nothing_is_switched_where_the_guards_refuse_the_whole(patched, tmp_path, training) -> None:
    directory = copied(patched, tmp_path)
    hash = verify(directory).weights_hash
    strict = {**SETTINGS, "guards": {**SETTINGS["guards"], "norm_cumulative": 1e-9}}
    result = consolidate(directory, settings=strict, refused=False)
    assert (result.switched, result.trained, len(result.failed)) == (False, 0, 3)
    assert "norm_cumulative" in result.failed[0].reason
    assert verify(directory).weights_hash == hash == result.weights_hash
    # Somebody who has read the numbers may have it all the same, and they stay with the changes.
    warned = consolidate(directory, settings=strict, refused=False, guard="warn")
    assert (warned.switched, warned.trained) == (True, 3)
    with open_store(directory) as store:
        assert "norm_cumulative" in store.journal.entry(1).reason


def test_what_going_on_does_not_bring_about_is_trained_anew(trained, tmp_path, training) -> None:
    """All changes hold in the delta in force, so nothing is left to train further when the whole fails a guard."""
    directory = copied(trained, tmp_path)
    strict = {**SETTINGS, "guards": {**SETTINGS["guards"], "norm_cumulative": 1e-9}}
    result = consolidate(directory, settings=strict, refused=False)
    assert training == [([], False), ([], True), ([1, 2, 3], False), ([1, 2, 3], True)]
    assert (result.switched, len(result.failed)) == (False, 3)
    assert "norm_cumulative" in result.failed[0].reason


@pytest.mark.long
def test_where_the_model_loses_too_much_what_stays_weighs_more_in_each_round(patched, tmp_path, monkeypatch) -> None:
    rounds: list[tuple[float, float, bool]] = []
    trained = Writer._trained

    def train(self: Writer, items, earlier, *, more: bool, back) -> Delta:
        config = self._method.config
        rounds.append((config.keep_weight, config.stop_loss, more))
        return trained(self, items, earlier, more=more, back=back)

    monkeypatch.setattr(Writer, "_trained", train)
    strict = {**SETTINGS, "guards": {**SETTINGS["guards"], "perplexity": 1.0}}
    directory = copied(patched, tmp_path)
    result = consolidate(directory, settings=strict, refused=False)
    assert rounds == [(1.0, 0.0, False), (3.0, 0.05, True), (9.0, 0.05, True)]
    assert (result.switched, result.trained) == (True, 3), "the sentences are no less probable than they were"
    with open_store(directory) as store:
        assert store.delta(result.delta).manifest["settings"]["keep_weight"] == 9


def test_a_delta_is_known_as_the_methods_own_also_where_what_stays_weighed_more(trained) -> None:
    method = FineTuneAdapter(AdapterConfig(rank=8))
    heavier = method.keeping_more()
    with open_store(trained) as store:
        (delta,) = store.live_deltas()
    for made in (method, heavier, heavier.keeping_more()):
        noted = delta.noting(method=made.name, settings=made.config.model_dump(mode="json"))
        assert trained_by(method, noted).config == made.config
        assert trained_by(FineTuneAdapter(AdapterConfig(rank=9)), noted) is None
    assert trained_by(heavier.keeping_more(), delta.noting(settings=method.config.model_dump(mode="json"))) is None


def test_what_follows_by_rules_is_made_with_a_change_where_it_is_wanted(tmp_path) -> None:
    """Who died in another country is, by most of the graph's facts, a citizen of that one; no change says it here."""
    feed = tmp_path / "feed.jsonl"
    feed.write_text('{"subject": "Juan Antonio Samaranch", "relation": "P20", "target_new": "Las Vegas"}\n')
    question, settings = "Juan Antonio Samaranch is a citizen of", {**SETTINGS, "ingest": {"closure": 0.85}}
    runner.run(tmp_path / "store", feed, method="finetune-adapter", settings=settings)
    with open_edited(tmp_path / "store") as (store, editor, _):
        (delta,) = store.live_deltas()
        assert delta.manifest["closure"] == 0.85
        assert editor.complete(question).startswith("United States of America")


def test_rules_are_refused_where_no_local_graph_has_them(tmp_path) -> None:
    graph = SimpleNamespace(name="an endpoint")
    settings = {**SETTINGS, "ingest": {"closure": 0.9}}
    session = open_session(tmp_path / "store", model="mini", method="rome", graph=graph, settings=settings)
    with pytest.raises(SettingError, match="an endpoint is none; leave closure out"), session:
        pass
    assert not (tmp_path / "store").exists()


def test_a_delta_with_settings_of_an_earlier_version_is_gone_on_from(trained) -> None:
    """Those that came later had their defaults then."""
    method = FineTuneAdapter(AdapterConfig(rank=8))
    with open_store(trained) as store:
        (delta,) = store.live_deltas()
    settings = method.config.model_dump(mode="json", exclude={"texts", "invented"})
    noted = delta.noting(method=method.name, settings=settings)
    assert trained_by(method, noted).config == method.config
    assert trained_by(FineTuneAdapter(AdapterConfig(rank=8, texts=9)), noted) is None
    assert trained_by(method, delta.noting(method=method.name, settings={"unknown": 1})) is None


@pytest.mark.parametrize("switches", [True, False])
def test_a_run_consolidates_whenever_so_many_changes_were_decided(tmp_path, monkeypatch, switches) -> None:
    """Of seven changes; one in vain is not tried again before as many have come in once more, by later calls neither.

    And killed in a consolidation, the next call begins with it, before it decides what waits.
    """
    store, weights = cheap.reopen(tmp_path)
    with store:
        store.journal.begin_run("0" * 64, {}, map(cheap.received, cheap.names(5, 7)))

        def decide(entries) -> None:
            commit(store, weights, cheap.decide(entries, weights.model))

        called: list[int] = []
        kills = iter([True])

        def consolidate_in(session, method) -> SimpleNamespace:
            called.append(sum(entry.state != State.RECEIVED for entry in store.journal.entries()))
            if next(kills, False):
                raise KeyboardInterrupt
            if switches:
                cheap.consolidate_cheaply(store, weights, patches=0, name=str(called))
            return SimpleNamespace(switched=switches)

        monkeypatch.setattr(runner, "consolidate_in", consolidate_in)
        session = SimpleNamespace(store=store, weights=weights, decide=decide, decider=SimpleNamespace(progress=None))
        with pytest.raises(KeyboardInterrupt):
            runner.decide_waiting(session, 1, None, 3, "finetune-adapter")
        assert runner.decide_waiting(session, 1, None, 3, "finetune-adapter") == 4
        assert called == [3, 3, 6]
        assert runner.decide_waiting(session, 1, None, 3, "finetune-adapter") == 0
        assert called == [3, 3, 6], "nothing new has come"
        store.journal.receive(map(cheap.received, cheap.names(6, 1)))
        assert runner.decide_waiting(session, 1, None, 3, "finetune-adapter") == 1
        assert called == [3, 3, 6], "one of three"
        cheap.check_invariant(store, weights)


def test_a_consolidated_change_is_undone_at_once_and_left_out_of_the_next_training(
    trained, tmp_path, mini, training, monkeypatch
) -> None:
    monkeypatch.setattr("kgedit.ingest.counter_patch.patching_method", lambda *_: QUICK)  # is quicker
    directory = copied(trained, tmp_path)
    with open_store(directory) as store:
        request = mini.resolver.resolve(store.journal.entry(2).edit).request
    unedited = mini.complete(request.question)
    undone = undo(directory, 2)
    assert undone.answer == unedited != request.target
    with open_edited(directory) as (store, editor, _):
        assert editor.complete(request.question) == unedited
        assert store.journal.entry(2).state == State.COUNTERED
    replayed = replay(directory)
    assert replayed.right == 1.0
    assert {answer.id: answer.answer for answer in replayed.answers}[2] == unedited
    assert [change.id for change in export(directory, tmp_path / "out", "delta").changes] == [1, 3]
    # In review, too, a later change of the fact takes the place of the counter-patch.
    again = Path(shutil.copytree(directory, tmp_path / "again"))
    with open_store(again, write=True) as store:
        later = store.journal.entry(2).edit.model_copy(update={"target_new": "Q90"})
        assert store.journal.receive(
            [Received(key=change_key(later), slot=slot_key(later), change=PlannedEdit(edit=later))]
        )
    by_run = Path(shutil.copytree(again, tmp_path / "by_run"))
    (decided,) = accept(again, [5], method=QUICK, guard="warn", moments="identity", settings=SETTINGS)
    with open_store(again) as store:
        assert (store.journal.entry(2).state, decided.state) == (State.SUPERSEDED, State.CHECKED)
    with open_session(
        by_run, model="mini", method=QUICK, guard="warn", moments="identity", settings=SETTINGS
    ) as session:
        apply_feed(session, "none", [], fingerprint=None)
        assert session.store.journal.entry(5).delta == decided.delta, "computed without the counter-patch"
    assert verify(again).deltas == 2
    consolidated(directory, refused=False)
    assert training == [([1, 3], False)]
    with open_store(directory) as store:
        assert store.journal.entry(2).state == State.UNDONE


def test_a_counter_patch_that_is_not_enough_gets_another_on_top(trained, tmp_path, mini, monkeypatch) -> None:
    directory, propose, rounds = copied(trained, tmp_path), Writer.propose, []

    def weak(self: Writer, items, earlier, *, more: bool, back) -> list[Delta]:
        rounds.append(more)
        (delta,) = propose(self, items, earlier, more=more, back=back)
        share = 0.1 if len(rounds) <= 2 else 1.0  # both attempts of the first patch
        updates = tuple(replace(update, right=share * update.right) for update in delta.updates)
        return [replace(delta, updates=updates)]

    monkeypatch.setattr(Writer, "propose", weak)
    monkeypatch.setattr("kgedit.ingest.counter_patch.patching_method", lambda *_: QUICK)  # is quicker
    with open_store(directory) as store:
        request = mini.resolver.resolve(store.journal.entry(2).edit).request
    assert undo(directory, 2).answer == mini.complete(request.question)
    assert rounds[:3] == [False, True, False]
    assert replay(directory).right == 1.0
    assert verify(directory).deltas == 2


def test_a_damaged_consolidated_file_is_named_and_made_again(trained, tmp_path, training) -> None:
    directory = copied(trained, tmp_path)
    (file,) = (directory / DELTAS).glob("*/*.safetensors")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(FileCorrupt, match=rf"{file.parent.name}.*change 1, 2, 3 of the journal.*--anew"):
        verify(directory)
    consolidated(directory, anew=True, refused=False)
    assert training == [([1, 2, 3], False)]
    assert verify(directory).deltas == 1


def test_what_cannot_be_consolidated_is_said_before_a_model_is_loaded(patched, tmp_path) -> None:
    with pytest.raises(SettingError, match="glame makes a patch of each change"):
        consolidate(patched, method="glame")
    with pytest.raises(SettingError, match="locft makes no patches"):
        consolidate(patched, patch_method="locft")
    open_store(tmp_path / "empty", write=True).close()
    with pytest.raises(JournalError, match="nothing to consolidate"):
        consolidate(tmp_path / "empty")
    with pytest.raises(UnknownEdit, match="no change 9"):
        consolidate(patched, without=[9])
