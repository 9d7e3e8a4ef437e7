"""Tiny random models of every family in the table, with tokenizers trained in code; no download, no
fixture files.

Sizes are chosen so that nothing fits by accident: d = 32, d_ff = 88, 3 blocks, grouped heads where the
family has them, a sliding window shorter than the test texts, non-zero biases, weights large enough that
every part matters.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from itertools import combinations
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

D, D_FF, LAYERS, CONTEXT = 32, 88, 3, 128

_LLAMA_LIKE: dict[str, Any] = {
    "hidden_size": D,
    "intermediate_size": D_FF,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": CONTEXT,
}
_GPT_LIKE: dict[str, Any] = {
    "n_embd": D,
    "n_inner": D_FF,
    "n_layer": LAYERS,
    "n_head": 4,
    "n_positions": CONTEXT,
}

_CONFIGS: dict[str, dict[str, Any]] = {
    "gpt2": _GPT_LIKE,
    "gptj": {**_GPT_LIKE, "rotary_dim": 4},
    "gpt_neox": {
        "hidden_size": D,
        "intermediate_size": D_FF,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "max_position_embeddings": CONTEXT,
    },
    "opt": {
        "hidden_size": D,
        "word_embed_proj_dim": D,
        "ffn_dim": D_FF,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "max_position_embeddings": CONTEXT,
    },
    "llama": _LLAMA_LIKE,
    "mistral": {**_LLAMA_LIKE, "sliding_window": 6},
    "qwen2": _LLAMA_LIKE,
    "qwen3": _LLAMA_LIKE,
    "gemma": _LLAMA_LIKE,
    "gemma2": {
        **_LLAMA_LIKE,
        "sliding_window": 6,
        "query_pre_attn_scalar": 8,
        "attn_logit_softcapping": 5.0,
        "final_logit_softcapping": 3.0,
    },
    "phi3": {key: value for key, value in _LLAMA_LIKE.items() if key != "head_dim"},
    "gemma3_text": {**_LLAMA_LIKE, "sliding_window": 6, "query_pre_attn_scalar": 8},
    "smollm3": {**_LLAMA_LIKE, "no_rope_layers": [1, 0, 1]},
    "olmo2": _LLAMA_LIKE,
    "granite": {**_LLAMA_LIKE, "residual_multiplier": 0.3, "embedding_multiplier": 4.0, "attention_multiplier": 0.2},
}

FAMILIES = list(_CONFIGS)
"""Every kind of block, by a family that has it; the tests of every part of the program run through these."""

UNLIKE = ("gpt2", "gemma2", "llama")
"""Families that have little in common; where all cost much, these are tried more thoroughly than the others."""

_WITHOUT_HEAD_DIM = {key: value for key, value in _LLAMA_LIKE.items() if key != "head_dim"}
_WINDOW = {**_LLAMA_LIKE, "sliding_window": 6}
_ALIKE: dict[str, dict[str, Any]] = {
    "apertus": _LLAMA_LIKE,
    "arcee": _LLAMA_LIKE,
    "biogpt": {key: value for key, value in _WITHOUT_HEAD_DIM.items() if key != "num_key_value_heads"},
    "codegen": {**_GPT_LIKE, "rotary_dim": 4},
    "cohere": _LLAMA_LIKE,
    "cohere2": _WINDOW,
    "cwm": _WINDOW,
    "diffllama": _LLAMA_LIKE,
    "ernie4_5": _LLAMA_LIKE,
    "exaone4": _WINDOW,
    "glm": _LLAMA_LIKE,
    "glm4": _LLAMA_LIKE,
    "gpt_bigcode": _GPT_LIKE,
    "gpt_neo": {
        "hidden_size": D,
        "intermediate_size": D_FF,
        "num_layers": LAYERS,
        "num_heads": 4,
        "attention_types": [[["global", "local", "global"], 1]],
        "window_size": 6,
        "max_position_embeddings": CONTEXT,
    },
    "granite_swa": {**_WINDOW, "residual_multiplier": 0.3},
    "helium": _LLAMA_LIKE,
    "hunyuan_v1_dense": _LLAMA_LIKE,
    "hyperclovax": {**_LLAMA_LIKE, "residual_multiplier": 0.3, "embedding_multiplier": 4.0},
    "internlm3": _LLAMA_LIKE,
    "iquestcoder": _LLAMA_LIKE,
    "jais2": _LLAMA_LIKE,
    "ministral": _WINDOW,
    "ministral3": _LLAMA_LIKE,
    "nanochat": _WITHOUT_HEAD_DIM,
    "nemotron": _LLAMA_LIKE,
    "olmo": _WITHOUT_HEAD_DIM,
    "olmo3": _WINDOW,
    "persimmon": _WITHOUT_HEAD_DIM,
    "phi": _WITHOUT_HEAD_DIM,
    "seed_oss": _LLAMA_LIKE,
    "stablelm": _WITHOUT_HEAD_DIM,
    "starcoder2": _WITHOUT_HEAD_DIM,
    "vaultgemma": {**_WINDOW, "query_pre_attn_scalar": 8},
    "xglm": {
        "d_model": D,
        "ffn_dim": D_FF,
        "num_layers": LAYERS,
        "attention_heads": 4,
        "max_position_embeddings": CONTEXT,
    },
    "youtu": {
        **_WITHOUT_HEAD_DIM,
        "num_key_value_heads": 4,
        "q_lora_rank": None,
        "kv_lora_rank": 16,
        "qk_rope_head_dim": 8,
        "qk_nope_head_dim": 8,
        "v_head_dim": 8,
    },
}

ALIKE = list(_ALIKE)
"""Families whose blocks are built like one of `FAMILIES`: tested where the table itself is."""

SENTENCES = (
    "Albert Einstein was born in Ulm and died in Princeton.",
    "The capital of France is Paris, and the capital of Japan is Tokyo.",
    "Marie Curie works in the field of physics. She is a citizen of Poland and France.",
    "The mother tongue of Søren Kierkegaard is Danish; he was born in Copenhagen.",
    "Therefore the official language of the country of citizenship of the author is German.",
    "Because I know that you and I were employed by the University of Zürich in 1909.",
    "Q: Where is the headquarters of Nintendo? A: Kyoto",
    "Leonardo da Vinci painted the Mona Lisa, which hangs in the Louvre.",
)


def tiny_tokenizer(kind: str = "bytelevel", *, bos: bool = False) -> PreTrainedTokenizerFast:
    """A tokenizer of about 400 tokens.

    Args:
        kind: "bytelevel" (GPT-2 style, offsets without the leading space), "bytelevel-spaces" (the same,
            offsets with it), "sentencepiece" (Llama-2 style BPE with byte fallback), "sentencepiece-bare"
            (Gemma style: no space is put before the text), "unigram" (T5 style).
        bos: Every text begins with "<s>".
    """
    special = ["<unk>", "<s>", "</s>", "<pad>"]
    if kind.startswith("bytelevel"):
        tok = Tokenizer(models.BPE())
        tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tok.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=420, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        )
        tok.train_from_iterator(SENTENCES, trainer)
    elif kind == "unigram":
        tok = _unigram(special)
    else:
        tok = _sentencepiece_bpe(special, bare=kind == "sentencepiece-bare")
    steps = [processors.ByteLevel(trim_offsets=kind == "bytelevel")] if kind.startswith("bytelevel") else []
    if bos:
        steps.append(processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)]))
    if steps:
        tok.post_processor = processors.Sequence(steps)
    return PreTrainedTokenizerFast(
        tokenizer_object=tok,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        model_input_names=["input_ids", "attention_mask"],
    )


def _unigram(special: list[str]) -> Tokenizer:
    """Pieces and scores from counts: the library's trainer gives other pieces in every process."""
    words = Counter(f"\u2581{word}" for sentence in SENTENCES for word in sentence.split())
    pieces: Counter[str] = Counter()
    for word, count in words.items():
        for start, end in combinations(range(len(word) + 1), 2):
            pieces[word[start:end]] += count * (end - start)
    ranked = sorted(pieces.items(), key=lambda item: (len(item[0]) > 1, -item[1], item[0]))[: 400 - len(special)]
    total = sum(count for _, count in ranked)
    scored = [(piece, math.log(count / total)) for piece, count in ranked]
    tok = Tokenizer(models.Unigram([*((name, 0.0) for name in special), *scored], unk_id=0))
    tok.add_special_tokens(special)
    tok.pre_tokenizer = pre_tokenizers.Metaspace()
    tok.decoder = decoders.Metaspace()
    return tok


def _sentencepiece_bpe(special: list[str], *, bare: bool) -> Tokenizer:
    scheme = "never" if bare else "first"
    trained = Tokenizer(models.BPE(unk_token="<unk>"))
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trained.train_from_iterator(
        SENTENCES, trainers.BpeTrainer(vocab_size=200, special_tokens=special, show_progress=False)
    )
    inner = json.loads(trained.to_str())["model"]
    # Byte tokens come after the special ones, as in Llama's vocabulary; the trainer cannot make them.
    vocab = {token: i for i, token in enumerate(special)}
    for byte in range(256):
        vocab[f"<0x{byte:02X}>"] = len(vocab)
    for token in sorted(inner["vocab"], key=inner["vocab"].get):
        vocab.setdefault(token, len(vocab))
    merges = [tuple(pair) for pair in inner["merges"]]
    tok = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tok.add_special_tokens(special)
    tok.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=True)
    tok.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
        + ([] if bare else [decoders.Strip(" ", 1, 0)])
    )
    return tok


def tiny_model(
    family: str, *, seed: int = 0, bos: bool = False, tokenizer: str = "bytelevel", **overrides: Any
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A random model of a family in eval mode, with its tokenizer.

    Args:
        family: One of `FAMILIES`.
        seed: Of the weights; the global generator is left alone.
        bos: The tokenizer begins every text with "<s>".
        tokenizer: See `tiny_tokenizer`.
        overrides: Config fields to change.
    """
    tok = tiny_tokenizer(tokenizer, bos=bos)
    fields = {
        **(_CONFIGS | _ALIKE)[family],
        "vocab_size": len(tok) + 5,  # padded beyond the tokenizer, as in GPT-J
        "bos_token_id": tok.bos_token_id,
        "eos_token_id": tok.eos_token_id,
        "pad_token_id": tok.pad_token_id,
        **overrides,
    }
    config = CONFIG_MAPPING[family](**fields)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() > 1:
                parameter.copy_(0.2 * noise)
            else:
                parameter.add_(0.1 * noise)
    return model.eval(), tok
