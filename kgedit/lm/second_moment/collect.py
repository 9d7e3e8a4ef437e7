"""Collects second moments of keys from a stream of texts; a killed collection resumes where it was."""

from __future__ import annotations

import hashlib
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.delta.weights import digest, hash_digests
from kgedit.errors import MomentError
from kgedit.lm.anatomy import anatomy_of, context_length
from kgedit.lm.hooks import capture, frozen
from kgedit.lm.padding import pad
from kgedit.lm.second_moment.checkpoint import Checkpoint, Sums, other_texts
from kgedit.lm.second_moment.matrix import SecondMoment
from kgedit.lm.tokens import encode_texts

_BATCHES_PER_SORT = 8  # texts are sorted by length within so many batches, to waste little on padding

Ids = tuple[int, ...]


def collect(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Iterable[str],
    layers: Sequence[int],
    *,
    max_length: int = 1024,
    batch_tokens: int = 4096,
    skip_first: bool = False,
    checkpoint_dir: Path | None = None,
    checkpoint_seconds: float = 60.0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[int, SecondMoment]:
    """E[k k^T] of the keys of some layers over all tokens of some texts.

    This is the C of ROME (Meng et al., 2022, section 3.1). The model runs only up to the highest layer;
    products are taken in float32 and summed in float64.

    Args:
        model: A causal language model; left as it was.
        tokenizer: Its tokenizer.
        texts: Read once, in order, never held as a whole.
        layers: Blocks whose keys are wanted.
        max_length: Texts are cut to so many tokens, or to the model's context if that is shorter.
        batch_tokens: The most tokens per forward pass, padding included.
        skip_first: Leave out the first token of each text, whose keys are huge outliers in Llama-like models.
        checkpoint_dir: Keep the sums here now and then; the same call then resumes from there after a
            kill, with the same result to the last bit.
        checkpoint_seconds: How often at most.
        progress: Called with the numbers of texts and tokens so far.

    Returns:
        Layer -> statistics. Take at least 10 tokens per dimension of the key.

    Raises:
        MomentError: No text has a token, or the keys are not finite.
        MomentMismatch: The checkpoint was made from other texts; both keys are named.
        FileCorrupt: The checkpoint is damaged.
        NoSuchLayer: The model has no such block.
    """
    chosen = sorted(set(layers))
    if not chosen:
        return {}
    anatomy = anatomy_of(model)
    modules = {str(layer): anatomy.mlp_out(model, layer) for layer in chosen}
    length = min(max_length, context_length(model))
    weights = weights_keys(model, chosen)
    settings = f"length={length} skip_first={int(skip_first)}"
    checkpoint = Checkpoint.at(checkpoint_dir, f"{settings} " + " ".join(f"{i}:{weights[i]}" for i in chosen))
    sums = Sums(0, 0, b"", {})
    if checkpoint is not None:
        sums = checkpoint.read() or sums

    # Texts that the checkpoint has are only hashed, to make sure that they are the same.
    position, chain, saved = 0, b"", time.monotonic()
    waiting: list[Ids] = []
    tokens = 0
    for ids in _tokenised(tokenizer, texts, length):
        position += 1
        chain = hashlib.sha256(chain + array("q", ids).tobytes()).digest()
        if position <= sums.position:
            if position == sums.position and chain != sums.chain:
                raise other_texts(checkpoint, sums, chain)
            continue
        waiting.append(ids)
        tokens += len(ids)
        if tokens < _BATCHES_PER_SORT * batch_tokens:
            continue
        _add(model, modules, sums, waiting, batch_tokens, skip_first)
        sums.position, sums.chain = position, chain
        waiting, tokens = [], 0
        if checkpoint is not None and time.monotonic() - saved >= checkpoint_seconds:
            checkpoint.write(sums)
            saved = time.monotonic()
        if progress is not None:
            progress(position, sums.count)
    if position < sums.position:
        raise other_texts(checkpoint, sums, chain)
    _add(model, modules, sums, waiting, batch_tokens, skip_first)
    if progress is not None:
        progress(position, sums.count)
    if sums.count == 0:
        raise MomentError(f"none of the {position} texts has a token to count; give other texts")
    if checkpoint is not None:
        checkpoint.remove()
    return {
        layer: SecondMoment(
            layer,
            (sums.totals[str(layer)] / sums.count).float().cpu(),
            sums.count,
            f"weights={weights[layer]} corpus={chain.hex()[:32]} {settings}",
        )
        for layer in chosen
    }


def weights_keys(model: nn.Module, layers: Iterable[int]) -> dict[int, str]:
    """Hash, for each layer, of all weights that its keys depend on.

    These are the embeddings and the blocks below, and of the layer's own block all but the matrix W that
    the keys enter: an edit of W leaves the statistics of its own layer valid.
    """
    anatomy = anatomy_of(model)
    chosen = sorted(set(layers))
    inside = f"{anatomy.blocks_path}."
    above = (f"{anatomy.final_norm_path}.", f"{anatomy.head_path}.")
    digests: dict[str, str] = {}
    block_of: dict[str, int] = {}  # -1: before the first block
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        block_of[name] = int(name[len(inside) :].split(".")[0]) if name.startswith(inside) else -1
        if chosen and block_of[name] <= chosen[-1] and not name.startswith(above):
            digests[name] = digest(f"{name} {tuple(tensor.shape)}", tensor.reshape(-1))
    return {
        layer: hash_digests(
            {
                name: value
                for name, value in digests.items()
                if block_of[name] <= layer and not name.startswith(f"{inside}{layer}.{anatomy.mlp_out_path}.")
            }
        )[:32]
        for layer in chosen
    }


def _add(
    model: PreTrainedModel,
    modules: dict[str, nn.Module],
    sums: Sums,
    texts: list[Ids],
    batch_tokens: int,
    skip_first: bool,
) -> None:
    """Add the keys of some more texts to the sums."""
    for batch in _batches([ids for ids in texts if len(ids) > skip_first], batch_tokens):
        ids, mask = (t.to(model.device) for t in pad(batch, 0, "right"))
        with (
            frozen(model),
            torch.no_grad(),
            capture(modules, inputs=True, stop=True, rows=len(batch)) as keys,
        ):
            model(input_ids=ids, attention_mask=mask)
        mask[:, : int(skip_first)] = 0
        for name, padded in keys.items():
            k = padded[mask.to(padded.device).bool()].float()  # (tokens, d_ff)
            products = (k.T @ k).double()  # (d_ff, d_ff)
            total = sums.totals.get(name)
            sums.totals[name] = products if total is None else total.to(products.device).add_(products)
        sums.count += int(mask.sum())
    for name, total in sums.totals.items():
        if not torch.isfinite(total).all():
            raise MomentError(
                f"the keys of layer {name} are not finite within {sums.count} tokens; "
                "load the model in float32 or bfloat16 (float16 overflows here)"
            )


def _batches(texts: list[Ids], batch_tokens: int) -> Iterator[list[Ids]]:
    """Texts of similar length, so many that the padded batch stays within the limit; at least one."""
    batch: list[Ids] = []
    for ids in sorted(texts, key=len, reverse=True):
        if batch and len(batch[0]) * (len(batch) + 1) > batch_tokens:
            yield batch
            batch = []
        batch.append(ids)
    if batch:
        yield batch


def _tokenised(tokenizer: PreTrainedTokenizerBase, texts: Iterable[str], length: int) -> Iterator[Ids]:
    source = iter(texts)
    while chunk := list(islice(source, 64)):
        for tokens in encode_texts(tokenizer, chunk):
            yield tokens.ids[:length]
