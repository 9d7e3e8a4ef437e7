"""Collect second moments of keys from text: streamed, resumable after a kill, keyed by all they depend on."""

from __future__ import annotations

import hashlib
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.delta.weights import digest, hash_digests
from kgedit.errors import FileCorrupt, MomentError, MomentMismatch
from kgedit.io.atomic_files import write_files
from kgedit.lm.anatomy import anatomy_of, context_length
from kgedit.lm.hooks import capture, frozen
from kgedit.lm.padding import pad
from kgedit.lm.second_moment.matrix import SecondMoment, load, pack, save, unpack
from kgedit.lm.tokens import encode_texts

__all__ = ["SecondMoment", "collect", "load", "save", "weights_keys"]

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
        checkpoint_dir: Keep the sums here now and then; the same call then goes on from there after a
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
    row = anatomy_of(model)
    modules = {str(layer): row.mlp_out(model, layer) for layer in chosen}
    length = min(max_length, context_length(model))
    weights = weights_keys(model, chosen)
    settings = f"length={length} skip_first={int(skip_first)}"
    store = _Checkpoint.at(checkpoint_dir, f"{settings} " + " ".join(f"{i}:{weights[i]}" for i in chosen))
    sums = _Sums(0, 0, b"", {})
    if store is not None:
        sums = store.read() or sums

    position, chain, saved = 0, b"", time.monotonic()
    waiting: list[Ids] = []
    tokens = 0
    for ids in _tokenised(tokenizer, texts, length):
        position += 1
        chain = hashlib.sha256(chain + array("q", ids).tobytes()).digest()
        if position <= sums.position:
            if position == sums.position and chain != sums.chain:
                raise _other_texts(store, sums, chain)
            continue
        waiting.append(ids)
        tokens += len(ids)
        if tokens < _BATCHES_PER_SORT * batch_tokens:
            continue
        _add(model, modules, sums, waiting, batch_tokens, skip_first)
        sums.position, sums.chain = position, chain
        waiting, tokens = [], 0
        if store is not None and time.monotonic() - saved >= checkpoint_seconds:
            store.write(sums)
            saved = time.monotonic()
        if progress is not None:
            progress(position, sums.count)
    if position < sums.position:
        raise _other_texts(store, sums, chain)
    _add(model, modules, sums, waiting, batch_tokens, skip_first)
    if progress is not None:
        progress(position, sums.count)
    if sums.count == 0:
        raise MomentError(f"none of the {position} texts has a token to count; give other texts")
    if store is not None:
        store.remove()
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
    row = anatomy_of(model)
    chosen = sorted(set(layers))
    inside = f"{row.blocks_path}."
    above = (f"{row.final_norm_path}.", f"{row.head_path}.")
    found: dict[str, str] = {}
    owner: dict[str, int] = {}
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        owner[name] = int(name[len(inside) :].split(".")[0]) if name.startswith(inside) else -1
        if chosen and owner[name] <= chosen[-1] and not name.startswith(above):
            found[name] = digest(f"{name} {tuple(tensor.shape)}", tensor.reshape(-1))
    return {
        layer: hash_digests(
            {
                name: value
                for name, value in found.items()
                if owner[name] <= layer and not name.startswith(f"{inside}{layer}.{row.mlp_out_path}.")
            }
        )[:32]
        for layer in chosen
    }


@dataclass(slots=True)
class _Sums:
    """What was added up: over `count` tokens of the first `position` texts, whose ids hash to `chain`."""

    position: int
    count: int
    chain: bytes
    totals: dict[str, Tensor]


def _add(
    model: PreTrainedModel,
    modules: dict[str, nn.Module],
    sums: _Sums,
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
        for name, found in keys.items():
            k = found[mask.to(found.device).bool()].float()  # (tokens, d_ff)
            more = (k.T @ k).double()  # (d_ff, d_ff)
            sums.totals[name] = sums.totals[name].to(more.device).add_(more) if name in sums.totals else more
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
    while some := list(islice(source, 64)):
        for tokens in encode_texts(tokenizer, some):
            yield tokens.ids[:length]


@dataclass(frozen=True, slots=True)
class _Checkpoint:
    """The sums on disk; the file's name and content say which weights and settings they belong to."""

    path: Path
    identity: str

    @classmethod
    def at(cls, directory: Path | None, identity: str) -> _Checkpoint | None:
        if directory is None:
            return None
        name = f"moments-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.part"
        return cls(directory / name, identity)

    def read(self) -> _Sums | None:
        if not self.path.exists():
            return None
        totals, about = unpack(self.path)
        if about.get("identity") != self.identity:
            raise MomentMismatch(
                f"{self.path} holds sums of [{about.get('identity')}], asked for are [{self.identity}]; "
                "delete it or choose another folder"
            )
        try:
            return _Sums(int(about["position"]), int(about["count"]), bytes.fromhex(about["chain"]), totals)
        except (KeyError, ValueError) as error:
            raise FileCorrupt(f"{self.path} is no checkpoint of second moments; delete it") from error

    def write(self, sums: _Sums) -> None:
        about = {
            "identity": self.identity,
            "position": str(sums.position),
            "count": str(sums.count),
            "chain": sums.chain.hex(),
        }
        totals = {name: total.cpu().contiguous() for name, total in sums.totals.items()}
        write_files(self.path.parent, {self.path.name: pack(totals, about)})

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        for left in self.path.parent.glob(f".{self.path.name[:40]}.*.tmp"):  # by a kill while writing
            left.unlink(missing_ok=True)


def _other_texts(store: _Checkpoint | None, sums: _Sums, chain: bytes) -> MomentMismatch:
    where = store.path if store is not None else "the checkpoint"
    return MomentMismatch(
        f"{where} holds sums over {sums.position} texts with corpus={sums.chain.hex()[:32]}, the texts given "
        f"now have corpus={chain.hex()[:32]} there; give the same texts, delete it, or choose another folder"
    )
