"""The unfinished sums of a collection of second moments on disk, so that a killed run resumes to the same bits."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from kgedit.errors import FileCorrupt, MomentMismatch
from kgedit.io.atomic_files import write_files
from kgedit.lm.second_moment.files import read_sealed, seal


@dataclass(slots=True)
class Sums:
    """Sums of k k^T over some texts.

    Attributes:
        position: Number of texts, from the first.
        count: Number of their tokens.
        chain: Hash of their token ids.
        totals: Layer as text -> (d_ff, d_ff) float64.
    """

    position: int
    count: int
    chain: bytes
    totals: dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The sums on disk; the file's name and content say which weights and settings they belong to."""

    path: Path
    identity: str

    @classmethod
    def at(cls, directory: Path | None, identity: str) -> Checkpoint | None:
        """The checkpoint of one collection in a folder; none without a folder."""
        if directory is None:
            return None
        name = f"moments-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.part"
        return cls(directory / name, identity)

    def read(self) -> Sums | None:
        """The sums on disk, if there are any.

        Raises:
            MomentMismatch: They belong to other weights or settings.
            FileCorrupt: The file is damaged.
        """
        if not self.path.exists():
            return None
        totals, about = read_sealed(self.path)
        if about.get("identity") != self.identity:
            raise MomentMismatch(
                f"{self.path} holds sums of [{about.get('identity')}], asked for are [{self.identity}]; "
                "delete it or choose another folder"
            )
        try:
            return Sums(int(about["position"]), int(about["count"]), bytes.fromhex(about["chain"]), totals)
        except (KeyError, ValueError) as error:
            raise FileCorrupt(f"{self.path} is no checkpoint of second moments; delete it") from error

    def write(self, sums: Sums) -> None:
        """Replace the sums on disk."""
        about = {
            "identity": self.identity,
            "position": str(sums.position),
            "count": str(sums.count),
            "chain": sums.chain.hex(),
        }
        totals = {name: total.cpu().contiguous() for name, total in sums.totals.items()}
        write_files(self.path.parent, {self.path.name: seal(totals, about)})

    def remove(self) -> None:
        """Delete the file, and what a kill while writing left beside it."""
        self.path.unlink(missing_ok=True)
        for left in self.path.parent.glob(f".{self.path.name[:40]}.*.tmp"):
            left.unlink(missing_ok=True)


def other_texts(checkpoint: Checkpoint | None, sums: Sums, chain: bytes) -> MomentMismatch:
    """The error for a checkpoint that was made from other texts."""
    where = checkpoint.path if checkpoint is not None else "the checkpoint"
    return MomentMismatch(
        f"{where} holds sums over {sums.position} texts with corpus={sums.chain.hex()[:32]}, the texts given "
        f"now have corpus={chain.hex()[:32]} there; give the same texts, delete it, or choose another folder"
    )
