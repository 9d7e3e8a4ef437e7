"""SERAC ("serac") on tiny models: training, resuming, and edits behind the trained classifier on every family."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from families import FAMILIES, tiny_model
from kgedit.delta import Delta, DeltaStack
from kgedit.errors import DataError, UntrainedEditor, WrongBase
from kgedit.lm.scoring.pairs import score_pairs
from kgedit.methods.curriculum import Curriculum, Lesson
from kgedit.methods.serac.method import Serac, SeracSettings
from methods.benches import REQUESTS, bench, small, state_of

PEOPLE = ("Marie Curie", "Albert Einstein", "Leonardo da Vinci", "Nintendo", "Søren Kierkegaard")
SETTINGS = SeracSettings(layer=1, size=8, training_steps=40, check_every=20, edits=4, rate=1e-2, steps=25)
OTHER = ("Here in the headquarters of Nintendo people speak", "Danish")


def curriculum(people) -> Curriculum:
    wordings = ("was born in", "works in", "died in")
    return Curriculum(
        tuple(
            Lesson(
                tuple((f"{person} {words}", "Ulm") for words in wordings),
                around=tuple((f"{other} was born in", "Paris") for other in PEOPLE if other != person),
            )
            for person in people
        )
    )


LESSONS, HELD_OUT = curriculum(PEOPLE[:3]), curriculum(PEOPLE[3:])


class _Killed(BaseException):
    pass


pytestmark = pytest.mark.usefixtures("own_cache")


def test_a_killed_training_goes_on_to_the_same_bits_and_the_model_stays(tmp_path) -> None:
    model, tok = tiny_model("gpt2")
    state, work = state_of(model), bench(model, tok, ())
    whole = Serac(SETTINGS).train(work, LESSONS, HELD_OUT, minutes=10)
    assert state_of(model) == state
    assert whole.figures["steps"] == 40
    assert not torch.equal(whole.tensors["projection"], Serac(SETTINGS).fresh(work).tensors["projection"])

    def killer(what: str, done: int, total: int) -> None:
        if what == "training serac" and done == 30:
            raise _Killed

    with pytest.raises(_Killed):
        Serac(SETTINGS).train(replace(work, progress=killer), LESSONS, HELD_OUT, minutes=10)
    steps: list[int] = []

    def watching(what: str, done: int, total: int) -> None:
        if what == "training serac":
            steps.append(done)

    resumed = Serac(SETTINGS).train(replace(work, progress=watching), LESSONS, HELD_OUT, minutes=10)
    assert (steps[0], len(steps)) == (20, 20)
    assert torch.equal(resumed.tensors["projection"], whole.tensors["projection"])
    assert not list((tmp_path / "cache" / "editors").iterdir())
    limited = Serac(SETTINGS).train(work, LESSONS, HELD_OUT, minutes=1e-9)
    assert (limited.figures["ended"], limited.figures["steps"]) == ("at the time limit", 20)


@pytest.mark.parametrize("family", FAMILIES)
def test_edits_take_others_keep_every_bit_and_all_is_undone(family, tmp_path) -> None:
    model, tok = tiny_model(family)
    work, state = bench(model, tok, ()), state_of(model)
    untouched = score_pairs(model, tok, [OTHER])[OTHER]
    method = small("serac", layer=1, steps=25)
    made = method.compute(work, REQUESTS[:2])
    assert state_of(model) == state
    stack = DeltaStack(model)
    for computed in made:
        stack.apply(computed.delta)
    for request, computed in zip(REQUESTS[:2], made, strict=True):
        pair = (request.question, request.target)
        found = score_pairs(model, tok, [pair])[pair]
        assert found.mean_logprob == pytest.approx(-min(computed.log["losses"][0]), abs=1e-3)
    stack.revert_all()
    assert score_pairs(model, tok, [OTHER])[OTHER] == untouched
    loaded = Delta.load(made[0].delta.save(tmp_path / "delta"), model)
    assert torch.equal(loaded.projection, made[0].delta.projection)
    assert loaded.id == made[0].delta.id


def test_without_a_trained_editor_of_this_model_there_is_no_edit(tmp_path) -> None:
    model, tok = tiny_model("gpt2")
    with pytest.raises(UntrainedEditor, match="train-editor --method serac"):
        Serac(SETTINGS).compute(bench(model, tok, ()), REQUESTS[:1])
    file = Serac(SETTINGS).fresh(bench(*tiny_model("gpt2", seed=1), ())).save(tmp_path / "other.safetensors")
    with pytest.raises(WrongBase):
        Serac(SETTINGS.model_copy(update={"editor": str(file)})).compute(bench(model, tok, ()), REQUESTS[:1])
    with pytest.raises(DataError, match="two wordings"):
        Serac(SETTINGS).train(bench(model, tok, ()), Curriculum(()), HELD_OUT, minutes=1)
