"""A method with settings is written in one way everywhere, and a misspelt one is answered with the nearest name."""

from __future__ import annotations

import pytest

from kgedit.errors import FeedError, SettingError, UnknownMethod
from kgedit.evaluate import EvaluationSettings
from kgedit.ingest.feeds.base import _named, open_feed
from kgedit.methods.registry import parse_variant


@pytest.mark.parametrize("text", ["1-3", "1+2+3", "1,2,3", "1,2-3", "1+2-3"])
def test_a_list_of_layers_is_a_range_or_joined(text: str) -> None:
    assert parse_variant(f"memit:layers={text}") == ("memit", {"layers": (1, 2, 3)})


@pytest.mark.parametrize("text", ["1-3", "1+2+3", "1,2,3", "1, 2, 3"])
def test_a_list_with_commas_stands_in_a_list_of_methods(text: str) -> None:
    settings = EvaluationSettings(suite="counterfact", data="x", methods=f"rome,memit:layers={text}:steps=4,glame")
    assert [parse_variant(word) for word in settings.variants] == [
        ("rome", {}),
        ("memit", {"layers": (1, 2, 3), "steps": 4}),
        ("glame", {}),
    ]


@pytest.mark.parametrize(("word", "meant"), [("rom", "rome"), ("glam", "glame"), ("memti", "memit"), ("mem", "memit")])
def test_a_misspelt_method_is_answered_with_the_nearest(word: str, meant: str) -> None:
    with pytest.raises(UnknownMethod, match=f"did you mean '{meant}'"):
        parse_variant(word)


def test_misspelt_settings_are_answered_with_the_nearest() -> None:
    with pytest.raises(SettingError, match="did you mean 'paper'"):
        parse_variant("glame:papr")
    with pytest.raises(SettingError, match="did you mean 'layers'"):
        parse_variant("memit:layer=3")


def test_a_stream_and_item_ids_need_no_format() -> None:
    assert _named("stream") == "stream"
    assert _named("Q937, Q42") == "wikidata"
    assert _named("changes") is None
    with pytest.raises(FeedError, match="cannot be told"):
        open_feed("changes")
