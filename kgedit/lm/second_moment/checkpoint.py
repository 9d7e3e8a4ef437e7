"""The unfinished sums of a collection of second moments, on disk so that a killed run resumes to the same bits."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from kgedit.errors import FileCorrupt, MomentMismatch
from kgedit.io.atomic_files import write_files
from kgedit.io.sealed import seal
from kgedit.io.staging import sweep
from kgedit.lm.second_moment.files import read_sums

_BAND = 512  # columns of a product


@dataclass(slots=True)
class Sums:
    """Sums of k k^T over some texts.

    Attributes:
        position: Number of texts, from the first.
        count: Number of their tokens.
        chain: Hash of their token ids.
        totals: Layer as text -> (d_ff, d_ff) float64, right on and below the diagonal; where halves are kept
            apart, "3" is the first and "3 second" the other one of layer 3, and "3 keys" its sample keys.
        second_count: Number of the second half's tokens.
    """

    position: int
    count: int
    chain: bytes
    totals: dict[str, Tensor]
    second_count: int = 0

    def add(self, layer: str, half: int, keys: Tensor) -> None:
        """Add the products of keys (n, d_ff), float32, to the first (0) or second (1) half.

        Of the symmetric sum a triangle is enough: bands of columns, each up to the diagonal and as float32 products
        that are added to the float64 sum in place.
        """
        name, width = layer if half == 0 else f"{layer} second", keys.shape[1]
        if name not in self.totals:
            self.totals[name] = torch.zeros(width, width, dtype=torch.float64, device=keys.device)
        total = self.totals[name] = self.totals[name].to(keys.device)
        for start in range(0, width, _BAND):
            end = min(start + _BAND, width)
            total[start:end, :end] += keys[:, start:end].T @ keys[:, :end]  # (band, end)

    def plus(self, other: Sums, most: int) -> None:
        """Add the sums over other blocks of the same texts; of the sample keys at most so many are kept.

        Raises:
            MomentMismatch: They are of other texts.
        """
        if (other.position, other.chain) != (self.position, self.chain):
            raise MomentMismatch(
                f"the shards were summed up over other texts: corpus={self.chain.hex()[:32]} ({self.position} texts) "
                f"and corpus={other.chain.hex()[:32]} ({other.position}); collect them anew"
            )
        self.count, self.second_count = self.count + other.count, self.second_count + other.second_count
        for name, total in other.totals.items():
            if name.endswith(" keys"):
                self.sample(name.removesuffix(" keys"), total, most)
            elif name in self.totals:
                self.totals[name] += total
            else:
                self.totals[name] = total

    def sample(self, layer: str, keys: Tensor, most: int) -> None:
        """Keep some keys (n, d_ff), until there are `most`."""
        name = f"{layer} keys"
        held = self.totals.get(name, keys[:0])
        if len(held) < most:
            self.totals[name] = torch.cat([held.to(keys.device), keys])[:most]

    def half(self, layer: int, half: int) -> Tensor:
        """Sum of one half, (d_ff, d_ff)."""
        return _mirrored(self.totals[str(layer) if half == 0 else f"{layer} second"])

    def samples(self, layer: int) -> Tensor:
        """The sample keys, (n, d_ff)."""
        return self.totals[f"{layer} keys"]

    def total(self, layer: int) -> Tensor:
        """Sum over all texts, (d_ff, d_ff)."""
        first = self.totals[str(layer)]
        return _mirrored(first + self.totals[f"{layer} second"] if f"{layer} second" in self.totals else first)


def _mirrored(total: Tensor) -> Tensor:
    """The whole of a symmetric matrix of which the triangle below the diagonal is known, exactly symmetric."""
    return total.tril() + total.tril(-1).T


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The sums on disk; the file's name and content say which weights and settings they belong to."""

    path: Path
    identity: str

    @classmethod
    def at(cls, directory: Path, identity: str) -> Checkpoint:
        """The checkpoint of one collection in a folder."""
        name = f"moments-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.part"
        return cls(directory / name, identity)

    def read(self) -> Sums | None:
        """The sums on disk, if there are any.

        Raises:
            MomentMismatch: They belong to other weights or settings.
            FileCorrupt: The file is damaged.
        """
        sweep(self.path.parent)  # what a kill while writing left beside it
        if not self.path.exists():
            return None
        totals, about = read_sums(self.path)
        if about.get("identity") != self.identity:
            raise MomentMismatch(
                f"{self.path} holds sums of [{about.get('identity')}], asked for are [{self.identity}]; "
                "delete it or choose another folder"
            )
        try:
            numbers = {name: int(about[name]) for name in ("position", "count", "second_count")}
            return Sums(chain=bytes.fromhex(about["chain"]), totals=totals, **numbers)
        except (KeyError, ValueError) as error:
            raise FileCorrupt(f"{self.path} is no checkpoint of second moments; delete it") from error

    def write(self, sums: Sums) -> None:
        """Replace the sums on disk."""
        about = {
            "identity": self.identity,
            "position": str(sums.position),
            "count": str(sums.count),
            "second_count": str(sums.second_count),
            "chain": sums.chain.hex(),
        }
        totals = {name: total.cpu().contiguous() for name, total in sums.totals.items()}
        write_files(self.path.parent, {self.path.name: seal(totals, about)})

    def remove(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)


def other_texts(checkpoint: Checkpoint | None, sums: Sums, chain: bytes) -> MomentMismatch:
    """The error for a checkpoint that was made from other texts."""
    where = checkpoint.path if checkpoint is not None else "the checkpoint"
    return MomentMismatch(
        f"{where} holds sums over {sums.position} texts with corpus={sums.chain.hex()[:32]}, the texts given "
        f"now have corpus={chain.hex()[:32]} there; give the same texts, delete it, or choose another folder"
    )
