"""Training of hypernetwork editors on a tiny model: it learns, stops, and goes on after a kill to the same bits."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch

from families import tiny_model
from kgedit.errors import DataError, EditDiverged
from kgedit.methods.base import Request
from kgedit.methods.curriculum import Curriculum, Lesson
from kgedit.methods.hyper.course import Course
from kgedit.methods.registry import load_method
from methods.benches import bench, state_of

PEOPLE = ("Marie Curie", "Albert Einstein", "Leonardo da Vinci", "Nintendo", "Søren Kierkegaard")
PLACES = ("Poland", "Tokyo", "Ulm", "Paris")


def lesson(person: str, place: str) -> Lesson:
    wordings = tuple((f"{person} {words}", place) for words in ("was born in", "works in", "died in"))
    return Lesson(wordings, around=(("The capital of Japan is", "Tokyo"), ("Nintendo is in", "Kyoto")))


LESSONS = Curriculum(
    tuple(lesson(person, place) for person in PEOPLE[:3] for place in PLACES[:3]),
    facts=((("Q: Where is Nintendo? A:", "Kyoto"), ("The seat of Nintendo is", "Kyoto")),),
)
HELD_OUT = Curriculum(tuple(lesson(person, PLACES[3]) for person in PEOPLE[3:]))
FAST = {
    "mend": {"rank": 8, "first_step": 0.02, "learning_rate": 3e-4, "step_rate": 1e-3, "edit_weight": 1.0},
    "ke": {"most": 0.1, "learning_rate": 1e-3, "margin": 0.1},
}


class _Killed(BaseException):
    pass


pytestmark = pytest.mark.usefixtures("own_cache")


def method_of(name: str, **changes):
    kind = load_method(name)
    few = {"layers": (1,), "training_steps": 6, "check_every": 2, "edits": 3, "wordings": 2}
    return kind(kind.Config.model_validate(few | FAST[name] | changes))


@pytest.mark.parametrize("name", ["mend", "ke"])
def test_a_killed_training_goes_on_to_the_same_bits(name, tmp_path) -> None:
    model, tok = tiny_model("gpt2")
    before = state_of(model)
    work = bench(model, tok, ())
    whole = method_of(name).train(work, LESSONS, HELD_OUT, minutes=10)
    assert state_of(model) == before
    assert not list((tmp_path / "cache" / "editors").iterdir())  # no checkpoint of a training that is over

    def killer(what: str, done: int, total: int) -> None:
        assert (what, total) == (f"training {name}", 6)
        if done == 5:
            raise _Killed

    with pytest.raises(_Killed):
        method_of(name).train(replace(work, progress=killer), LESSONS, HELD_OUT, minutes=10)
    assert state_of(model) == before
    steps: list[int] = []
    going_on = replace(work, progress=lambda what, done, total: steps.append(done))
    resumed = method_of(name).train(going_on, LESSONS, HELD_OUT, minutes=10)
    assert steps == [4, 5]
    assert resumed.tensors.keys() == whole.tensors.keys()
    assert all(torch.equal(resumed.tensors[key], tensor) for key, tensor in whole.tensors.items())
    assert resumed.base == whole.base
    assert {k: v for k, v in resumed.figures.items() if k != "minutes"} == {
        k: v for k, v in whole.figures.items() if k != "minutes"
    }


@pytest.mark.parametrize("name", ["mend", "ke"])
def test_the_loss_falls(name) -> None:
    """On the edits of one step, by the training's own optimiser; what it writes afterwards is another change."""
    model, tok = tiny_model("gpt2")
    work = bench(model, tok, ())
    method = method_of(name, training_steps=25, check_every=25, edits=2)
    course = Course(method.config, work, LESSONS, lambda asked: method.conditions(work, asked), method.smoothing)
    drawn = course.draw(random.Random(0))
    matrices = method._matrices(work)
    network = method._new_network(work, matrices)
    objective, optimizer = method.trainer(network)
    losses = []
    for _ in range(12):
        loss, _ = course.loss(network, objective, matrices, drawn, observe=not losses)
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.9 * losses[1]
    request = Request("Marie Curie", "{} was born in", "Paris")
    trained = method.train(work, LESSONS, HELD_OUT, minutes=10)
    method.trained = lambda _: trained
    (after,) = method.compute(work, [request])
    method.trained = method.fresh
    (before,) = method.compute(work, [request])
    assert after.delta.id != before.delta.id


def test_it_ends_when_held_out_edits_become_no_better_or_at_the_time_limit(tmp_path) -> None:
    model, tok = tiny_model("gpt2")
    work = bench(model, tok, ())
    still = {"learning_rate": 1e-12, "step_rate": 1e-12, "training_steps": 20}
    early = method_of("mend", patience=4, **still).train(work, LESSONS, HELD_OUT, minutes=10)
    assert (early.figures["ended"], early.figures["best_step"], early.figures["steps"]) == ("early", 2, 6)
    limited = method_of("mend", **still).train(work, LESSONS, HELD_OUT, minutes=1e-9)
    assert (limited.figures["ended"], limited.figures["steps"]) == ("at the time limit", 2)
    on = method_of("mend", **still).train(work, LESSONS, HELD_OUT, minutes=10)
    assert (on.figures["ended"], on.figures["steps"]) == ("after all steps", 20)


def test_what_cannot_be_learned_is_an_error() -> None:
    model, tok = tiny_model("gpt2")
    work = bench(model, tok, ())
    too_long = Curriculum((Lesson((("word " * 200, "Paris"),)),))
    with pytest.raises(DataError, match="no edit to learn from"):
        method_of("mend").train(work, too_long, HELD_OUT, minutes=1)
    with pytest.raises(EditDiverged, match="lower its learning rate"):
        method_of("mend", first_step=1e30).train(work, LESSONS, HELD_OUT, minutes=1)
