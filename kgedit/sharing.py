"""Publishes an export or a saved delta on the Hugging Face hub, with its model card."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from kgedit.delta import Delta, LowRankDelta
from kgedit.delta.card import delta_card, model_named
from kgedit.delta.peft import CONFIG, WEIGHTS, is_adapter_of
from kgedit.delta.storage import files_of
from kgedit.errors import FileCorrupt, HubFailed
from kgedit.ingest.exports.card import card as export_card
from kgedit.ingest.exports.manifest import CARD, RECORD, read_record
from kgedit.io.hub import upload
from kgedit.lm.sources.catalogue import FETCHABLE

_ADAPTER = "adapter"  # where `kgedit edit --adapter` writes it, beside the delta


def push_to_hub(
    folder: str | Path, repo: str, *, licence: str | None = None, private: bool = True, revision: str | None = None
) -> str:
    """Put an export, or a saved delta with its adapter, into a repository of the hub, in one commit.

    Only the files that kgedit wrote are sent, after a check that they are as they were written. peft loads an adapter
    from there by its name alone, `kgedit.delta.Delta.from_pretrained` a delta.

    Args:
        folder: What `kgedit export` or `kgedit edit --out` wrote.
        repo: "owner/name"; made if it is absent.
        licence: Identifier for the card, e.g. "apache-2.0"; by default that of a model which `kgedit models` lists.
        private: Whether a repository that is made now is private.
        revision: Branch.

    Returns:
        Address of the commit.

    Raises:
        FileCorrupt: The folder holds neither, a file in it is damaged, or the adapter is not that of the delta.
        HubFailed: The hub cannot be reached, or does not let this account write there.
    """
    folder = Path(folder)
    if (folder / RECORD).exists():
        record = read_record(folder)
        model, names = record.model, [RECORD, *record.files]
        card = (folder / CARD).read_bytes().decode()
        if hashlib.sha256(card.encode()).hexdigest() == record.card:  # as it was written, with "." for its place
            card = export_card(record, repo)
    else:
        delta = Delta.load(folder)
        model, names = model_named(delta), [*files_of(folder), *_adapter_of(delta, folder)]
        card = delta_card(delta, repo)
    if licence is None and model in FETCHABLE:
        licence = FETCHABLE[model].licence.lower()
    if licence is not None:
        card = _licensed(card, licence)
    files: dict[str, Path | bytes] = {name: folder / name for name in names}
    return upload(files | {CARD: card.encode()}, repo, message="kgedit", private=private, revision=revision)


def _adapter_of(delta: Delta, folder: Path) -> list[str]:
    """Names of the files of the adapter beside a delta, if there is one."""
    names = [f"{_ADAPTER}/{name}" for name in (CONFIG, WEIGHTS)]
    if not any((folder / name).exists() for name in names):
        return []
    if not isinstance(delta, LowRankDelta) or not is_adapter_of(delta.updates, folder / _ADAPTER):
        raise FileCorrupt(
            f"{folder / _ADAPTER} does not hold the adapter of the delta in {folder}: it is left from another edit, "
            "or was changed since. Move it away, or make the edit anew with --adapter --force"
        )
    return names


def _licensed(card: str, licence: str) -> str:
    """The card with a licence in its block of metadata."""
    if re.fullmatch(r"[\w.+-]{1,64}", licence) is None:
        raise HubFailed(f"{licence!r} is no identifier of a licence; write one such as apache-2.0 or mit")
    return card.replace("---\n", f"---\nlicense: {licence}\n", 1)
