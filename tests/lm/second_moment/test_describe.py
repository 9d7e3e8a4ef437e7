"""A report says what second moments were made from."""

from __future__ import annotations

from pathlib import Path

import torch

from kgedit.lm.second_moment.describe import moments_note
from kgedit.lm.second_moment.files import moment_file, save_moment
from kgedit.lm.second_moment.matrix import SecondMoment


def test_a_folder_is_told_by_its_tokens_and_text_whichever_layers_it_has(tmp_path: Path) -> None:
    for layer, count, text in ((4, 143_000, "1b2c"), (5, 143_000, "1b2c"), (2, 109, "ffff")):
        key = f"weights=0a corpus={text} length=64"
        save_moment(SecondMoment(layer, torch.eye(3), count, key), moment_file(tmp_path / "MOM", layer))
    (tmp_path / "MOM" / "layer-9.safetensors").write_bytes(b"torn")
    assert moments_note(tmp_path / "MOM") == (
        "second moments: folder MOM, layers 2, 4, 5; made from 109 tokens of the text ffff and "
        "143,000 tokens of the text 1b2c"
    )


def test_what_is_no_folder_is_told_as_well() -> None:
    assert "the identity was asked for" in moments_note("identity")
    assert "kept in the cache" in moments_note("auto")
    assert moments_note("collect") == moments_note("auto")
    assert "bundled model" in moments_note("auto", bundled_texts=True)
