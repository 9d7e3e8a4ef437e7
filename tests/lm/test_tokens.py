"""Positions are right for every tokenizer style and any text; bad requests say what is wrong."""

from __future__ import annotations

import unicodedata
from functools import cache

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from families import SENTENCES, tiny_tokenizer
from kgedit.errors import PromptError, SlowTokenizer, SubjectAmbiguous, SubjectNotFound, TargetError
from kgedit.lm.tokens import as_spelled, encode_pair, encode_prompt, encode_target, encode_text, find_subject
from kgedit.text.template import fill

tokenizer = cache(tiny_tokenizer)
KINDS = ["bytelevel", "bytelevel-spaces", "sentencepiece", "sentencepiece-bare"]
STYLES = [(kind, bos) for kind in KINDS for bos in (False, True)]

# No surrogates; no "▁" and "�", which tokenizers use as marks; no "{" as the slot is written with it.
_characters = st.characters(exclude_categories=["Cs"], exclude_characters="▁\ufffd{}")
_words = st.text(_characters, min_size=1, max_size=12)
_names = _words | st.sampled_from(["Paris", "Søren Kierkegaard", "東京", "🎉", "e\u0301", "1909", "O'Neil, J."])


def _decode(tok: PreTrainedTokenizerFast, ids: tuple[int, ...]) -> str:
    return tok.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)


@pytest.mark.parametrize(("kind", "bos"), STYLES)
@settings(max_examples=120, deadline=None)
@given(subject=_names, before=st.just("") | _words, after=st.just("") | _words, prefix=st.just("") | _words)
@example(subject="Paris", before="", after="", prefix="")
@example(subject="Paris", before="", after=" is", prefix="Paris is Paris. ")
@example(subject="Z", before="The ", after="ürich", prefix="")
def test_the_last_token_is_the_one_that_completes_the_subject(
    kind: str, bos: bool, subject: str, before: str, after: str, prefix: str
) -> None:
    tok = tokenizer(kind, bos=bos)
    subject = subject.strip()
    assume(subject)
    got = encode_prompt(tok, before + "{}" + after, subject, prefix=prefix)
    assume(not got.text.startswith(" "))  # SentencePiece decoding drops one space there, which shifts the oracle
    start = len(prefix) + len(before)
    assert got.text[start : start + len(subject)] == subject
    assert got.ids == encode_text(tok, got.text)
    upto = got.text[: start + len(subject)]
    assert _decode(tok, got.ids[: got.subject_last + 1]).startswith(upto)
    assert not _decode(tok, got.ids[: got.subject_last]).startswith(upto)
    assert _decode(tok, got.ids[got.subject_first :]).lstrip(" \ufffd")  # the rest begins at or before the subject
    assert len(_decode(tok, got.ids[: got.subject_first]).rstrip("\ufffd")) <= start
    assert subject in _decode(tok, got.ids[got.subject_first : got.subject_last + 1])


@pytest.mark.parametrize(("kind", "bos"), [*STYLES, ("unigram", False), ("unigram", True)])
def test_known_positions(kind: str, bos: bool) -> None:
    """Every sentence, with each of its words as subject; the word also stands in the prefix."""
    tok = tokenizer(kind, bos=bos)
    for sentence in SENTENCES:
        word = sentence.split()[2].strip(".,;:")
        template = find_subject(sentence, word) if sentence.split().count(word) == 1 else "{} is"
        got = encode_prompt(tok, template, word, prefix=f"{word}. ")
        piece = _decode(tok, got.ids[got.subject_first : got.subject_last + 1]).strip()
        assert word in piece
        assert word.endswith(_decode(tok, got.ids[got.subject_last : got.subject_last + 1]).strip(" .,"))
        assert (got.ids[0] == tok.bos_token_id) == bos


@pytest.mark.parametrize(("kind", "bos"), STYLES)
def test_a_character_of_several_tokens_is_held_by_all_of_them(kind: str, bos: bool) -> None:
    """An emoji outside the vocabulary takes four byte tokens: the subject ends at the fourth."""
    tok = tokenizer(kind, bos=bos)
    got = encode_prompt(tok, "{} is", "🎉")
    assert _decode(tok, got.ids[got.subject_first : got.subject_last + 1]).strip() == "🎉"
    assert _decode(tok, got.ids[got.subject_first : got.subject_last]).strip() != "🎉"
    assert got.subject_last - got.subject_first >= 3


def test_nothing_follows_the_text_even_if_the_tokenizer_adds_an_end() -> None:
    from tokenizers import processors

    tok = tiny_tokenizer("sentencepiece")
    tok.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    assert tok("is Paris")["input_ids"][-1] == tok.eos_token_id
    assert encode_text(tok, "is Paris") == tuple(tok("is Paris")["input_ids"][:-1])
    got = encode_prompt(tok, "is {}", "Paris")
    assert got.subject_last == len(got.ids) - 1


@pytest.mark.parametrize(("kind", "bos"), [*STYLES, ("unigram", False), ("unigram", True)])
@pytest.mark.parametrize("prompt", ["The capital of France is", "Q: Where? A:", "He was born in 1909 in", "Söre"])
@pytest.mark.parametrize("target", ["Paris", "Zürich", "the Mona Lisa", "1909", "Marie Curie"])
def test_concatenated_ids_equal_running_text(kind: str, bos: bool, prompt: str, target: str) -> None:
    tok = tokenizer(kind, bos=bos)
    ids = encode_target(tok, target)
    assert encode_text(tok, prompt) + ids == encode_text(tok, f"{prompt} {target}")
    assert ids == encode_target(tok, f"  {target} ")
    assert not set(ids) & set(tok.all_special_ids)
    assert _decode(tok, ids).strip() == target


@pytest.mark.parametrize(("kind", "bos"), STYLES)
@settings(max_examples=80, deadline=None)
@given(target=_names)
def test_any_target_continues_any_prompt(kind: str, bos: bool, target: str) -> None:
    assume(target.strip())
    tok = tokenizer(kind, bos=bos)
    joined = encode_text(tok, f"The capital of France is {target.strip()}")
    assert encode_text(tok, "The capital of France is") + encode_target(tok, target) == joined


@pytest.mark.parametrize(("kind", "mark"), [("bytelevel", "Ġ"), ("sentencepiece", "▁"), ("sentencepiece-bare", "▁")])
def test_the_space_is_part_of_the_first_target_token(kind: str, mark: str) -> None:
    tok = tokenizer(kind, bos=True)
    tokens = tok.convert_ids_to_tokens(list(encode_target(tok, "capital")))
    assert tokens == [mark + "capital"]


@pytest.mark.parametrize("target", ["", "   ", "\n", "\u3000"])
def test_an_empty_target_is_refused(target: str) -> None:
    with pytest.raises(TargetError, match="empty"):
        encode_target(tokenizer("bytelevel"), target)


def test_a_target_that_the_tokenizer_cannot_write_is_refused() -> None:
    with pytest.raises(TargetError, match="does not know"):
        encode_target(tokenizer("unigram"), "東京")
    with pytest.raises(TargetError, match="special tokens"):
        encode_target(tokenizer("bytelevel"), "a </s> b")
    with pytest.raises(TargetError, match="Unicode"):
        encode_target(tokenizer("bytelevel"), "\ud800")

    from tokenizers import Regex, normalizers

    dropping = tiny_tokenizer("sentencepiece")
    dropping.backend_tokenizer.normalizer = normalizers.Replace(Regex("[\u200b\u200d]"), "")
    with pytest.raises(TargetError, match="no visible token"):
        encode_target(dropping, "\u200b")
    with pytest.raises(SubjectNotFound, match="drops every character"):
        encode_prompt(dropping, "is {}", "\u200b\u200d")
    got = encode_prompt(dropping, "is {} born", "Paris\u200b")
    assert _decode(dropping, got.ids[got.subject_first : got.subject_last + 1]).strip() == "Paris"


@pytest.mark.parametrize("template", ["no slot", "{} and {}", ""])
def test_a_template_has_one_slot(template: str) -> None:
    with pytest.raises(PromptError, match="slots"):
        encode_prompt(tokenizer("bytelevel"), template, "Paris")


def test_bad_prompts_name_the_value_and_the_way_out() -> None:
    tok = tokenizer("bytelevel", bos=True)
    with pytest.raises(SubjectNotFound, match="empty"):
        encode_prompt(tok, "{} is", "  ")
    with pytest.raises(PromptError, match=r"has \d+ tokens .* room for 6.*Shorten"):
        encode_prompt(tok, "{} is the capital of France and Japan", "Paris", max_length=6)
    exact = encode_prompt(tok, "{} is", "Paris")
    assert encode_prompt(tok, "{} is", "Paris", max_length=len(exact.ids)) == exact
    with pytest.raises(PromptError, match="Unicode"):
        encode_prompt(tok, "{} is", "Pa\udcffris")


def test_braces_other_than_the_slot_are_text() -> None:
    got = encode_prompt(tokenizer("bytelevel"), "f{x} of {} is", "{a}", prefix="{0} ")
    assert got.text == "{0} f{x} of {a} is"


def test_a_space_before_the_target_is_not_doubled() -> None:
    tok = tokenizer("bytelevel")
    assert encode_prompt(tok, "{} is ", "Paris") == encode_prompt(tok, "{} is", "Paris")


def test_a_slow_tokenizer_is_refused() -> None:
    class Slow:
        is_fast = False

    for call in (
        lambda: encode_prompt(Slow(), "{} is", "Paris"),
        lambda: encode_target(Slow(), "Paris"),
        lambda: encode_text(Slow(), "Paris"),
    ):
        with pytest.raises(SlowTokenizer, match="use_fast=True"):
            call()


@pytest.mark.parametrize(
    ("prompt", "subject", "template"),
    [
        ("Paris is in", "Paris", "{} is in"),
        ("The mayor of Paris", "Paris", "The mayor of {}"),
        ("Li lives in Lithuania with Liam", "Li", "{} lives in Lithuania with Liam"),
        ("Paris's mayor", "Paris", "{}'s mayor"),
        ("東京はどこ", "東京", "{}はどこ"),
        ("The mayor of {} ", "Paris", "The mayor of {} "),
        ("Who is Dr. No?", " Dr. No ", "Who is {}?"),
    ],
)
def test_find_subject(prompt: str, subject: str, template: str) -> None:
    assert find_subject(prompt, subject) == template


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_subject_is_found_in_either_unicode_form_and_the_prompt_stays_as_written(form: str) -> None:
    prompt = unicodedata.normalize(form, "The mayor of Bogotá is")
    for other in ("NFC", "NFD"):
        subject = unicodedata.normalize(other, "Bogotá")
        template = find_subject(prompt, subject)
        assert template == "The mayor of {} is"
        assert template.replace("{}", as_spelled(prompt, subject)) == prompt


def test_find_subject_refuses_none_and_many() -> None:
    with pytest.raises(SubjectNotFound, match=r"does not contain 'Rome'; use"):
        find_subject("Paris is in", "Rome")
    with pytest.raises(SubjectNotFound, match="another spelling, or inside"):
        find_subject("The Parisian mayor", "Paris")
    with pytest.raises(SubjectNotFound, match="another spelling"):
        find_subject("paris is in", "Paris")
    with pytest.raises(SubjectNotFound):
        find_subject("Paris is in", "")
    with pytest.raises(SubjectAmbiguous, match="2 times"):
        find_subject("Paris is not Paris, Texas", "Paris")
    with pytest.raises(PromptError, match="2 slots"):
        find_subject("{} is {}", "Paris")


def test_braces_beside_a_subject_that_is_spelled_out_are_refused_and_not_guessed_at() -> None:
    prompt = '{"tags": {}, "country": "France", "capital": "'
    with pytest.raises(SubjectAmbiguous, match=r"both .*\{\}.* and 'France'"):
        find_subject(prompt, "France")
    assert find_subject('{"country": "{}", "capital": "', "France") == '{"country": "{}", "capital": "'
    assert find_subject("Paris visited {}", "Paris", template=True) == "Paris visited {}"


@pytest.mark.parametrize("tokenizer", ["bytelevel", "sentencepiece"])
def test_a_beginning_that_is_written_out_is_not_doubled(tokenizer: str) -> None:
    tok = tiny_tokenizer(tokenizer, bos=True)
    plain = encode_prompt(tok, "The capital of {} is", "France")
    written = encode_prompt(tok, f"{tok.bos_token}The capital of {{}} is", "France")
    assert plain.ids[0] == written.ids[0] == tok.bos_token_id
    assert written.ids.count(tok.bos_token_id) == 1
    ends = [tok.decode(p.ids[p.subject_first : p.subject_last + 1]).strip() for p in (plain, written)]
    assert ends == ["France", "France"]


CLOSE = ("bytelevel", "bytelevel-spaces", "sentencepiece", "sentencepiece-bare")


@pytest.mark.parametrize("kind", CLOSE)
@pytest.mark.parametrize(
    ("prompt", "target"),
    [
        ("问：法国的首都是哪里？答：", "北京"),
        ('{"country": "France", "capital": "', "Paris"),
        ("Where is Kyoto?\n", "Kyoto in Japan"),
        ("The capital (", "Paris"),
        ("born in Baden-", "Baden"),
        ("เมืองหลวงคือ", "กรุงเทพ"),
    ],
)
def test_a_target_without_a_space_before_it(kind: str, prompt: str, target: str) -> None:
    tok = tokenizer(kind)
    ids = (*encode_text(tok, prompt), *encode_target(tok, target, prompt))
    assert _decode(tok, ids) == prompt + target
    assert _decode(tok, (*encode_text(tok, prompt), *encode_target(tok, target, prompt + " "))) == f"{prompt} {target}"


@pytest.mark.parametrize("kind", [*CLOSE, "unigram"])
def test_a_target_behind_a_space_has_the_same_tokens_behind_every_prompt(kind: str) -> None:
    tok = tokenizer(kind)
    assert (
        encode_target(tok, "Paris")
        == encode_target(tok, "Paris", "The capital is")
        == encode_target(tok, "Paris", "首都 ")
    )
    assert encode_target(tok, "Paris", "It is\u2060") == encode_target(tok, "Paris", "(")


def test_a_prompt_is_read_without_its_mark() -> None:
    tok = tokenizer("bytelevel")
    assert encode_prompt(tok, "The capital of {} is\u2060", "France") == encode_prompt(
        tok, "The capital of {} is", "France"
    )
    ids, wanted = encode_pair(tok, "The capital of France is\u2060", "Paris")
    assert _decode(tok, (*ids, *wanted)) == "The capital of France isParis"


def test_literal_braces_beside_a_subject_that_is_spelled_out() -> None:
    prompt = '{"tags": {{}}, "country": "France", "capital": "'
    template = find_subject(prompt, "France")
    assert fill(template, "France") == '{"tags": {}, "country": "France", "capital": "'
    with pytest.raises(SubjectAmbiguous, match=r"\{\{\}\}"):
        find_subject(prompt.replace("{{}}", "{}"), "France")
