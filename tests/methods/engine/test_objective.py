"""Rows of an objective: the right tokens, scored at the right places, with weights that add up."""

from __future__ import annotations

import pytest

from families import tiny_tokenizer
from kgedit.errors import PromptError, SubjectNotFound, TargetError
from kgedit.lm.tokens import encode_pair
from kgedit.methods.engine.objective import Objective, ObjectiveRow, essence_row, keep_rows, path_rows, target_rows
from kgedit.text.boundary import joined
from kgedit.text.template import fill

KINDS = [
    (kind, bos)
    for kind in ("bytelevel", "bytelevel-spaces", "sentencepiece", "sentencepiece-bare", "unigram")
    for bos in (False, True)
]
EVERY = pytest.mark.parametrize(("kind", "bos"), KINDS)


def text(tok, row: ObjectiveRow) -> str:
    """What the row says, with the last target token that the model never reads."""
    ids = [*row.ids, *row.targets[-1:]]
    return tok.decode(ids, skip_special_tokens=True).strip()


@pytest.mark.parametrize("kind", ["bytelevel", "bytelevel-spaces", "sentencepiece", "sentencepiece-bare"])
@pytest.mark.parametrize(
    "prompt", ['{"country": "{}", "capital": "', "{} is (", "Where is {}?\n", "{}の首都は", "{} is"]
)
def test_what_is_trained_is_what_is_scored(kind: str, prompt: str) -> None:
    tok = tiny_tokenizer(kind)
    rows = target_rows(tok, prompt, "Japan", "Tokyo", ["", 'He said "yes. '])
    ids, target = encode_pair(tok, fill(prompt, "Japan"), "Tokyo")
    assert [row.targets for row in rows] == [target, target]
    assert rows[0].ids == (*ids, *target[:-1])
    assert tok.decode([*ids, *target]).endswith(joined(fill(prompt, "Japan"), "Tokyo")[-8:])


@EVERY
def test_a_target_row_reads_prompt_and_target_and_scores_every_target_token(kind, bos) -> None:
    tok = tiny_tokenizer(kind, bos=bos)
    rows = target_rows(tok, "The capital of {} is", "Japan", "New Tokyo", ["", "I know that. "])
    assert [text(tok, row) for row in rows] == [
        "The capital of Japan is New Tokyo",
        "I know that. The capital of Japan is New Tokyo",
    ]
    for row in rows:
        assert len(row.targets) == len(row.scored) > 1
        assert row.scored[-1] == len(row.ids) - 1
        # The token wanted after a scored position is the one that is read next.
        assert [row.ids[i + 1] for i in row.scored[:-1]] == list(row.targets[:-1])
        assert tok.decode(list(row.targets)).strip() == "New Tokyo"
        assert tok.decode([*row.ids[: row.place + 1]], skip_special_tokens=True).strip().endswith("Japan")
        assert row.scored[0] > row.place
        assert (row.ids[0] == tok.bos_token_id) is bos
    assert rows[0].kind == "target"
    assert [row.weight for row in rows] == [0.5, 0.5]


@EVERY
def test_a_subject_at_either_end_of_its_prompt(kind, bos) -> None:
    tok = tiny_tokenizer(kind, bos=bos)
    (first,) = target_rows(tok, "{} is the capital of", "Paris", "France", [""])
    assert first.place == len(tok("Paris")["input_ids"]) - 1
    (last,) = target_rows(tok, "The capital of France is not {}", "Tokyo", "Paris", [""])
    assert last.scored[0] == last.place


def test_the_context_is_room_for_all_but_the_last_target_token() -> None:
    tok = tiny_tokenizer()
    (whole,) = target_rows(tok, "{} was born in", "Marie Curie", "Princeton", [""])
    (fits,) = target_rows(tok, "{} was born in", "Marie Curie", "Princeton", [""], max_length=len(whole.ids))
    assert fits == whole
    with pytest.raises(PromptError, match="room for"):
        target_rows(tok, "{} was born in", "Marie Curie", "Princeton", [""], max_length=len(whole.ids) - 1)


def test_a_prefix_that_does_not_fit_is_left_out_and_the_others_share_its_weight() -> None:
    tok = tiny_tokenizer()
    prefixes = ["", "The. ", "Therefore the official language of the country of citizenship is Danish. "]
    limit = max(len(row.ids) for row in target_rows(tok, "{} lives in", "Nintendo", "Kyoto", prefixes[:2]))
    rows = target_rows(tok, "{} lives in", "Nintendo", "Kyoto", prefixes, max_length=limit)
    assert rows == target_rows(tok, "{} lives in", "Nintendo", "Kyoto", prefixes[:2])


@pytest.mark.parametrize(("make", "kind"), [(path_rows, "path"), (keep_rows, "keep")])
def test_paths_and_other_facts_share_their_weight(make, kind) -> None:
    tok = tiny_tokenizer()
    facts = [("The capital of the country of {} is", "Tokyo"), ("{} works in the field of", "physics")]
    rows = make(tok, "Nintendo", facts, 0.8)
    assert [row.weight for row in rows] == [0.4, 0.4]
    assert [row.kind for row in rows] == [kind, kind]
    plain = target_rows(tok, *("{} works in the field of", "Nintendo", "physics"), [""])[0]
    assert (rows[1].ids, rows[1].scored, rows[1].place) == (plain.ids, plain.scored, plain.place)
    assert rows[1].targets == (plain.targets if kind == "path" else ())
    assert make(tok, "Nintendo", [], 0.8) == []


@pytest.mark.parametrize("make", [path_rows, keep_rows])
def test_what_the_graph_adds_never_stops_an_edit(make) -> None:
    """A label that the tokenizer cannot write, or a prompt that is too long, goes; the rest shares the weight."""
    tok = tiny_tokenizer("unigram")
    long = "{} is " + "the capital of the country of " * 12
    facts = [("{} was born in", "東京"), (long, "Tokyo"), ("{} died in", "Princeton")]
    (row,) = make(tok, "Albert Einstein", facts, 0.8, max_length=40)
    assert row.weight == 0.8
    assert row == make(tok, "Albert Einstein", facts[2:], 0.8)[0]


@EVERY
def test_the_essence_is_asked_for_right_behind_the_subject(kind, bos) -> None:
    tok = tiny_tokenizer(kind, bos=bos)
    row = essence_row(tok, "Marie Curie", 0.0625)
    assert (row.scored, row.targets) == ((row.place,), ())
    assert tok.decode(list(row.ids), skip_special_tokens=True).strip() == "Marie Curie"
    assert (row.kind, row.weight) == ("essence", 0.0625)


def test_contexts_are_the_rows_of_the_edit_prompt() -> None:
    tok = tiny_tokenizer()
    rows = [
        *target_rows(tok, "{} lives in", "Nintendo", "Kyoto", ["", "The. "]),
        *path_rows(tok, "Nintendo", [("The capital of the country of {} is", "Tokyo")], 1.0),
        essence_row(tok, "Nintendo", 0.1),
    ]
    assert Objective(tuple(rows)).contexts == [0, 1]


@pytest.mark.parametrize(
    ("prompt", "subject", "target", "error"),
    [
        ("{} lives in", "Nintendo", "  ", TargetError),
        ("{} lives in", "Nintendo", "\u200b", TargetError),
        ("{} lives in", " ", "Kyoto", SubjectNotFound),
        ("Nintendo lives in", "Nintendo", "Kyoto", PromptError),
        ("{} lives in {}", "Nintendo", "Kyoto", PromptError),
    ],
)
def test_requests_that_mean_nothing(prompt, subject, target, error) -> None:
    with pytest.raises(error):
        target_rows(tiny_tokenizer("unigram"), prompt, subject, target, [""])
