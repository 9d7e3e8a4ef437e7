"""`--methods all`: every method that can run on the model, and why the others cannot."""

from __future__ import annotations

import pytest

from families import tiny_model
from kgedit.errors import EvaluationError, SettingError, UnsupportedModel, UntrainedEditor
from kgedit.evaluate import EvaluationSettings
from kgedit.evaluate.run.usable import usable_methods, usable_variants
from kgedit.methods.registry import METHODS, method_for


def asked(methods: str) -> EvaluationSettings:
    return EvaluationSettings(suite="counterfact", data="cf.json", model="tiny", methods=methods)


def test_all_stands_for_every_column_that_is_not_named_beside_it() -> None:
    assert asked("all").columns == ("unedited", "pasted", *METHODS)
    some = asked("rome:key=original,all,memit:layers=1,2")
    assert some.columns[0] == "rome:key=original"
    assert some.columns[-1] == "memit:layers=1+2"
    assert not {"rome", "memit"} & set(some.columns)
    assert some.found_by_all == set(some.columns) - {"rome:key=original", "memit:layers=1+2"}
    assert asked("rome,memit").found_by_all == frozenset()
    with pytest.raises(EvaluationError, match="all stands"):
        _ = asked("all,all").columns


def test_what_cannot_run_is_left_out_of_all_and_refused_by_its_name() -> None:
    model, _ = tiny_model("gemma2")
    every = asked("all")
    variants, notes = usable_variants(every, every.variants)
    assert (set(variants), notes) == (set(METHODS), ())
    kept, notes = usable_methods(every, variants, model)
    absent = set(METHODS) - set(kept)
    assert absent == {"memit", "memit-kg", "mend", "ke", "serac"}
    told = {note.partition(" ")[0]: note for note in notes if "was left out: " in note}
    assert set(told) == absent
    assert "kgedit train-editor --method mend" in told["mend"]
    assert "post_feedforward_layernorm" in told["memit"]
    with pytest.raises(UntrainedEditor, match="train-editor --method ke"):
        usable_methods(asked("rome,ke"), ("rome", "ke"), model)
    with pytest.raises(UnsupportedModel, match="MEMIT cannot edit"):
        usable_methods(asked("memit"), ("memit",), model)
    with pytest.raises(SettingError, match="no setting"):
        usable_variants(asked("rome:no=1,all"), ("rome:no=1",))


def test_two_columns_of_the_same_settings_are_named() -> None:
    """The bundled model's `ft` has FT-M's loss; as published it is another method."""
    model, _ = tiny_model("gpt2")
    words = ("ft", "ft:paper", "ft:ft-m", "rome", "ft-l", "ft-l:paper")
    settings = EvaluationSettings(suite="counterfact", data="cf.json", model="mini", methods=",".join(words))
    kept, notes = usable_methods(settings, words, model)
    assert tuple(kept) == words
    assert notes == ("ft:ft-m has the same settings as ft on this model, and the same figures",)


@pytest.mark.parametrize("model", ["mini", "gpt2-xl", "smollm2"])
def test_ft_as_published_scores_an_object_at_the_prompts_last_position_on_every_model(model: str) -> None:
    losses = {word: method_for(model, word, 48)[0].config.loss for word in ("ft:paper", "ft-l:paper", "ft:ft-m")}
    assert losses == {"ft:paper": "prompt_last", "ft-l:paper": "prompt_last", "ft:ft-m": "target"}
    own, paper = (method_for(model, word, 48)[0].config for word in ("ft", "ft:paper"))
    assert own == paper.model_copy(update={"loss": own.loss})
