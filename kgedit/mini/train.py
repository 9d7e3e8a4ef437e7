"""Train the bundled model from the snapshot: `python -m kgedit.mini.train [--out DIR] [--epochs N]`, or `make mini`.

A GPT-2 architecture of 6 layers and width 192 with wide MLPs (2,560), so that edits find room for their keys; a
byte-level BPE of 4,096 tokens; every epoch states each fact twice and each trained chain once, in wordings drawn anew.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import random
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import safetensors.torch
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn.functional import cross_entropy
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from kg_cache import snapshot
from kgedit.graph.verbalize import Verbalizer
from kgedit.io.atomic_files import write_files
from kgedit.io.existing import refuse_existing
from kgedit.lm.scoring.right_answers import SENTENCE, STYLE
from kgedit.mini import corpus

log = logging.getLogger(__name__)

END = "<|endoftext|>"
FACTS_FILE = "facts.tsv"
FACTS, CHAINS, HELD_OUT = 6300, {2: 8000, 3: 3500, 4: 1600}, 0.12
CONTEXT, BATCH_TOKENS, ROW_LENGTHS = 128, 2048, (32, 64, 128)
LEARNING_RATE, WARM_UP, WEIGHT_DECAY = 2e-3, 300, 0.1
PROMPT_WEIGHT = 0.25  # the loss of prompt tokens; objects weigh 1


def build_tokenizer(texts: Iterable[str], size: int = 4096) -> PreTrainedTokenizerFast:
    """Train the byte-level BPE; `model_input_names` leaves out token types, which GPT-2 would add to embeddings."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=size, special_tokens=[END], initial_alphabet=alphabet)
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=bpe,
        eos_token=END,
        bos_token=END,
        pad_token=END,
        model_max_length=CONTEXT,
        model_input_names=["input_ids", "attention_mask"],
    )


def build_model(vocabulary: int) -> GPT2LMHeadModel:
    """The untrained model."""
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=vocabulary,
            n_positions=CONTEXT,
            n_embd=192,
            n_layer=6,
            n_head=6,
            n_inner=2560,
            activation_function="gelu_pytorch_tanh",  # GPT-2's own function, in one kernel
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=0,
            eos_token_id=0,
            pad_token_id=0,
        )
    )


def rows(
    pairs: list[tuple[str, str]], tokenizer: PreTrainedTokenizerFast, rng: random.Random
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Pack sentences into batches of token ids and loss weights, both (batch, length); every row begins a sentence."""
    encode = tokenizer.backend_tokenizer.encode
    queue: list[tuple[list[int], list[float]]] = []
    length = rng.choice(ROW_LENGTHS)
    ids: list[int] = []
    weights: list[float] = []
    for prompt, answer in pairs:
        joint = "" if not ids else ("\n" if rng.random() < 0.3 else " ")
        if not ids and rng.random() < 0.2:
            ids, weights = [0], [0.0]
        start = encode(joint + prompt).ids if joint != "\n" else encode(joint).ids + encode(prompt).ids
        end = encode(f" {answer}.").ids
        ids += start + end
        weights += [PROMPT_WEIGHT] * len(start) + [1.0] * len(end)
        if len(ids) >= length:
            queue.append((ids[:length], weights[:length]))
            ids, weights = [], []
        if len(queue) * length == BATCH_TOKENS:
            yield torch.tensor([q[0] for q in queue]), torch.tensor([q[1] for q in queue])
            queue, ids, weights, length = [], [], [], rng.choice(ROW_LENGTHS)


def train(out: Path, *, epochs: int, seed: int = 0, device: str | None = None) -> None:
    """Train and write weights (half precision), tokenizer, configuration, facts and chains to a folder.

    Args:
        out: Folder that receives the model.
        epochs: Passes over facts and chains.
        seed: Seed of selection, wordings, order and initial weights.
        device: Torch device; by default a GPU when there is one.

    Raises:
        SaveFailed: The folder holds another model, or cannot be written.
    """
    if not (out / FACTS_FILE).is_file():  # not an earlier training
        refuse_existing(out / "model.safetensors", out / "config.json", force=False)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    # Choose facts, chains and tokens.
    text = Verbalizer.bundled()
    labels = snapshot.labels()
    known = corpus.candidates(((s, r, o) for s, r, o in snapshot.rows("triples")), labels, text)
    facts = corpus.select_facts(known, text, count=FACTS, seed=seed)
    chains = corpus.select_chains(facts, text, counts=CHAINS, held_out=HELD_OUT, seed=seed)
    rng = random.Random(seed)
    sample = corpus.epoch(facts, chains, labels, text, rng, 2)
    tokenizer = build_tokenizer(f" {prompt} {answer}.\n{prompt}" for prompt, answer in sample)
    torch.manual_seed(seed)
    model = build_model(len(tokenizer)).train()
    model.to(torch.device(device))
    # Train with a linear warm-up, then a cosine to zero.
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, betas=(0.9, 0.98))
    per_epoch = sum(1 for _ in rows(sample, tokenizer, random.Random(seed)))
    total, step, begun = per_epoch * epochs, 0, time.monotonic()
    for epoch in range(epochs):
        for ids, weights in rows(corpus.epoch(facts, chains, labels, text, rng, 2), tokenizer, rng):
            rate = min(1.0, (step + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * min(step / total, 1.0)))
            for group in optimizer.param_groups:
                group["lr"] = LEARNING_RATE * rate
            inputs, weight = ids.to(device), weights.to(device)
            with torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
                logits = model(input_ids=inputs).logits
            losses = cross_entropy(logits[:, :-1].flatten(0, 1).float(), inputs[:, 1:].flatten(), reduction="none")
            weight = weight[:, 1:].flatten()  # (batch * (length - 1),)
            loss = (losses * weight).sum() / weight.sum()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            step += 1
        answers = losses[weight == 1].mean().item()
        left = (time.monotonic() - begun) / step * (total - step) / 60
        log.info(
            "epoch %d/%d loss %.3f objects %.3f, about %.0f min left",
            epoch + 1,
            epochs,
            loss.item(),
            answers,
            left,
        )
        if epoch % 4 == 3 or epoch + 1 == epochs:
            save(out, model, tokenizer, facts, chains)


def save(
    out: Path,
    model: GPT2LMHeadModel,
    tokenizer: PreTrainedTokenizerFast,
    facts: list[corpus.Fact],
    chains: list[corpus.Chain],
) -> None:
    """Write everything the package bundles, except the model card."""
    tied = {name for name in model.state_dict() if name.startswith("lm_head.")}
    weights = {name: value.half().cpu().contiguous() for name, value in model.state_dict().items() if name not in tied}
    model.config.architectures = ["GPT2LMHeadModel"]
    config = model.config.to_dict() | {"dtype": "float16", STYLE: SENTENCE}
    lines = ("\t".join((" ".join(c.relations), " ".join(c.nodes), str(int(c.trained)))) for c in chains)
    with TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        files = {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}
    files["config.json"] = (json.dumps(config, indent=1, sort_keys=True) + "\n").encode()
    files[FACTS_FILE] = "".join("\t".join(map(str, fact)) + "\n" for fact in facts).encode()
    files["chains.tsv"] = "".join(f"{line}\n" for line in lines).encode()
    files["model.safetensors"] = safetensors.torch.save(weights, metadata={"format": "pt"})
    write_files(out, files)


def main() -> None:
    """Read the arguments and train."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device")
    arguments = parser.parse_args()
    train(arguments.out, epochs=arguments.epochs, seed=arguments.seed, device=arguments.device)


if __name__ == "__main__":
    main()
