"""Collects second moments of keys from a stream of texts; a killed collection resumes where it was.

On request every other text counts for the one half and the rest for the other, and the change of C^-1 k between the
halves is measured now and then, to say when there is enough text (`convergence`).
"""

from __future__ import annotations

import hashlib
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import accumulate, islice
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.delta.weights import digest, hash_digests
from kgedit.errors import MomentError
from kgedit.lm.anatomy import anatomy_of, context_length
from kgedit.lm.hooks import capture, frozen
from kgedit.lm.padding import pad
from kgedit.lm.quiet import quiet
from kgedit.lm.second_moment.checkpoint import Checkpoint, Sums, other_texts
from kgedit.lm.second_moment.convergence import SAMPLE_KEYS, HalvesChange, relative_change
from kgedit.lm.second_moment.matrix import SecondMoment
from kgedit.lm.tokens import encode_texts
from kgedit.lm.twins import Twins

_BATCHES_PER_SORT = 8  # texts are sorted by length within so many batches, to waste little on padding
_KEYS_PER_BATCH = 25  # of the sample keys, so that they come from many texts
_LEAST_PART, _MOST_PADDING = 8, 1 / 32

Ids = tuple[int, ...]


def collect(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Iterable[str],
    layers: Sequence[int],
    *,
    max_length: int = 1024,
    max_tokens: int | None = None,
    batch_tokens: int = 4096,
    skip_first: int = 0,
    checkpoint_dir: Path | None = None,
    checkpoint_seconds: float = 60.0,
    progress: Callable[[int, int], None] | None = None,
    on_halves: Callable[[HalvesChange], None] | None = None,
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
        max_tokens: Stop reading texts once they have so many tokens; all are read by default.
        batch_tokens: The most tokens per forward pass, padding included.
        skip_first: So many first tokens of each text are left out; see `first_tokens.outlying_first_tokens`.
        checkpoint_dir: Keep the sums here now and then; the same call then resumes from there after a
            kill, with the same result to the last bit.
        checkpoint_seconds: How often at most.
        progress: Called with the numbers of texts and tokens so far.
        on_halves: Called with how much C^-1 k differs between the halves of the text, whenever the number of tokens
            has doubled and at the end. The sums then take twice the memory.

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
    work = Collection(model, chosen, max_length, skip_first, halves=on_halves is not None)
    checkpoint = None if checkpoint_dir is None else work.checkpoint(checkpoint_dir)
    sums = work.summed(
        tokenizer,
        texts,
        checkpoint,
        max_tokens=max_tokens,
        batch_tokens=batch_tokens,
        seconds=checkpoint_seconds,
        progress=progress,
        on_halves=on_halves,
    )
    moments = work.moments(sums, on_halves)
    if checkpoint is not None:
        checkpoint.remove()
    return moments


class Collection:
    """What `collect` does, in pieces that several processes can share: sums over blocks of texts, then statistics."""

    def __init__(
        self, model: PreTrainedModel, layers: Sequence[int], max_length: int, skip_first: int, *, halves: bool
    ) -> None:
        """Take the model and what is collected; see `collect`.

        Args:
            model: A causal language model.
            layers: Blocks whose keys are wanted, ascending.
            max_length: Texts are cut to so many tokens.
            skip_first: So many first tokens of each text are left out.
            halves: Keep the sums of two halves of the texts apart.
        """
        self.model, self.layers, self.skip_first, self.halves = model, list(layers), skip_first, halves
        self.length = min(max_length, context_length(model))
        self.weights = weights_keys(model, layers)
        self.settings = f"length={self.length} skip_first={skip_first}"

    def checkpoint(self, folder: Path, shard: int = 0, shards: int = 1) -> Checkpoint:
        """Where the sums of a shard are kept."""
        halved, part = "halves " if self.halves else "", f" shard={shard}/{shards}" if shards > 1 else ""
        of_layers = " ".join(f"{i}:{self.weights[i]}" for i in self.layers)
        return Checkpoint.at(folder, f"{halved}{self.settings} {of_layers}{part}")

    def summed(
        self,
        tokenizer: PreTrainedTokenizerBase,
        texts: Iterable[str],
        checkpoint: Checkpoint | None,
        *,
        max_tokens: int | None = None,
        batch_tokens: int = 4096,
        seconds: float = 60.0,
        progress: Callable[[int, int], None] | None = None,
        on_halves: Callable[[HalvesChange], None] | None = None,
        shard: int = 0,
        shards: int = 1,
    ) -> Sums:
        """Sums over all texts, or over each `shards`-th block of them, beginning with block `shard`."""
        sums = (checkpoint.read() if checkpoint is not None else None) or Sums(0, 0, b"", {})

        def add(block: int, waiting: list[Ids]) -> None:
            if block % shards == shard:
                _add(self.model, self.layers, sums, waiting, batch_tokens, self.skip_first, halves=self.halves)

        # Texts that the checkpoint has are only hashed, to make sure that they are the same.
        position, chain, saved = 0, b"", time.monotonic()
        waiting: list[Ids] = []
        tokens = measured = read = block = 0
        for ids in _tokenised(tokenizer, texts, self.length):
            if max_tokens is not None and read >= max_tokens:
                break
            position, read, tokens = position + 1, read + len(ids), tokens + len(ids)
            chain = _chained(chain, ids)
            if position > sums.position:
                waiting.append(ids)
            elif position == sums.position and chain != sums.chain:
                raise other_texts(checkpoint, sums, chain)
            if tokens < _BATCHES_PER_SORT * batch_tokens:
                continue
            if waiting:
                add(block, waiting)
                sums.position, sums.chain = position, chain
                if checkpoint is not None and time.monotonic() - saved >= seconds:
                    checkpoint.write(sums)
                    saved = time.monotonic()
                if progress is not None:
                    progress(position, sums.count)
                if on_halves is not None and sums.count >= 2 * measured and (change := _change(sums)):
                    measured = sums.count
                    on_halves(change)
            waiting, tokens, block = [], 0, block + 1
        if position < sums.position:
            raise other_texts(checkpoint, sums, chain)
        add(block, waiting)
        sums.position, sums.chain = position, chain
        if progress is not None:
            progress(position, sums.count)
        return sums

    def moments(self, sums: Sums, on_halves: Callable[[HalvesChange], None] | None = None) -> dict[int, SecondMoment]:
        """The statistics that the sums over all texts give.

        Raises:
            MomentError: No text had a token.
        """
        if sums.count == 0:
            raise MomentError(f"none of the {sums.position} texts has a token to count; give other texts")
        if on_halves is not None and (change := _change(sums)):
            on_halves(change)
        key = f"corpus={sums.chain.hex()[:32]} {self.settings}"
        return {
            layer: SecondMoment(
                layer,
                (sums.total(layer) / sums.count).float().cpu(),
                sums.count,
                f"weights={self.weights[layer]} {key}",
            )
            for layer in self.layers
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
    wanted: dict[str, Tensor] = {}
    block_of: dict[str, int] = {}  # -1: before the first block
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        block_of[name] = int(name[len(inside) :].split(".")[0]) if name.startswith(inside) else -1
        if chosen and block_of[name] <= chosen[-1] and not name.startswith(above):
            wanted[name] = tensor

    def hashed(name: str) -> str:
        return digest(f"{name} {tuple(wanted[name].shape)}", wanted[name].reshape(-1))

    # Hashing a large tensor leaves Python to other threads.
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        digests = dict(zip(wanted, pool.map(hashed, wanted), strict=True))
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


def origin_of(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    texts: Iterable[str],
    *,
    max_length: int = 1024,
    max_tokens: int | None = None,
    skip_first: int = 0,
) -> str:
    """`SecondMoment.origin` of what `collect` gives with these arguments; no model is run."""
    length, chain, read = min(max_length, context_length(model)), b"", 0
    for ids in _tokenised(tokenizer, texts, length):
        if max_tokens is not None and read >= max_tokens:
            break
        chain, read = _chained(chain, ids), read + len(ids)
    return f"corpus={chain.hex()[:32]} length={length} skip_first={skip_first}"


def _add(
    model: PreTrainedModel,
    layers: Sequence[int],
    sums: Sums,
    texts: list[Ids],
    batch_tokens: int,
    skip_first: int,
    *,
    halves: bool,
) -> None:
    """Add the keys of some more texts to the sums."""
    # A GPU is idle with few tokens; a processor is as fast with some hundreds, and then padding costs most.
    least = batch_tokens // _LEAST_PART if model.device.type == "cpu" else batch_tokens
    batches = list(_batches([ids for ids in texts if len(ids) > skip_first], batch_tokens, least))
    before = 0
    with frozen(model), torch.no_grad(), quiet():  # transformers asks for a mask where padding also begins a text
        twins = Twins(model, len(batches))
        # A product goes over the whole sum, so it is made of many tokens at once.
        for group in _groups(batches, batch_tokens):
            # Texts of a batch have similar lengths: taken in turn, they make two halves of the same size.
            starts = list(accumulate(map(len, group), initial=before))[:-1]
            before += sum(map(len, group))
            trees = twins.shared_out([len(batch) * len(batch[0]) for batch in group])
            found = twins.each(
                trees,
                [
                    partial(_keys, twins.models[tree], layers, batch, start, skip_first, halves)
                    for tree, batch, start in zip(trees, group, starts, strict=True)
                ],
            )
            counts = torch.tensor([[len(next(iter(half.values()))) for half in halved] for halved in found]).sum(dim=0)
            sums.count += int(counts.sum())
            sums.second_count += int(counts[1:].sum())
            for half in range(1 + halves):
                for layer in layers:
                    _product(sums, str(layer), half, torch.cat([halved[half][layer] for halved in found]), halves)
    for name, total in sums.totals.items():
        if not torch.isfinite(total).all():
            raise MomentError(
                f"the keys of layer {name.split()[0]} are not finite within {sums.count} tokens; "
                "load the model in float32 or bfloat16 (float16 overflows here)"
            )


def _keys(
    model: PreTrainedModel, layers: Sequence[int], batch: list[Ids], before: int, skip_first: int, halves: bool
) -> list[dict[int, Tensor]]:
    """Of each half: layer -> keys (tokens, d_ff) of the texts of a batch that count for it, in float32."""
    anatomy = anatomy_of(model)
    modules = {str(layer): anatomy.mlp_out(model, layer) for layer in layers}
    ids, mask = (t.to(model.device) for t in pad(batch, 0, "right"))
    with capture(modules, inputs=True, stop=True, rows=len(batch)) as keys:
        model(input_ids=ids, use_cache=False)  # padding stands behind every token, so no mask is needed
    mask[:, :skip_first] = 0
    half_of = (torch.arange(len(batch), device=mask.device) + before) % 2 * int(halves)  # (batch,)
    return [
        {
            layer: keys[str(layer)][(mask.bool() & (half_of == half).unsqueeze(1)).to(keys[str(layer)].device)].float()
            for layer in layers
        }
        for half in range(1 + halves)
    ]


def _product(sums: Sums, name: str, half: int, k: Tensor, halves: bool) -> None:
    """Add the products of keys (tokens, d_ff); of the first half some are kept as a sample."""
    sums.add(name, half, k)
    if halves and half == 0:
        sums.sample(name, k[:: max(1, len(k) // _KEYS_PER_BATCH)][:_KEYS_PER_BATCH], SAMPLE_KEYS)


def _change(sums: Sums) -> HalvesChange | None:
    """The change between the halves; None while a half has fewer tokens than a key has dimensions."""
    counts = (sums.count - sums.second_count, sums.second_count)
    layers = [int(name) for name in sums.totals if name.isdigit()]
    if not layers or min(counts) < len(sums.total(layers[0])):
        return None
    changes = {}
    for layer in layers:
        first, second = (sums.half(layer, half) / count for half, count in enumerate(counts))
        changes[layer] = relative_change(first, second, sums.samples(layer))
    return HalvesChange(sums.count, changes)


def _chained(chain: bytes, ids: Ids) -> bytes:
    return hashlib.sha256(chain + array("q", ids).tobytes()).digest()


def _batches(texts: list[Ids], batch_tokens: int, least: int) -> Iterator[list[Ids]]:
    """Texts of similar length, so many that the padded batch stays within the limit; at least one.

    A batch that has the least number of tokens takes no text that makes more than a small share of it padding.
    """
    batch: list[Ids] = []
    tokens = 0
    for ids in sorted(texts, key=len, reverse=True):
        padded = len(batch[0]) * (len(batch) + 1) if batch else 0
        wasteful = tokens >= least and padded - tokens - len(ids) > _MOST_PADDING * padded
        if batch and (padded > batch_tokens or wasteful):
            yield batch
            batch, tokens = [], 0
        batch.append(ids)
        tokens += len(ids)
    if batch:
        yield batch


def _groups(batches: Sequence[list[Ids]], least: int) -> Iterator[list[list[Ids]]]:
    """Batches in order, together so many that they have the least number of tokens; the last ones may have fewer."""
    group: list[list[Ids]] = []
    for batch in batches:
        group.append(batch)
        if sum(len(ids) for of_batch in group for ids in of_batch) >= least:
            yield group
            group = []
    if group:
        yield group


def _tokenised(tokenizer: PreTrainedTokenizerBase, texts: Iterable[str], length: int) -> Iterator[Ids]:
    source = iter(texts)
    while chunk := list(islice(source, 64)):
        for tokens in encode_texts(tokenizer, chunk):
            yield tokens.ids[:length]
