"""Verifies an export: loads it from its files, as its recipient would, and asks every change that it carries."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Unpack, cast

from pydantic import BaseModel, ConfigDict
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.delta import Delta, model_hash
from kgedit.delta.vocabulary import check_vocabulary
from kgedit.errors import FileCorrupt, MissingExtra, UnknownModel, WrongBase
from kgedit.ingest.decide.known_facts import ask_all
from kgedit.ingest.exports.manifest import ExportCheck, ExportKind, ExportRecord, read_record
from kgedit.lm.load import load_model
from kgedit.lm.loading import Loading


class ExportVerified(BaseModel):
    """The result of a check of an export; `kgedit ingest verify` prints it.

    Attributes:
        kind: Kind of the export.
        model: Name of the unedited model.
        changes: Number of changes.
        checks: Number of questions that a sound export answers right.
        right: How many of them it does.
        failed: The others.
        open: Wordings that the store's own weights did not answer when the export was made; not counted.
        holds: Whether all are right.
    """

    model_config = ConfigDict(frozen=True)

    kind: ExportKind
    model: str
    changes: int
    checks: int
    right: int
    failed: tuple[ExportCheck, ...]
    open: int
    holds: bool


def verify_export(folder: str | Path, *, model: str | None = None, **loading: Unpack[Loading]) -> ExportVerified:
    """Load an export and ask about every change in it.

    Args:
        folder: Folder that `export` made.
        model: Where the unedited model is, if not where the record says; a checkpoint needs none.
        **loading: Device and the like; precision and revision are those of the record unless they are given.

    Raises:
        FileCorrupt: A file is missing or damaged.
        WrongBase: The unedited model is not the one that the export was made for.
        MissingExtra: An adapter, and peft is not installed.
        UnknownModel: A model cannot be loaded.
    """
    folder = Path(folder)
    record = read_record(folder)
    noted = cast("Loading", record.loading | loading)
    try:
        edited, tokenizer = _loaded(record, folder, model or record.model, noted)
    except UnknownModel as error:
        if model is not None or record.kind is ExportKind.CHECKPOINT:
            raise
        raise UnknownModel(
            f"the unedited model is not found by the name {record.model!r} that {folder} gives; say where it is with "
            f"--model ({error})"
        ) from error
    checks = [check for change in record.changes for check in change.checks]
    due = [check for check in checks if check.due]
    right = ask_all(edited, tokenizer, [(check.question, check.answer) for check in due])
    failed = tuple(check for check, answered in zip(due, right, strict=True) if not answered)
    return ExportVerified(
        kind=record.kind,
        model=record.model,
        changes=len(record.changes),
        checks=len(due),
        right=sum(right),
        failed=failed,
        open=len(checks) - len(due),
        holds=not failed,
    )


def _loaded(
    record: ExportRecord, folder: Path, base: str, loading: Loading
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    if record.kind is ExportKind.CHECKPOINT:
        model, tokenizer = load_model(str(folder), device=loading.get("device"))
        computed = model_hash(model)
        if computed != record.weights_hash:
            raise FileCorrupt(
                f"{folder} has weights of hash {computed}, not {record.weights_hash} as when made; export it again"
            )
        return model, tokenizer
    model, tokenizer = load_model(base, **loading)
    computed = model_hash(model)
    if computed != record.base_hash:
        raise WrongBase(
            f"the {record.kind} in {folder} was made for a model with weights of hash {record.base_hash}, but "
            f"{base!r} has hash {computed}; name the right one with --model"
        )
    if record.kind is ExportKind.DELTA:
        delta = Delta.load(folder, model)
        check_vocabulary(delta, tokenizer)
        delta.apply(model)
        return model, tokenizer
    adapted: Any = _peft().PeftModel
    with warnings.catch_warnings():
        # peft asks a model for an attribute that transformers renamed.
        warnings.simplefilter("ignore", FutureWarning)
        return adapted.from_pretrained(model, str(folder)).merge_and_unload(), tokenizer


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise MissingExtra("an adapter is loaded by peft: pip install 'kgedit[peft]'") from error
    return peft
