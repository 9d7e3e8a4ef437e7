"""C is E[k k^T] exactly, survives a kill to the last bit, and never passes for that of something else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers.utils import logging

from families import CONTEXT, D_FF, FAMILIES, SENTENCES, tiny_model
from kgedit.errors import FileCorrupt, MomentError, MomentMismatch, NoSuchLayer
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.hooks import capture
from kgedit.lm.second_moment.collect import _batches, collect, weights_keys
from kgedit.lm.second_moment.first_tokens import outlying_first_tokens
from kgedit.lm.tokens import encode_text

TEXTS = [*SENTENCES, "", *(a + " " + b for a in SENTENCES[:3] for b in SENTENCES)]


def _plain(model, tok, texts, layer: int, *, skip: int = 0, length: int = CONTEXT) -> tuple[Tensor, int]:  # noqa: ANN001
    """Every text alone, keys in float64: the definition."""
    module = anatomy_of(model).mlp_out(model, layer)
    keys = []
    for text in texts:
        ids = encode_text(tok, text)[:length]
        if ids:
            with torch.no_grad(), capture({"k": module}, inputs=True, rows=1) as found:
                model(input_ids=torch.tensor([ids]))
            keys.append(found["k"][0, skip:].double())
    stacked = torch.cat(keys)
    return stacked.T @ stacked / len(stacked), len(stacked)


@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_the_mean_outer_product_of_the_keys(family: str) -> None:
    model, tok = tiny_model(family)
    texts = TEXTS[::2]
    got = collect(model, tok, texts, [2, 0], batch_tokens=64)
    assert sorted(got) == [0, 2]
    for layer, moment in got.items():
        expected, count = _plain(model, tok, texts, layer)
        assert (moment.layer, moment.count) == (layer, count)
        assert moment.matrix.dtype == torch.float32
        assert moment.matrix.shape == (D_FF, D_FF)
        torch.testing.assert_close(moment.matrix.double(), expected, rtol=1e-5, atol=1e-6)


def test_batching_changes_nothing_that_matters() -> None:
    model, tok = tiny_model("llama", bos=True)
    small = collect(model, tok, TEXTS, [1], batch_tokens=1)[1]
    large = collect(model, tok, iter(TEXTS), [1])[1]
    torch.testing.assert_close(small.matrix, large.matrix, rtol=1e-5, atol=1e-6)
    assert (small.count, small.key) == (large.count, large.key)


def test_a_batch_ends_where_texts_get_much_shorter_once_it_is_large_enough() -> None:
    texts = [(1,) * length for length in (50, 100, 98, 50, 100, 100, 50)]
    lengths = [list(map(len, batch)) for batch in _batches(texts, 1000, 300)]
    assert lengths == [[100, 100, 100, 98], [50, 50, 50]]
    # Smaller than that it takes what it gets, and no batch is larger than the limit.
    assert [len(batch) for batch in _batches(texts, 1000, 1000)] == [7]
    assert [len(batch) for batch in _batches(texts, 350, 1000)] == [3, 3, 1]


def test_first_tokens_and_ends_can_be_left_out() -> None:
    model, tok = tiny_model("llama", bos=True)
    got = collect(model, tok, TEXTS, [1], skip_first=True, max_length=7)[1]
    expected, count = _plain(model, tok, TEXTS, 1, skip=1, length=7)
    assert got.count == count
    torch.testing.assert_close(got.matrix.double(), expected, rtol=1e-5, atol=1e-6)


def test_the_key_changes_with_everything_the_statistics_depend_on() -> None:
    model, tok = tiny_model("gpt2")
    base = collect(model, tok, TEXTS, [1], max_length=20)[1].key
    assert collect(model, tok, TEXTS, [0, 1], max_length=20)[1].key == base
    other = {
        "length": collect(model, tok, TEXTS, [1], max_length=21)[1].key,
        "first tokens": collect(model, tok, TEXTS, [1], max_length=20, skip_first=True)[1].key,
        "texts": collect(model, tok, [*TEXTS, "One more."], [1], max_length=20)[1].key,
        "order": collect(model, tok, TEXTS[::-1], [1], max_length=20)[1].key,
        "tokenizer": collect(model, tiny_model("gpt2", bos=True)[1], TEXTS, [1], max_length=20)[1].key,
        "weights": collect(tiny_model("gpt2", seed=1)[0], tok, TEXTS, [1], max_length=20)[1].key,
        "dtype": collect(model.to(torch.bfloat16), tok, TEXTS, [1], max_length=20)[1].key,
    }
    assert len({base, *other.values()}) == len(other) + 1


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_below_count_and_the_edited_matrix_does_not(family: str) -> None:
    model, _ = tiny_model(family)
    row = anatomy_of(model)
    before = weights_keys(model, [0, 1, 2])
    assert len(set(before.values())) == 3
    with torch.no_grad():
        row.weight(model, 1)[0, 0] += 1
    after = weights_keys(model, [0, 1, 2])
    assert (after[0], after[1]) == (before[0], before[1])
    assert after[2] != before[2]
    with torch.no_grad():
        model.get_input_embeddings().weight[7, 7] += 1
    assert not set(weights_keys(model, [0, 1, 2]).values()) & set(after.values())
    assert weights_keys(model, []) == {}


def test_bad_requests() -> None:
    model, tok = tiny_model("gpt2")
    with pytest.raises(NoSuchLayer):
        collect(model, tok, TEXTS, [3])
    with pytest.raises(MomentError, match="none of the 2 texts"):
        collect(model, tok, ["", ""], [0])
    with torch.no_grad():
        model.transformer.wte.weight[:, 0] = torch.nan
    with pytest.raises(MomentError, match=r"layer 0 are not finite.*float16 overflows"):
        collect(model, tok, TEXTS, [0])
    assert not any(m._forward_pre_hooks for m in model.modules())
    assert collect(model, tok, TEXTS, []) == {}


def test_progress_counts_texts_and_tokens() -> None:
    model, tok = tiny_model("gpt2")
    seen: list[tuple[int, int]] = []
    got = collect(model, tok, TEXTS, [0], batch_tokens=8, progress=lambda *n: seen.append(n))
    assert seen == sorted(seen)
    assert len(seen) > 5
    assert seen[-1] == (len(TEXTS), got[0].count)


CHILD = textwrap.dedent("""
    import sys, time
    sys.path[:0] = [sys.argv[1], sys.argv[2]]
    from pathlib import Path
    from families import tiny_model
    from kgedit.lm.second_moment.collect import collect
    from test_collect import TEXTS

    def slowly():
        for number, text in enumerate(TEXTS * 4):
            yield text
            time.sleep(0.05 if number >= 64 else 0)  # the first checkpoint comes at once, the rest takes seconds

    model, tok = tiny_model("gpt2")
    collect(model, tok, slowly(), [0, 2], batch_tokens=16, checkpoint_dir=Path(sys.argv[3]),
    checkpoint_seconds=0)
""")


def test_a_killed_collection_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    here = Path(__file__).parent
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(here.parents[1]), str(here), str(tmp_path)])
    try:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("moments-*.part")):
            assert child.poll() is None, "the child ended before its first checkpoint"
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL

    model, tok = tiny_model("gpt2")
    whole = collect(model, tok, TEXTS * 4, [0, 2], batch_tokens=16)
    seen: list[tuple[int, int]] = []
    resumed = collect(
        model,
        tok,
        iter(TEXTS * 4),
        [0, 2],
        batch_tokens=16,
        checkpoint_dir=tmp_path,
        progress=lambda *n: seen.append(n),
    )
    fresh: list[tuple[int, int]] = []
    collect(model, tok, TEXTS * 4, [0, 2], batch_tokens=16, progress=lambda *n: fresh.append(n))
    assert len(seen) < len(fresh)
    assert seen == fresh[-len(seen) :]
    for layer in (0, 2):
        assert torch.equal(resumed[layer].matrix, whole[layer].matrix)
        assert (resumed[layer].count, resumed[layer].key) == (whole[layer].count, whole[layer].key)
    assert list(tmp_path.iterdir()) == []


class _Killed(Exception):
    pass


def _interrupted(folder: Path) -> Path:
    """Leave a checkpoint behind, as a kill does, after more than ten texts."""

    def stop(texts: int, tokens: int) -> None:
        if texts > 10:
            raise _Killed

    model, tok = tiny_model("gpt2")
    with pytest.raises(_Killed):
        collect(
            model,
            tok,
            TEXTS,
            [0],
            batch_tokens=8,
            checkpoint_dir=folder,
            checkpoint_seconds=0,
            progress=stop,
        )
    [path] = folder.iterdir()
    return path


@pytest.mark.parametrize("texts", [TEXTS[1:], TEXTS[:3], [*TEXTS[:8], "Another.", *TEXTS[9:]]])
def test_a_checkpoint_of_other_texts_is_refused_and_kept(tmp_path: Path, texts: list[str]) -> None:
    path = _interrupted(tmp_path)
    before = path.read_bytes()
    model, tok = tiny_model("gpt2")
    with pytest.raises(MomentMismatch, match=r"corpus=[0-9a-f]{32}.* corpus=[0-9a-f]{32}"):
        collect(model, tok, texts, [0], batch_tokens=8, checkpoint_dir=tmp_path)
    assert path.read_bytes() == before


def test_a_checkpoint_of_other_weights_or_lengths_is_not_touched(tmp_path: Path) -> None:
    path = _interrupted(tmp_path)
    before = path.read_bytes()
    model, tok = tiny_model("gpt2")
    got = collect(model, tok, TEXTS, [0], checkpoint_dir=tmp_path, max_length=5)[0]
    assert torch.equal(got.matrix, collect(model, tok, TEXTS, [0], max_length=5)[0].matrix)
    other, _ = tiny_model("gpt2", seed=1)
    got = collect(other, tok, TEXTS, [0], checkpoint_dir=tmp_path)[0]
    assert torch.equal(got.matrix, collect(other, tok, TEXTS, [0])[0].matrix)
    assert path.read_bytes() == before


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    path = _interrupted(tmp_path)
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    model, tok = tiny_model("gpt2")
    with pytest.raises(FileCorrupt, match=path.name):
        collect(model, tok, TEXTS, [0], batch_tokens=8, checkpoint_dir=tmp_path)


def test_a_text_that_begins_with_the_token_of_padding_is_no_reason_for_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    library = logging.get_logger("transformers")
    library.addHandler(caplog.handler)
    model, tok = tiny_model("gpt2", bos=True)
    model.config.pad_token_id = tok.bos_token_id
    logging.warning_once.cache_clear()  # it says everything once a process
    outlying_first_tokens(model, tok, [SENTENCES[0]], [1])
    collect(model, tok, TEXTS, [1])
    library.removeHandler(caplog.handler)
    assert caplog.messages == []
