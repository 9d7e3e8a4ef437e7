"""Threads share an editor, and whatever ends a step, Ctrl-C at any line too, the model is as before."""

from __future__ import annotations

import copy
import pickle
import random
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from threading import Barrier, Event, Thread
from types import FrameType
from typing import Any

import pytest
import torch

from families import D_FF, D, tiny_model
from kg_cache.bundled import bundled_store
from kgedit.delta import Delta, LowRankDelta, WeightUpdate, hash_weights
from kgedit.delta.codebook import KeyedValue, Lookup
from kgedit.delta.experts import ExpertBank, ExpertsDelta, ExpertWeights
from kgedit.delta.gated import gated
from kgedit.delta.in_context import InContextDelta
from kgedit.delta.keyed import KeyedDelta
from kgedit.delta.outliers import OutlierDelta
from kgedit.edit import Edit
from kgedit.editor import Editor
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.hooks import capture
from kgedit.methods.rome import Rome, RomeConfig

PEOPLE = ["Albert Einstein", "Marie Curie", "Isaac Newton", "Charles Darwin"]
PROMPT = "{} was born in"


def edit_of(subject: str) -> Edit:
    return Edit(subject=subject, prompt=PROMPT, target_new="Ulm")


@pytest.fixture
def editor() -> Editor:
    model, tokenizer = tiny_model("gpt2")
    method = Rome(RomeConfig(layer=1, steps=2))
    editor = Editor(model, tokenizer, bundled_store(), method, moments="identity", prefixes=[""])
    # What a user may have set, and must find again.
    model.transformer.h[0].train()
    model.transformer.wte.weight.requires_grad_(False)
    model.transformer.h[2].register_forward_hook(lambda *_: None)
    return editor


def state_of(model: torch.nn.Module) -> tuple[Any, ...]:
    """Everything that an edit may touch: bytes of weights, flags, modes, hooks and swapped methods."""
    return (
        {name: weight.detach().clone().numpy().tobytes() for name, weight in model.named_parameters()},
        {name: (weight.requires_grad, weight.grad) for name, weight in model.named_parameters()},
        {name: module.training for name, module in model.named_modules()},
        {
            name: (
                list(module._forward_hooks.items()),
                list(module._forward_pre_hooks.items()),
                "forward" in vars(module),
            )
            for name, module in model.named_modules()
        },
    )


def test_edits_of_many_threads_follow_each_other(editor: Editor) -> None:
    before = state_of(editor.model)
    start = Barrier(len(PEOPLE))

    def work(subject: str) -> str:
        start.wait()
        id = editor.apply(edit_of(subject)).id
        with editor.preview(Edit(subject=subject, prompt="{} plays for", target_new="Paris")):
            editor.complete(f"{subject} was born in")
        return id

    with ThreadPoolExecutor(len(PEOPLE)) as pool:
        ids = list(pool.map(work, PEOPLE))
    assert set(editor.history) == set(ids)
    with ThreadPoolExecutor(len(PEOPLE)) as pool:
        list(pool.map(editor.revert, ids))
    assert state_of(editor.model) == before


def test_a_reader_sees_whole_states_and_no_preview(editor: Editor) -> None:
    question = PROMPT.format("Albert Einstein")
    plain = editor.ask(question, 2)
    seen: list[list[tuple[str, float]]] = []
    reading, done = Event(), Event()

    def read() -> None:
        while not done.is_set():
            seen.append(editor.ask(question, 2))
            reading.set()

    reader = Thread(target=read)
    reader.start()
    reading.wait()
    for _ in range(2):
        with editor.preview(edit_of("Albert Einstein")):
            assert editor.ask(question, 2) != plain
    done.set()
    reader.join()
    assert all(answers == plain for answers in seen)


def test_norms_and_deltas_are_read_between_steps(editor: Editor) -> None:
    editor.apply(edit_of("Albert Einstein"))
    settled = [editor.norms(), editor.growth(), editor.deltas]
    with ThreadPoolExecutor(3) as pool:
        with editor.turn(), editor._stack.trial([]):
            read = [pool.submit(editor.norms), pool.submit(editor.growth), pool.submit(lambda: editor.deltas)]
            wait(read, timeout=0.2)
        assert [each.result() for each in read] == settled


class Interrupt:
    """Ctrl-C at one line of the package, counted from the beginning of the block."""

    def __init__(self, at: int) -> None:
        self.at, self.lines = at, 0

    def __enter__(self) -> None:
        sys.settrace(self._trace)

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, argument: object) -> Callable[..., Any] | None:
        if "/kgedit/" not in frame.f_code.co_filename:
            return None
        if event == "line":
            self.lines += 1
            if self.lines == self.at:
                sys.settrace(None)
                raise KeyboardInterrupt
        return self._trace


def lines_of(work: Callable[[], object]) -> int:
    counting = Interrupt(-1)
    with counting:
        work()
    return counting.lines


def places(lines: int, count: int) -> Iterator[int]:
    """Some lines of the work, more of them at its end, where weights are written and flags put back."""
    draw = random.Random(0)
    yield from draw.sample(range(1, lines + 1), count)
    yield from draw.sample(range(lines * 9 // 10, lines + 1), count)


def test_ctrl_c_at_any_line_of_an_edit_leaves_all_as_it_was(editor: Editor) -> None:
    editor.apply(edit_of("Marie Curie"))
    before, history = state_of(editor.model), dict(editor.history)

    def preview() -> None:
        with editor.preview(edit_of("Albert Einstein")):
            pass

    for at in places(lines_of(preview), 14):
        with pytest.raises(KeyboardInterrupt), Interrupt(at):
            preview()
        assert state_of(editor.model) == before, at
        assert editor.history == history, at
    editor.revert(*history)


def test_an_error_after_the_weights_were_written_takes_the_edit_back(
    editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, answers = state_of(editor.model), iter([("", 0.1)])
    monkeypatch.setattr(editor, "_answer", lambda _: next(answers))
    with pytest.raises(StopIteration):
        editor.apply(edit_of("Albert Einstein"))
    assert state_of(editor.model) == before
    assert editor.history == {}


TEXT = (60, 61, 62, 63, 64)


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=torch.tensor([TEXT])).logits


def acting(kind: str, model: torch.nn.Module) -> Delta:
    """A delta of a kind that rewrites no weight and changes what the model says to `TEXT`."""
    anatomy = anatomy_of(model)
    name, module = anatomy.weight_name(1), {"k": anatomy.mlp_out(model, 1)}
    with capture(module, inputs=True, rows=1) as keys:
        logits(model)
    key, value, base = keys["k"][0, -1].clone(), torch.linspace(-9, 9, D), hash_weights(model, [name])
    update = WeightUpdate(name, key[:, None], value[:, None], anatomy.conv1d)
    match kind:
        case "gated":
            return gated(LowRankDelta((update,), base), {name: key[None]}, 0.5)
        case "keyed-store":
            lookup = Lookup(radius=1.0, adapts=True, replaces=True)
            return KeyedDelta(name, lookup, (KeyedValue(key, value, (1,)),), base)
        case "outliers":
            return OutlierDelta((update,), (0.0,), base)
        case "experts":
            expert = ExpertWeights(torch.ones(1, D_FF + D), torch.ones(1, 1, D_FF), value[None, :, None])
            return ExpertsDelta((ExpertBank(name, expert, (TEXT[:2],)),), base)
        case _:
            return InContextDelta(name, (), (), ((40, 41),), (), base)


def interrupted_at_the_end(editor: Editor, work: Callable[[], None]) -> None:
    def turn() -> None:
        with editor.turn():
            work()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        turn()


@pytest.mark.parametrize("kind", ["gated", "keyed-store", "outliers", "experts", "in-context"])
@pytest.mark.parametrize("step", ["taken off for a while", "reverted", "joined by another", "joined and taken off"])
def test_a_delta_that_acts_at_run_time_survives_a_failed_turn_and_can_be_reverted(
    editor: Editor, tmp_path: Path, kind: str, step: str
) -> None:
    model = editor.model.eval()  # without dropout
    plain, unedited = logits(model), state_of(model)
    other = acting("gated" if kind == "keyed-store" else "keyed-store", model)
    id = editor.load_delta(acting(kind, model).save(tmp_path / "one"))
    edited, before = logits(model), state_of(model)
    assert not torch.allclose(edited, plain, atol=1e-4)

    def work() -> None:
        if step == "taken off for a while":
            with editor._stack.trial([]):
                assert torch.equal(logits(model), plain)
        elif step == "reverted":
            editor.revert(id)
        else:
            joined = editor.load_delta(other.save(tmp_path / "other"))
            if step == "joined and taken off":
                editor.revert(id)
                editor.revert(joined)

    interrupted_at_the_end(editor, work)
    assert torch.equal(logits(model), edited)
    assert state_of(model) == before  # hooks of the user's among them, each in its place
    editor.revert(id)
    assert torch.equal(logits(model), plain)
    assert state_of(model) == unedited


def test_entries_that_a_failed_turn_added_to_a_store_are_forgotten(editor: Editor, tmp_path: Path) -> None:
    model = editor.model.eval()
    first = acting("keyed-store", model)
    assert isinstance(first, KeyedDelta)
    far = replace(first, entries=(replace(first.entries[0], key=first.entries[0].key + 9),))
    editor.load_delta(far.save(tmp_path / "far"))
    before = logits(model)

    def work() -> None:
        editor.load_delta(first.save(tmp_path / "first"))
        assert not torch.equal(logits(model), before)

    interrupted_at_the_end(editor, work)
    assert torch.equal(logits(model), before)
    editor.load_delta(tmp_path / "first")
    assert not torch.equal(logits(model), before)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps], ids=lambda function: function.__name__)
def test_an_editor_is_not_copied_behind_its_back(editor: Editor, duplicate: Callable[[Editor], object]) -> None:
    with pytest.raises(TypeError, match="cannot be pickled or copied"):
        duplicate(editor)
