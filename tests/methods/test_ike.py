"""IKE: the texts that are read before a question, and the change they make."""

from __future__ import annotations

import pytest

from families import tiny_model
from kg_cache import snapshot
from kgedit.edit import Edit
from kgedit.editor import Editor
from kgedit.errors import PromptError, UnsupportedExport
from kgedit.evaluate.run.pasted import PastedFacts
from kgedit.graph.verbalize import Verbalizer
from kgedit.lm.scoring.pairs import score_pairs
from kgedit.methods.base import Request
from kgedit.methods.ike import Ike, IkeSettings, stated
from kgedit.mini import mini_folder
from kgedit.mini.corpus import load_facts
from kgedit.text.template import fill
from methods.benches import REQUESTS, bench

MARIE = "Marie Curie is a citizen of Poland."


def texts(tok, delta):
    return [tok.decode(ids) for ids in (*delta.demonstrations, *delta.facts, delta.end)]


def test_a_fact_is_stated_as_its_prompt_is_written() -> None:
    assert stated('They call Ada "', "Countess") == 'They call Ada "Countess.'
    assert stated(REQUESTS[0].question, "Poland") == MARIE


def test_the_published_form_and_the_bare_sentence() -> None:
    model, tok = tiny_model("gpt2")
    case = [(request, None) for request in REQUESTS[:2]]
    (labelled,) = Ike(IkeSettings(demonstrations=0)).together(bench(model, tok, ()), [case])
    second = "The mother tongue of Søren Kierkegaard is German."
    assert texts(tok, labelled.delta) == [f"New Fact: {MARIE}\n", f"New Fact: {second}\n", "Prompt: "]
    (plain,) = Ike(IkeSettings(demonstrations=0, labels=False)).together(bench(model, tok, ()), [case])
    assert texts(tok, plain.delta) == [f"{MARIE}\n", f"{second}\n", ""]


def test_demonstrations_copy_update_and_retain_and_the_nearest_are_of_the_edits_relation() -> None:
    model, tok = tiny_model("gpt2", n_positions=8192)
    request = Request("Marie Curie", "{} is a citizen of", "Poland", "P27")
    (computed,) = Ike(IkeSettings(demonstrations=16)).compute(bench(model, tok, ()), [request])
    shown = [tok.decode(ids) for ids in computed.delta.demonstrations]
    assert len(shown) == 16
    assert computed.notes == ()
    parts = [text.removeprefix("New Fact: ").removesuffix("\n\n").split("\nPrompt: ") for text in shown]
    assert all(len(part) == 2 for part in parts)
    assert sum(fact == asked for fact, asked in parts) == 2  # one of eight copies
    assert all(" citizen of " in fact for fact, _ in parts)
    assert not any("Marie Curie" in text for text in shown)
    again = Ike(IkeSettings(demonstrations=16)).compute(bench(model, tok, ()), [request])
    assert again[0].delta.id == computed.delta.id
    (fewer,) = Ike(IkeSettings(demonstrations=16)).compute(bench(*tiny_model("gpt2"), ()), [request])
    assert "of 16 demonstrations fit" in fewer.notes[0]


def test_a_demonstration_takes_its_made_up_object_and_its_neighbour_from_other_facts() -> None:
    """P122, whose facts are few: none is kept for a neighbour that is the fact itself, none made up as it is."""
    facts = [fact for fact in load_facts(mini_folder()) if fact.relation == "P122"]
    labels, text = snapshot.labels(), Verbalizer.bundled()
    true = {f"{fill(text['P122'].cloze[0], labels[fact.subject])} {labels[fact.object]}." for fact in facts}
    ike = Ike(IkeSettings(demonstrations=2 * len(facts)))
    for seed in range(8):
        for shown in ike._demonstrations([Request("Atlantis", text["P122"].cloze[0], "republic", "P122")], seed):
            fact, asked = shown.removeprefix("New Fact: ").removesuffix("\n\n").split("\nPrompt: ")
            assert fact not in true
            if asked in true:
                assert asked.rpartition(" is the ")[0] != fact.rpartition(" is the ")[0]


def test_a_fact_longer_than_the_context_is_refused() -> None:
    with pytest.raises(PromptError, match="do not fit"):
        Ike(IkeSettings(demonstrations=0)).compute(
            bench(*tiny_model("gpt2"), ()), [Request("Marie Curie", "{} is a citizen of", "Poland " * 128)]
        )


def test_the_editor_answers_as_the_pasted_control_does(tmp_path) -> None:
    """On the bundled model with the fact as a bare sentence, which is what `eval` pastes."""
    editor = Editor.from_pretrained("mini", method="ike", moments="identity")
    prompt, target = "The capital of France is", "Rome"
    pasted = PastedFacts(stated(prompt, target), ()).into(prompt)
    (expected,) = score_pairs(editor.model, editor.tokenizer, [(pasted, target)]).values()
    (before,) = score_pairs(editor.model, editor.tokenizer, [(prompt, target)]).values()
    result = editor.apply(Edit(subject="France", relation="P36", target_new="Q220"))
    (found,) = score_pairs(editor.model, editor.tokenizer, [(prompt, target)]).values()
    assert found.logprobs == pytest.approx(expected.logprobs, abs=1e-3)
    assert result.weights == {}
    editor.save(tmp_path / "saved")
    with pytest.raises(UnsupportedExport):
        editor.export_adapter(tmp_path / "adapter")
    editor.revert(result.id)
    (after,) = score_pairs(editor.model, editor.tokenizer, [(prompt, target)]).values()
    assert after == before
    assert editor.load_delta(tmp_path / "saved") == result.id
    (loaded,) = score_pairs(editor.model, editor.tokenizer, [(prompt, target)]).values()
    assert loaded == found
