"""The demonstration on the bundled model: shares, words, and weights that are bit for bit as before."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from kgedit.delta import Delta
from kgedit.editor import Editor
from kgedit.errors import NotReverted
from kgedit.evaluate.bundled.demo import METHODS, NAMED, DemoReport, measure, run_demo
from kgedit.evaluate.bundled.probes import score_case
from kgedit.mini.cases import MEASURES, Casebook

# Second moments are collected first where no run has yet; a busy machine takes minutes.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def editor() -> Editor:
    return Editor.from_pretrained("mini", method="rome", moments="identity")


@pytest.fixture(scope="module")
def report() -> tuple[DemoReport, list[tuple[str, int, int]]]:
    told: list[tuple[str, int, int]] = []
    return run_demo(edits=1, seed=5, progress=lambda *words: told.append(words)), told


def test_the_report_holds_shares_for_each_method(report) -> None:
    found, _ = report
    assert (found.edits, found.seed) == (2, 5)
    assert found.methods.keys() == set(METHODS)
    for measured in (found.unedited, *found.methods.values()):
        assert measured.keys() == set(MEASURES)
        assert all(0 <= share <= 1 for share in measured.values())
    assert found.seconds > 0
    assert DemoReport.model_validate(json.loads(found.model_dump_json())) == found


def test_both_methods_change_what_the_unedited_model_does_not_say(report) -> None:
    found, _ = report
    assert found.unedited["efficacy"] == 0
    assert all(measured["efficacy"] > 0.5 for measured in found.methods.values())
    assert found.methods["glame"]["portability"] > found.methods["rome"]["portability"]
    assert found.unedited["subject_specificity"] > 0.5


def test_the_named_edit_is_shown_in_words(report) -> None:
    found, _ = report
    assert found.subject == "Albert Einstein"
    assert found.change == ("United States of America", "France")
    assert {answer.measure for answer in found.answers} == set(MEASURES)
    assert all(answer.said.keys() == {"unedited", *METHODS} for answer in found.answers)
    edited = found.answers[0]
    assert (edited.measure, edited.right) == ("efficacy", "France")
    assert edited.said["unedited"] != "France"
    for answer in found.answers:
        assert answer.prompt
        assert all(said == said.strip() and "\n" not in said for said in answer.said.values())


def test_progress_tells_of_every_edit_of_both_methods(report) -> None:
    _, told = report
    for method in METHODS:
        counted = [(done, total) for what, done, total in told if what == f"editing with {method}"]
        assert counted == [(1, 2), (2, 2)]


def test_measuring_gives_back_every_weight(editor: Editor) -> None:
    cases = Casebook().draw(2, seed=8)
    before = {name: weight.clone() for name, weight in editor.model.state_dict().items()}
    unedited = [score_case(editor.model, editor.tokenizer, case) for case in cases]
    scored, said = measure(editor, cases)
    assert len(scored) == 2
    assert said == [], "nothing is answered in words unless a case is to be shown"
    assert [scores["efficacy"] for scores in unedited] == [(False,), (False,)]
    assert scored != unedited
    assert all(torch.equal(weight, before[name]) for name, weight in editor.model.state_dict().items())
    assert editor.history == {}


@pytest.mark.parametrize("name", ["transformer.h.1.mlp.c_proj.weight", "transformer.ln_f.bias"])
def test_a_weight_that_changes_behind_its_back_ends_the_measurement(editor: Editor, name: str, monkeypatch) -> None:
    """The edited matrix after its edit, and one that no edit touches; by the least that a float can move."""
    weight = dict(editor.model.named_parameters())[name]
    original = weight.detach().clone()
    trial = editor.trial

    @contextmanager
    def meddling(delta: Delta) -> Iterator[None]:
        with trial(delta):
            yield
        with torch.no_grad():
            weight.view(-1)[0] = torch.nextafter(weight.view(-1)[0], torch.tensor(9.0))

    monkeypatch.setattr(editor, "trial", meddling)
    with pytest.raises(NotReverted, match=f"{name} differs after the edit of Albert Einstein"):
        measure(editor, [Casebook().named(*NAMED)])
    with torch.no_grad():
        weight.copy_(original)
