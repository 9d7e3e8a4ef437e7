from __future__ import annotations

import pytest


def knowedit(**changes) -> dict:
    return {
        "subject": "Foo Bar",
        "prompt": "The occupation of Foo Bar is",
        "target_new": "baker",
        "ground_truth": "miller",
        "portability": {"Reasoning": [{"prompt": "What Foo Bar makes is", "ground_truth": "bread"}]},
        "locality": {
            "Forgetfulness": [{"prompt": "The occupation of Foo Bar, not baker, is", "ground_truth": "miller"}]
        },
    } | changes


@pytest.mark.parametrize(
    ("truth", "answers"),
    [
        ("bread", (("bread",),)),
        (["bread", "loaf"], (("bread", "loaf"),)),
        ([["bread", "loaf"], ["cake"]], (("bread", "loaf"), ("cake",))),
    ],
)
def test_ground_truth_is_a_text_a_list_or_a_list_of_lists(load_records, truth, answers) -> None:
    probe = {"prompt": "What Foo Bar makes is", "ground_truth": truth}
    record = load_records(knowedit(ground_truth=truth, portability={"Reasoning": [probe]})).records[0]
    assert record.portability[0].answers == record.true_answers == answers
    assert record.portability[0].kind == "Reasoning"
    assert record.rewrite.target_true == "bread"


def test_a_recent_fact_has_no_old_object(load_records) -> None:
    recent = knowedit()
    del recent["ground_truth"]
    record = load_records(recent | {"portability": {}}).records[0]
    assert (record.rewrite.target_true, record.true_answers, record.portability) == (None, (), ())
    assert record.rewrite.changes


@pytest.mark.parametrize("truth", ["", [], [""], [[]], [[""], []]])
def test_a_probe_without_an_answer_is_dropped_and_named_once(load_records, truth) -> None:
    probes = [
        {"prompt": "What Foo Bar makes is", "ground_truth": truth},
        {"prompt": "Foo Bar bakes", "ground_truth": "bread"},
    ]
    loaded = load_records(knowedit(portability={"Reasoning": probes}))
    assert [probe.prompt for probe in loaded.records[0].portability] == ["Foo Bar bakes"]
    assert [item.part for item in loaded.dropped] == ["portability.Reasoning[0]"]


def test_an_empty_group_among_others_is_named(load_records) -> None:
    probe = {"prompt": "What Foo Bar makes is", "ground_truth": [["bread"], [], ["cake", " "]]}
    loaded = load_records(knowedit(portability={"Reasoning": [probe]}))
    assert loaded.records[0].portability[0].answers == (("bread",), ("cake",))
    parts = [item.part for item in loaded.dropped]
    where = "portability.Reasoning[0].ground_truth"
    assert parts == [f"{where}[1]", f"{where}[2][1]"]


def test_a_blank_old_object_is_named_and_read_as_none(load_records) -> None:
    loaded = load_records(knowedit(ground_truth=""))
    assert loaded.records[0].rewrite.target_true is None
    assert [item.part for item in loaded.dropped] == ["ground_truth"]


def test_its_version_of_zsre_has_rewordings(load_records) -> None:
    one = load_records(knowedit(rephrase_prompt="Foo Bar works as")).records[0]
    many = load_records(knowedit(rephrase=["Foo Bar works as", "Foo Bar is a"])).records[0]
    assert one.paraphrases == ("Foo Bar works as",)
    assert many.paraphrases == ("Foo Bar works as", "Foo Bar is a")


def test_locality_alone_is_enough_to_be_recognised(load_records) -> None:
    record = knowedit()
    del record["portability"]
    loaded = load_records(record)
    assert (loaded.format, loaded.records[0].locality[0].kind) == ("knowedit", "Forgetfulness")
