"""An evaluation whose edits are to hold in a chat: the form reaches every method, and the manifest says which."""

from __future__ import annotations

from pathlib import Path

import pytest

from families import tiny_model
from kgedit.errors import ChatTemplateError
from kgedit.evaluate import EvaluationSettings
from kgedit.evaluate.run.prepared import open_editor, prepare
from kgedit.methods.base import Request

DATA = str(Path(__file__).parents[2] / "data" / "counterfact" / "counterfact.json")
TEMPLATE = "{% for m in messages %}<{{ m['role'] }}> {{ m['content'] }}\n{% endfor %}<assistant>\n"


def settings(model: Path | str, **more: object) -> EvaluationSettings:
    given = {"suite": "counterfact", "data": DATA, "model": str(model), "methods": "rome:layer=1", "limit": 1}
    return EvaluationSettings.model_validate({**given, "moments": "identity", **more})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model, tokenizer = tiny_model("llama")
    tokenizer.chat_template = TEMPLATE
    model.save_pretrained(tmp_path / "chat")
    tokenizer.save_pretrained(tmp_path / "chat")
    return tmp_path / "chat"


def test_edits_are_optimised_in_both_forms_where_it_is_asked_for(folder: Path) -> None:
    asked = settings(folder, chat="auto", system="Be brief.")
    editor = open_editor(asked, "rome")
    assert editor.chat is not None
    request = Request("Marie", "{} lives in", "Rome", "P551")
    assert editor.chat.templates(request.prompt, request.relation)[0] == (
        "<system> Be brief.\n<user> {} lives in\n<assistant>"
    )
    with_chat, without = prepare(asked).manifest, prepare(settings(folder)).manifest
    assert with_chat.chat is not None
    assert (with_chat.chat.system, len(with_chat.chat.template or "")) == ("Be brief.", 64)
    assert without.chat is None
    assert open_editor(settings(folder), "rome").chat is None


def test_the_free_protocol_asks_with_the_system_prompt_that_edits_are_optimised_with(folder: Path) -> None:
    (case,) = prepare(settings(folder, chat="auto", system="Be brief.", protocol="free")).cases
    asks = [*case.questions.asks, *(told.first for told in case.questions.follow_ups)]
    turns = [asked.prompt for asked in asks if "<user>" in asked.prompt]
    assert len(turns) == 3, "the question, the choice of answers, and what is told first"
    assert all(turn.startswith("<system> Be brief.\n<user> ") for turn in turns)


def test_what_cannot_be_a_chat_is_said_before_any_edit(folder: Path) -> None:
    assert open_editor(settings("mini", chat="auto"), None).chat is None
    with pytest.raises(ChatTemplateError, match="no chat template"):
        prepare(settings("mini", chat="always"))
    with pytest.raises(ValueError, match="a system prompt belongs to a chat"):
        settings(folder, system="Be brief.")


def test_a_system_prompt_is_asked_with_where_edits_are_made_for_texts_alone(folder: Path) -> None:
    prepared = [prepare(settings(folder, protocol="free", system=system)) for system in ("Be brief.", None)]
    assert prepared[0].editor.chat is None
    chats = [[asked.prompt for asked in one.cases[0].questions.asks if "<user>" in asked.prompt] for one in prepared]
    assert all(turn.startswith("<system> Be brief.\n<user> ") for turn in chats[0])
    assert not any("<system>" in turn for turn in chats[1])
    assert len(chats[0]) == len(chats[1]) > 0
    with_system, without = (one.manifest.scoring.chat_template for one in prepared)
    assert with_system != without, "its answers depend on it"


def test_methods_that_make_no_edits_for_a_chat_are_named(folder: Path) -> None:
    told = prepare(settings(folder, chat="always", methods="ft:layer=1,grace:layer=1,ike")).notes
    assert [note for note in told if "chat form" in note] == [
        "grace:layer=1, ike: not optimised in the model's chat form, which the method does not do"
    ]
    silent = prepare(settings(folder, methods="grace:layer=1,ike")).notes
    assert not [note for note in silent if "chat form" in note]
