"""What every method of the table promises."""

from __future__ import annotations

import inspect

import pytest
from pydantic import BaseModel, ValidationError

from kgedit.methods.base import Method
from kgedit.methods.registry import METHODS, load_method, settings_for
from kgedit.methods.settings import MethodSettings

OPTIONS = {"order", "max_edges", "edge_choice", "incoming_hops", "incoming_relations"}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_what_the_interface_says(name) -> None:
    kind = load_method(name)
    assert kind.name == name
    assert issubclass(kind, Method)
    assert issubclass(kind.Config, MethodSettings)
    fields, _ = settings_for("a model of no preset", name, n_layers=24)
    method = kind(kind.Config.model_validate(fields))
    assert list(method.moment_layers) == sorted(set(method.moment_layers))
    assert all(0 <= layer < 24 for layer in method.moment_layers)
    assert kind.summary
    assert set(method.subgraph_options) <= OPTIONS
    assert list(inspect.signature(method.compute).parameters) == ["bench", "requests", "subgraphs"]
    assert list(inspect.signature(method.together).parameters) == ["bench", "cases"]


@pytest.mark.parametrize("name", METHODS)
def test_settings_are_frozen_and_know_no_other_names(name) -> None:
    kind = load_method(name).Config
    fields, _ = settings_for("a model of no preset", name, n_layers=24)
    settings = kind.model_validate(fields)
    with pytest.raises(ValidationError, match="learning_rat"):
        kind.model_validate(fields | {"learning_rat": 0.1})
    with pytest.raises(ValidationError, match="frozen"):
        settings.ending = "!"
    assert kind.model_validate(settings.model_dump(mode="json")) == settings
    assert isinstance(settings, BaseModel)


def test_no_two_methods_are_described_alike() -> None:
    summaries = [load_method(name).summary for name in METHODS]
    assert len(set(summaries)) == len(summaries)


ABILITIES = {  # name -> needs moments, needs the graph, writes jointly, shares one change
    "rome": (True, False, False, False),
    "memit": (True, False, True, False),
    "glame": (True, True, True, False),
    "rome-kg": (True, True, False, False),
    "memit-kg": (True, True, False, False),
    "ft": (False, False, False, False),
    "ft-l": (False, False, False, False),
    "locft": (False, True, False, True),
    "mend": (False, False, False, False),
    "ke": (False, False, False, False),
    "kn": (False, False, False, False),
    "finetune-adapter": (False, True, False, True),
    "ike": (False, False, False, False),
    "grace": (False, False, False, False),
    "horen": (False, False, False, False),
    "memoe": (False, False, False, False),
    "serac": (False, False, False, False),
}


@pytest.mark.parametrize("name", METHODS)
def test_abilities(name) -> None:
    kind = load_method(name)
    fields, _ = settings_for("a model of no preset", name, n_layers=24)
    method = kind(kind.Config.model_validate(fields))
    found = (bool(method.moment_layers), method.uses_graph, method.writes_jointly, method.shares_change)
    assert found == ABILITIES[name]
    assert bool(method.subgraph_options) == method.uses_graph


@pytest.mark.parametrize("name", METHODS)
def test_a_longer_method_takes_more_steps_and_is_the_same_otherwise(name) -> None:
    kind = load_method(name)
    fields, _ = settings_for("a model of no preset", name, n_layers=24)
    method = kind(kind.Config.model_validate(fields))
    before = method.config.model_dump()
    after = method.longer(3).config.model_dump()
    counted = "epochs" if name == "locft" else "steps"
    assert after == before | ({counted: 3 * before[counted]} if counted in before else {})


def test_later_layers_want_their_moments_and_the_walks_that_lead_to_the_subject() -> None:
    kind = load_method("glame")
    settings = {"layers": (1, 2), "repr_layer": 0}
    plain, later = (kind(kind.Config.model_validate({**settings, "later_layers": some})) for some in ((), (3,)))
    assert (plain.moment_layers, plain.writes_jointly) == ((1, 2), True)
    assert plain.subgraph_options == {"order": 2, "max_edges": 20, "edge_choice": "telling"}
    assert (later.moment_layers, later.writes_jointly) == ((1, 2, 3), True)
    more = {name: value for name, value in later.subgraph_options.items() if name not in plain.subgraph_options}
    assert more == {"incoming_hops": 2, "incoming_relations": frozenset(later.text.texts), "siblings": 0}
