"""An edit that is to hold in a chat is optimised there, too; without a chat nothing is different."""

from __future__ import annotations

import pytest
import torch

from families import tiny_model
from kgedit.errors import ChatTemplateError
from kgedit.lm.chat import ChatForm, noted
from kgedit.lm.second_moment.find import IdentityMoment
from kgedit.lm.tokens import encode_pair
from kgedit.methods.base import Method, Request, Workbench
from kgedit.methods.computing import check_chat, compute_each, compute_together
from kgedit.methods.engine.objective import target_rows
from kgedit.methods.finetune import FineTune, FineTuneConfig
from kgedit.methods.glame.config import GlameConfig
from kgedit.methods.glame.method import Glame
from kgedit.methods.grace import Grace, GraceSettings
from kgedit.methods.memit import Memit, MemitConfig
from kgedit.methods.rome import Rome, RomeConfig
from kgedit.text.template import fill

TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}> {{ m['content'] }} {}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>\n{% endif %}"
)
REQUEST = Request("Albert Einstein", "{} is a citizen of", "France", "P27")
METHODS = [
    Rome(RomeConfig(layer=1, steps=3)),
    Memit(MemitConfig(layers=(1,), steps=3, moment_weight=0.01)),
    Glame(GlameConfig(layers=(1,), repr_layer=0, steps=3)),
    FineTune(FineTuneConfig(layer=1, steps=3)),
]
TEXTS_ALONE = Grace(GraceSettings(layer=1, steps=3))


def chat_form(**more: object) -> tuple[object, object, ChatForm | None]:
    model, tokenizer = tiny_model("llama")
    tokenizer.chat_template = TEMPLATE
    return model, tokenizer, ChatForm.chosen("auto", tokenizer, questions={"P27": "Where is {} from?"}, **more)


def test_the_templates_have_one_slot_and_keep_the_braces_of_the_models_template() -> None:
    _, _, form = chat_form(system="Be brief.")
    statement, question = form.templates(REQUEST.prompt, REQUEST.relation)
    assert fill(question, "Marie") == "<system> Be brief. {}\n<user> Where is Marie from? {}\n<assistant>\n"
    assert "<user> Marie is a citizen of {}" in fill(statement, "Marie")
    assert len(form.templates(REQUEST.prompt, "P36")) == 1
    assert noted(form) == {"chat": {"system": "Be brief.", "template": TEMPLATE}}
    assert noted(None) == {}


def test_both_forms_have_half_the_weight_and_a_chat_that_does_not_fit_is_left_out() -> None:
    _, tokenizer, form = chat_form()
    chat = form.templates(REQUEST.prompt, "P27")
    rows = target_rows(tokenizer, REQUEST.prompt, REQUEST.subject, "France", ["", "So. "], chat=chat)
    assert [row.weight for row in rows] == [0.25, 0.25, 0.25, 0.25]
    assert {row.kind for row in rows} == {"target"}
    ids, target = encode_pair(tokenizer, fill(chat[1], REQUEST.subject), "France")
    assert rows[-1].ids == ids + target[:-1]
    longest = max(len(row.ids) for row in rows[:2])
    texts = target_rows(tokenizer, REQUEST.prompt, REQUEST.subject, "France", [""], chat=chat, max_length=longest)
    assert [row.weight for row in texts] == [1.0]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_method_that_says_so_reads_the_chat(method: Method) -> None:
    model, tokenizer, form = chat_form()
    changes = []
    for asked in (None, form):
        bench = Workbench(model, tokenizer, {1: IdentityMoment()}, [""], chat=asked)
        (computed,) = method.compute(bench, [REQUEST], [None])
        changes.append(computed.delta.updates[0].dense())
    assert not torch.allclose(changes[0], changes[1])


@pytest.mark.parametrize("method", [*METHODS, TEXTS_ALONE], ids=lambda method: method.name)
def test_a_manifest_tells_the_chat_form_only_where_the_edit_was_made_in_it(method: Method) -> None:
    model, tokenizer, form = chat_form()
    bench = Workbench(model, tokenizer, {1: IdentityMoment()}, [""], chat=form)
    for made in (compute_each(method, bench, [REQUEST], [None]), compute_together(method, bench, [[(REQUEST, None)]])):
        assert ("chat" in made[0].delta.manifest) == method.takes_chat
    check_chat(method, "auto")
    if method.takes_chat:
        check_chat(method, "always")
    else:
        with pytest.raises(ChatTemplateError, match="grace does not optimise its edits in a chat; choose chat auto"):
            check_chat(method, "always")


def test_a_chat_that_does_not_fit_is_left_out_of_fine_tuning() -> None:
    model, tokenizer, form = chat_form(system="word " * 200)
    changes = []
    for asked in (None, form):
        bench = Workbench(model, tokenizer, {}, [""], chat=asked)
        (computed,) = METHODS[-1].compute(bench, [REQUEST], [None])
        changes.append(computed.delta.updates[0].dense())
    assert torch.equal(changes[0], changes[1])


def test_what_is_chosen() -> None:
    _, tokenizer = tiny_model("llama")
    assert ChatForm.chosen("auto", tokenizer) is None
    with pytest.raises(ChatTemplateError, match="no chat template"):
        ChatForm.chosen("always", tokenizer)
    tokenizer.chat_template = "{{ raise_exception('only pairs') }}"
    assert ChatForm.chosen("never", tokenizer) is None
    with pytest.raises(ChatTemplateError, match="only pairs"):
        ChatForm.chosen("auto", tokenizer)
    tokenizer.chat_template = "no turns"
    with pytest.raises(ChatTemplateError, match="--chat never"):
        ChatForm.chosen("auto", tokenizer)
