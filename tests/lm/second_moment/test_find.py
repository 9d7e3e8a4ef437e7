"""Second moments for the edit layers: where they come from, and what the user is told."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest
import torch

from families import D_FF, SENTENCES, tiny_model
from kgedit.errors import FileCorrupt, MomentError, MomentMismatch
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.second_moment.collect import collect, origin_of, weights_keys
from kgedit.lm.second_moment.files import moment_file, save_moment
from kgedit.lm.second_moment.find import (
    IdentityMoment,
    check_same_texts,
    collect_into_cache,
    find_moments,
    identity_note,
    missing_layers,
)
from kgedit.lm.second_moment.matrix import SecondMoment

TEXTS = SENTENCES * 5


@pytest.fixture(scope="module")
def gpt2():
    return tiny_model("gpt2")


@pytest.fixture
def folder(gpt2, tmp_path):
    """What `kgedit moments` leaves behind, for layers 0 and 2."""
    for layer, moment in collect(*gpt2, TEXTS, [0, 2]).items():
        save_moment(moment, moment_file(tmp_path / "moments", layer))
    return tmp_path / "moments"


def never(texts: int, tokens: int) -> None:
    raise AssertionError("nothing should be collected")


def test_the_identity_gives_keys_back_and_is_said_aloud(gpt2, tmp_path) -> None:
    moments, notes = find_moments(*gpt2, [0, 2], source="identity", cache_dir=tmp_path, texts=TEXTS, progress=never)
    keys = torch.randn(3, D_FF)
    assert set(moments) == {0, 2}
    assert torch.equal(moments[2].solve(keys), keys.double())
    assert "identity" in notes[0] or "C = I" in notes[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["text", "path"])
def test_a_folder_of_statistics(gpt2, folder, tmp_path, kind) -> None:
    moments, notes = find_moments(*gpt2, [2, 0], source=kind(folder), cache_dir=tmp_path / "cache", progress=never)
    expected = collect(*gpt2, TEXTS, [0, 2])
    assert notes == ()
    for layer in (0, 2):
        assert torch.equal(moments[layer].matrix, expected[layer].matrix)
        assert moments[layer].layer == layer


def test_a_folder_that_lacks_a_layer_names_folder_and_layers(gpt2, folder, tmp_path) -> None:
    with pytest.raises(MomentError, match=r"moments has no statistics of layers \[1\].*kgedit moments"):
        find_moments(*gpt2, [0, 1], source=folder, cache_dir=tmp_path)
    with pytest.raises(MomentError, match=r"\[0\]"):
        find_moments(*gpt2, [0], source="no/such folder", cache_dir=tmp_path)


def test_statistics_of_other_weights_are_refused(folder, tmp_path) -> None:
    other, tok = tiny_model("gpt2", seed=1)
    with pytest.raises(MomentMismatch, match="other weights"):
        find_moments(other, tok, [0], source=folder, cache_dir=tmp_path)


def test_an_edit_of_its_own_layer_leaves_the_statistics_valid_one_below_does_not(folder, tmp_path) -> None:
    model, tok = tiny_model("gpt2")
    with torch.no_grad():
        anatomy_of(model).weight(model, 2).add_(0.1)
    find_moments(model, tok, [2], source=folder, cache_dir=tmp_path)
    with torch.no_grad():
        anatomy_of(model).weight(model, 0).add_(0.1)
    find_moments(model, tok, [0], source=folder, cache_dir=tmp_path)
    with pytest.raises(MomentMismatch):
        find_moments(model, tok, [2], source=folder, cache_dir=tmp_path)


def test_a_damaged_file_is_refused(gpt2, folder, tmp_path) -> None:
    file = moment_file(folder, 0)
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)
    with pytest.raises(FileCorrupt):
        find_moments(*gpt2, [0], source=folder, cache_dir=tmp_path)


def test_auto_collects_once_and_then_reads_its_cache(gpt2, tmp_path) -> None:
    calls: list[tuple[int, int]] = []
    first, notes = find_moments(
        *gpt2,
        [0, 2],
        source="auto",
        cache_dir=tmp_path,
        texts=TEXTS,
        progress=lambda texts, tokens: calls.append((texts, tokens)),
    )
    assert notes == ()
    assert calls[-1][0] == len(TEXTS)
    again, notes = find_moments(*gpt2, [0, 2], source="auto", cache_dir=tmp_path, texts=TEXTS, progress=never)
    assert notes == ()
    expected = collect(*gpt2, TEXTS, [0, 2])
    for layer in (0, 2):
        assert isinstance(again[layer], SecondMoment)
        assert torch.equal(first[layer].matrix, again[layer].matrix)
        assert torch.equal(first[layer].matrix, expected[layer].matrix)


def test_auto_collects_only_what_is_missing(gpt2, tmp_path) -> None:
    find_moments(*gpt2, [0], source="auto", cache_dir=tmp_path, texts=TEXTS)
    files = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.safetensors")}
    moments, _ = find_moments(*gpt2, [0, 1], source="auto", cache_dir=tmp_path, texts=TEXTS)
    assert set(moments) == {0, 1}
    assert {file: file.stat().st_mtime_ns for file in files} == files


def test_other_texts_and_other_weights_have_their_own_place_in_the_cache(gpt2, tmp_path) -> None:
    one, _ = find_moments(*gpt2, [1], source="auto", cache_dir=tmp_path, texts=TEXTS)
    two, _ = find_moments(*gpt2, [1], source="auto", cache_dir=tmp_path, texts=TEXTS[:3])
    other, tok = tiny_model("gpt2", seed=1)
    three, _ = find_moments(other, tok, [1], source="auto", cache_dir=tmp_path, texts=TEXTS)
    found = [moments[1].matrix for moments in (one, two, three)]
    assert not torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    again, _ = find_moments(*gpt2, [1], source="auto", cache_dir=tmp_path, texts=TEXTS, progress=never)
    assert torch.equal(again[1].matrix, found[0])


def test_auto_without_texts_takes_what_was_collected_else_the_identity_with_a_note(gpt2, folder, tmp_path) -> None:
    cache = tmp_path / "cache"
    moments, notes = find_moments(*gpt2, [0, 2], source="auto", cache_dir=cache)
    assert notes == (identity_note(gpt2[0]),)
    assert all(isinstance(moment, IdentityMoment) for moment in moments.values())
    weights = weights_keys(gpt2[0], [0, 2])
    for layer in (0, 2):
        place = moment_file(cache / "moments" / f"{weights[layer][:16]}-user", layer)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(moment_file(folder, layer), place)
    moments, notes = find_moments(*gpt2, [0, 2], source="auto", cache_dir=cache)
    assert notes == ()
    assert all(isinstance(moment, SecondMoment) for moment in moments.values())


def test_the_model_is_left_alone(tmp_path) -> None:
    model, tok = tiny_model("gpt2")
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    find_moments(model, tok, [1], source="auto", cache_dir=tmp_path, texts=TEXTS)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_what_was_collected_on_request_is_found_from_then_on(gpt2, tmp_path) -> None:
    def facts() -> list[str]:
        return TEXTS

    _, notes = find_moments(*gpt2, [0, 2], source="auto", cache_dir=tmp_path, facts=facts)
    assert notes == (identity_note(gpt2[0]),)
    assert missing_layers(gpt2[0], [0, 2], tmp_path) == [0, 2]
    first, notes = find_moments(*gpt2, [0, 2], source="collect", cache_dir=tmp_path, facts=facts)
    assert (notes, missing_layers(gpt2[0], [0, 1, 2], tmp_path)) == ((), [1])
    again, _ = find_moments(*gpt2, [2], source="auto", cache_dir=tmp_path, progress=never)
    assert torch.equal(again[2].matrix, first[2].matrix)


def test_the_advice_is_to_collect_in_the_precision_in_which_the_model_is_loaded(tmp_path) -> None:
    model, tok = tiny_model("gpt2")
    collect_into_cache(model, tok, lambda: TEXTS, [1], tmp_path)
    model.to(torch.bfloat16)  # as --dtype bfloat16 loads it
    _, (note,) = find_moments(model, tok, [1], source="auto", cache_dir=tmp_path)
    assert "`kgedit moments --model MODEL --dtype bfloat16`" in note
    collect_into_cache(model, tok, lambda: TEXTS, [1], tmp_path)
    assert find_moments(model, tok, [1], source="auto", cache_dir=tmp_path)[1] == ()


def test_statistics_of_several_texts_are_not_put_into_one_folder_and_are_told_where_they_are(
    gpt2, folder, tmp_path
) -> None:
    def origin(texts: list[str], **settings: int) -> Callable[[], str]:
        return lambda: origin_of(*gpt2, texts, **settings)

    check_same_texts(folder, [1], origin(TEXTS))
    check_same_texts(folder, [0, 2], origin(TEXTS[1:]))  # all layers anew
    for other in (origin(TEXTS[1:]), origin(TEXTS, max_length=5), origin(TEXTS, skip_first=1)):
        with pytest.raises(MomentMismatch, match=r"holds layer 0 over other texts.*corpus="):
            check_same_texts(folder, [1, 2], other)
    moments, notes = find_moments(*gpt2, [0, 2], source=folder, cache_dir=tmp_path)
    assert notes == ()
    for layer, moment in collect(*gpt2, TEXTS[1:], [2]).items():
        save_moment(moment, moment_file(folder, layer))
    moments, notes = find_moments(*gpt2, [0, 2], source=folder, cache_dir=tmp_path)
    assert "layers [0]" in notes[0]
    assert "layers [2]" in notes[0]
    assert moments[0].origin == origin(TEXTS)()


def test_statistics_of_few_tokens_are_said_to_be_weak(gpt2, tmp_path) -> None:
    """Ten tokens a dimension of the key are advised; 109 for 1,536 dimensions decide nothing."""
    for name, texts in (("few", SENTENCES[:1]), ("enough", SENTENCES * 5)):
        for layer, moment in collect(*gpt2, texts, [0]).items():
            save_moment(moment, moment_file(tmp_path / name, layer))
    moments, (note,) = find_moments(*gpt2, [0], source=tmp_path / "few", cache_dir=tmp_path)
    assert f"{moments[0].count} tokens, where {10 * D_FF:,} or more" in note
    assert "kgedit moments" in note
    assert find_moments(*gpt2, [0], source=tmp_path / "enough", cache_dir=tmp_path)[1] == ()
