"""A file's layout is told by the keys of its records."""

from __future__ import annotations

import pytest

from kgedit.errors import UnknownFormat
from kgedit.evaluate.benchmarks.formats import detect, formats, named

EXAMPLES = {
    "mquake-questions": {"questions": [], "edited_hops": []},
    "mquake": {"requested_rewrite": [], "questions": []},
    "counterfact-plus": {"requested_rewrite": {}, "portability": {}},
    "counterfact": {"requested_rewrite": {}, "portability": None},
    "counterfact-flat": {"prompt": "", "rephrase_prompt": "", "locality_prompt": "", "target_new": ""},
    "zsre-plus": {"src": "", "alt": "", "portability": {}},
    "zsre": {"src": "", "alt": ""},
    "rippleedits": {"edit": {}, "example_type": "recent"},
    "known-facts": {"known_id": 0, "attribute": ""},
    "bake": {"requested_rewrite": {}, "reverse_qa": {}},
    "knowedit": {"prompt": "", "target_new": "", "locality": {}},
}


def test_every_format_has_an_example_here() -> None:
    assert {layout.name for layout in formats()} == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_is_recognised_by_its_keys(name) -> None:
    assert detect([EXAMPLES[name]], "here").name == name
    assert named(name).name == name


def test_the_layout_that_asks_for_the_most_keys_wins() -> None:
    both = EXAMPLES["zsre"] | EXAMPLES["counterfact-flat"]
    assert detect([both], "here").name == "counterfact-flat"


def test_most_records_decide() -> None:
    records = [EXAMPLES["zsre"], {"x": 1}, EXAMPLES["mquake"], EXAMPLES["mquake"]]
    assert detect(records, "here").name == "mquake"


def test_an_unknown_format_names_the_keys_found_and_the_keys_known() -> None:
    with pytest.raises(UnknownFormat, match=r"some\.json is in no known .* keys text, labels\. .*zsre: src, alt"):
        detect([{"text": "", "labels": ""}], "some.json")


def test_no_record_at_all() -> None:
    with pytest.raises(UnknownFormat, match="holds no record"):
        detect([], "some.json")


def test_a_wrong_name_lists_the_right_ones() -> None:
    with pytest.raises(UnknownFormat, match="no benchmark format 'cf'; known are .*counterfact-plus, counterfact"):
        named("cf")
