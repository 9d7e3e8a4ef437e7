"""The registry of methods, and what every method in it promises."""

from __future__ import annotations

import inspect

import pytest
from pydantic import BaseModel, ValidationError

from kgedit.errors import UnknownMethod
from kgedit.methods.base import METHODS, Settings, load_method
from kgedit.presets import preset


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_what_the_protocol_says(name) -> None:
    kind = load_method(name)
    assert kind.name == name
    assert issubclass(kind.Config, Settings)
    fields, _ = preset("a model of no preset", name, n_layers=24)
    method = kind(kind.Config.model_validate(fields))
    assert list(method.layers) == sorted(set(method.layers))
    assert all(0 <= layer < 24 for layer in method.layers)
    assert isinstance(method.uses_graph, bool)
    assert set(method.subgraph_options) <= {"order", "max_edges", "approach_hops", "approach_relations"}
    assert list(inspect.signature(method.compute).parameters) == ["bench", "requests", "subgraphs"]
    assert list(inspect.signature(method.together).parameters) == ["bench", "cases"]


@pytest.mark.parametrize("name", METHODS)
def test_settings_are_frozen_and_know_no_other_names(name) -> None:
    kind = load_method(name).Config
    fields, _ = preset("a model of no preset", name, n_layers=24)
    settings = kind.model_validate(fields)
    with pytest.raises(ValidationError, match="learning_rat"):
        kind.model_validate(fields | {"learning_rat": 0.1})
    with pytest.raises(ValidationError, match="frozen"):
        settings.steps = 3
    assert kind.model_validate(settings.model_dump(mode="json")) == settings
    assert isinstance(settings, BaseModel)


def test_a_method_of_another_name() -> None:
    with pytest.raises(UnknownMethod, match="no method 'mend'.*rome.*glame"):
        load_method("mend")
