"""A question in chat form has the tokens that the model's own template gives, once."""

from __future__ import annotations

import pytest

from families import tiny_tokenizer
from kgedit.errors import ChatTemplateError
from kgedit.lm.chat import in_chat_form
from kgedit.lm.tokens import encode_text

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("system", [None, "Be brief."])
def test_the_tokens_are_those_of_the_template(bos: bool, system: str | None) -> None:
    tokenizer = tiny_tokenizer(bos=bos)
    tokenizer.chat_template = TEMPLATE
    turns = [{"role": "system", "content": system}] if system else []
    turns += [{"role": "user", "content": "Where was Albert Einstein born?"}]
    expected = tokenizer.apply_chat_template(turns, tokenize=True, add_generation_prompt=True, return_dict=False)
    text = in_chat_form(tokenizer, "Where was Albert Einstein born?", system=system)
    assert list(encode_text(tokenizer, text)) == list(expected)


@pytest.mark.parametrize(
    ("template", "says"),
    [
        (None, "no chat template"),
        ("{{ raise_exception('only pairs') }}", "only pairs"),
        ("{% for", "fails"),
        ("{{ messages[0].content.nothing.at_all }}", "fails"),
        ("{{ 1 // 0 }}", "ZeroDivisionError"),
        ("{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}", "RecursionError"),
        ("{{ messages[0].__class__.__mro__ }}", "unsafe"),
        ("{% set nothing = 1 %}", "gives no text"),
        ({"tool_use": "{{ messages }}"}, "default"),
    ],
)
def test_a_template_that_fails_is_one_clear_error(template: object, says: str) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    with pytest.raises(ChatTemplateError, match=says) as caught:
        in_chat_form(tokenizer, "Who?")
    assert "\n" not in str(caught.value)
