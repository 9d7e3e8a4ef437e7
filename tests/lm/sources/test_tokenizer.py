"""A GGUF file's tokenizer gives the ids that llama.cpp gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from families import LAYERS, SENTENCES
from kgedit.errors import UnsupportedModel
from kgedit.lm.sources.convert import converted
from kgedit.lm.sources.local import local_source
from kgedit.lm.sources.tokenizer import SPLITS
from llama_cpp import LlamaCpp
from real_model import smollm2_file
from tiny_gguf import write_tiny_llama

NAMES = (
    "Albert Einstein|Søren Kierkegaard|Zürich|naïve café|São Paulo|Łódź|Dvořák|Nguyễn Văn|Reykjavík|Gdańsk|北京|"
    "東京都|서울|Москва|Αθήνα|القاهرة|ירושלים|मुंबई|ประเทศไทย|e\u0301cole|🎉|👨‍👩‍👧 family|O'Brien|McDonald's|"
    "U.S.A.|C++|Jean-Luc|rock & roll|ﬁne|½ cup|x²|№ 5|“quoted”|—dash—|100 %|$5.00|3.14159|1879|7,890.12|٣٤٥|"
    "१२३|2026-11-25"
).split("|")
SHAPES = ("{}", " {}", "  {} 12", "The capital of {} is", "{}\n\n{}")
OTHERS = (
    *SENTENCES, "a  12", "trailing  ", "x\n\n  12 y", "I'M we'LL DON'T don't", "\ttab\r\nnl \n x",
    "\u00a0nbsp\u3000wide", "...\n\n", "  \n\n  a", "a/b_c-d!! ??", " ", "\n", "0", "00 000 0000",
    "", "</s>", "a</s>b </s> c", " <s> a", "<unk>", "<think>", "a <think>  b<think>", "aaaaaaa aaa", "<0x41>",
    "a▁b ▁ c", *(f"a{' ' * count}b" for count in range(2, 24)), *(" " * count for count in range(2, 24)),
)  # fmt: skip
TEXTS = [shape.replace("{}", name) for name in NAMES for shape in SHAPES] + list(OTHERS)


def differing(gguf: Path, cache: Path) -> list[str]:
    tokenizer = AutoTokenizer.from_pretrained(converted(gguf, cache))
    judge = LlamaCpp(gguf)
    return [text for text in TEXTS if judge.tokenize(text) != tokenizer(text).input_ids]


def test_there_are_at_least_200_texts() -> None:
    assert len(set(TEXTS)) >= 200


@pytest.mark.parametrize("split", SPLITS)
def test_every_split_gives_the_ids_of_llama_cpp(split: str, tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    write_tiny_llama(file, split=split, bos=split.startswith("llama"))
    assert differing(file, tmp_path) == []


def test_smollm2_gives_the_ids_of_llama_cpp(tmp_path: Path) -> None:
    assert differing(smollm2_file(), tmp_path) == []


GEMMA = {f"gemma2.attention.{name}": 16 for name in ("key_length", "value_length", "sliding_window")}


@pytest.mark.parametrize(
    ("architecture", "settings"),
    [
        ("llama", {}),
        ("llama", {"add_space_prefix": True, "add_bos_token": False}),
        ("llama", {"add_space_prefix": False, "add_bos_token": None, "add_eos_token": True}),
        ("gemma2", {"add_space_prefix": False}),
    ],
)
def test_sentencepiece_gives_the_ids_of_llama_cpp(
    architecture: str, settings: dict[str, bool | None], tmp_path: Path
) -> None:
    file, gemma = tmp_path / "tiny.gguf", architecture == "gemma2"
    norms = [f"blk.{layer}.post_{part}_norm.weight" for layer in range(LAYERS) for part in ("attention", "ffw")]
    write_tiny_llama(
        file,
        sentencepiece=True,
        bos=True,
        architecture=architecture,
        settings={f"tokenizer.ggml.{name}": value for name, value in settings.items()} | (GEMMA if gemma else {}),
        tensors=dict.fromkeys(norms if gemma else [], np.ones(64, dtype=np.float32)),
    )
    assert differing(file, tmp_path) == []


@pytest.mark.parametrize("prefixed", [True, False])
def test_sentencepiece_text_comes_back_from_its_ids(prefixed: bool, tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    write_tiny_llama(file, sentencepiece=True, settings={"tokenizer.ggml.add_space_prefix": prefixed})
    tokenizer = AutoTokenizer.from_pretrained(converted(file, tmp_path))
    plain = [text for text in TEXTS if "<" not in text and " " * 6 not in text]  # nothing that is matched whole
    decoded = [tokenizer.decode(tokenizer(text).input_ids) for text in plain]
    assert decoded == [text.replace("▁", " ") for text in plain]


def test_an_unknown_split_is_refused_since_its_ids_might_be_wrong(tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    write_tiny_llama(file, split="martian")
    with pytest.raises(UnsupportedModel, match="'martian'"):
        local_source(str(file), tmp_path)
