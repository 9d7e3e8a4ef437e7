"""What an edit changes in a model, as data with a fixed set of verbs, whatever its kind.

A delta may rewrite named parameters (`edited`), put something on the model that acts at run time (`attach`), or
both. From these two, this module makes the verbs that the rest of the program knows: apply, revert, save, load, hash
and export. Whoever keeps deltas (stack, journal, guards, previews) needs to know no kind.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from kgedit.delta.hook import Detach
from kgedit.delta.storage import MANIFEST, StoredDelta, corrupt, load_stored, save_stored
from kgedit.delta.weights import digest, hash_weights, write_weights
from kgedit.errors import EditDiverged, UnsupportedExport, WeightsChanged, WrongBase
from kgedit.io.hub import download

# Kinds that come with the package: name -> module and class. Others are known once their class is imported.
KINDS: Mapping[str, str] = {
    "low-rank": "kgedit.delta.low_rank:LowRankDelta",
    "gated": "kgedit.delta.gated:GatedDelta",
    "keyed-store": "kgedit.delta.keyed:KeyedDelta",
    "experts": "kgedit.delta.experts:ExpertsDelta",
    "outliers": "kgedit.delta.outliers:OutlierDelta",
    "in-context": "kgedit.delta.in_context:InContextDelta",
}


class Delta(ABC):
    """Base of all kinds. A kind is a frozen dataclass with the two fields below and a `kind` of its own.

    Attributes:
        kind: Name of the kind, which a saved delta states.
        base_hash: `hash_weights` of the parameters in `names` before the edit.
        manifest: How it came about (method, settings, seeds, graph provenance, versions); plain JSON values.
    """

    kind: ClassVar[str]
    base_hash: str
    manifest: dict[str, Any]

    # What a kind says

    @property
    @abstractmethod
    def id(self) -> str:
        """SHA-256 (hex) of what it does; not of the base or the manifest."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Names of the parameters that it rewrites, and of those by whose hash it knows its model; may be none."""

    @abstractmethod
    def weights_in(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """The parameters in `names`, after checks that the delta fits this model.

        Raises:
            UnsupportedModel: Something that it needs is missing, or cannot be edited.
            WrongBase: A parameter has another shape.
        """

    def edited(self, name: str, weight: Tensor) -> Tensor:
        """The new value of one parameter, in its dtype and on its device; nothing is written.

        By default the weight as it is, for a kind that only acts at run time.

        Raises:
            EditDiverged: It does not fit the dtype.
        """
        return weight

    def attach(self, model: nn.Module) -> Detach | None:
        """Put on the model what acts at run time, e.g. a forward hook; returns what removes it without a trace.

        An error may put back what was removed (`as_before_on_error`), so it can be called again.
        """
        return None

    @abstractmethod
    def stored(self) -> StoredDelta:
        """What is written to disk."""

    @classmethod
    @abstractmethod
    def from_stored(cls, stored: StoredDelta) -> Self:
        """The delta from what was written.

        Raises:
            ValueError, KeyError, EditDiverged: It is not what `stored` returns.
        """

    @classmethod
    def joined(cls, deltas: Sequence[Delta], base_hash: str, manifest: dict[str, Any]) -> Self:
        """Several deltas of this kind as one that does what they do together.

        Args:
            deltas: In the order in which they are applied.
            base_hash: `hash_weights` of all weights concerned before the first.
            manifest: Of the result.

        Raises:
            UnsupportedExport: This kind cannot be joined.
        """
        raise UnsupportedExport(
            f"{len(deltas)} deltas of kind {cls.kind!r} cannot become one; save or export them one by one"
        )

    def norms(self, model: nn.Module) -> dict[str, float]:
        """Relative Frobenius norm ||dW|| / ||W|| of each parameter's change, W as it is in the model now."""
        return {}

    def export(self, model: nn.Module, directory: str | Path) -> Path:
        """Write it as an adapter for other tools; only names, shapes and layer types of the model are read.

        Raises:
            UnsupportedExport: This kind cannot be written so.
            SaveFailed: The folder cannot be written; it is as before then.
        """
        raise UnsupportedExport(f"a delta of kind {self.kind!r} cannot be exported as an adapter; save it instead")

    # What follows for every kind

    def on_base(self, base_hash: str) -> Self:
        """The same for another base; what it was computed on is noted in the manifest under "computed_on"."""
        if self.base_hash == base_hash:
            return self
        return replace(self.noting(computed_on=self.base_hash), base_hash=base_hash)  # type: ignore[type-var]

    def noting(self, **facts: Any) -> Self:
        """The same with more in its manifest."""
        return self.with_manifest({**self.manifest, **facts})

    def with_manifest(self, manifest: dict[str, Any]) -> Self:
        """The same with another manifest."""
        return replace(self, manifest=manifest)  # type: ignore[type-var]

    def check_base(self, model: nn.Module) -> None:
        """Make sure that the model's weights are those the delta was computed on.

        Raises:
            WrongBase: They are not; names both hashes.
            UnsupportedModel: See `weights_in`.
        """
        self.weights_in(model)
        actual = hash_weights(model, self.names)
        if actual != self.base_hash:
            raise wrong_base(self, actual)

    def apply(self, model: nn.Module, *, check: bool = True) -> Applied:
        """Change the model; use the result to revert it, or as a context manager.

        Args:
            model: Model to change in place; parameters keep their identity, flags and gradients.
            check: Refuse other weights than those the delta was computed on.

        Raises:
            WrongBase: The model's weights are others (only with `check`), or have other shapes.
            UnsupportedModel: See `weights_in`.
            EditDiverged: The result does not fit the model's dtype. In all cases the model is unchanged.
        """
        if check:
            self.check_base(model)
        weights = self.weights_in(model)
        values = {name: self.edited(name, weight) for name, weight in weights.items()}
        after = {name: digest(name, value) for name, value in values.items()}
        before = write_weights(weights, values)
        try:
            detach = self.attach(model)
        except BaseException:
            write_weights(weights, before)
            raise
        return Applied(self, weights, before, after, detach)

    def save(self, directory: str | Path) -> Path:
        """Write the delta into a folder as safetensors and `manifest.json`; a delta saved there is replaced.

        Returns:
            The folder.

        Raises:
            SaveFailed: The disk is full or the folder cannot be written; it is as before then.
        """
        save_stored(self.stored(), Path(directory))
        return Path(directory)

    @classmethod
    def load(cls, directory: str | Path, model: nn.Module | None = None) -> Self:
        """Read a saved delta; given a model, also make sure that it is the one the delta was computed on.

        `Delta.load` reads every kind, `load` of a kind only its own.

        Raises:
            FileCorrupt: Something is missing, damaged or forged, or of a kind that is not known here.
            WrongBase: The model's weights are others.
        """
        folder = Path(directory)
        stored = load_stored(folder)
        kind = find_kind(stored.kind)
        if kind is None:
            raise corrupt(folder, f"its kind {stored.kind!r} is not known here; import the package that made it")
        if not issubclass(kind, cls):
            raise corrupt(folder, f"its kind is {stored.kind!r}, not {cls.kind!r}")
        try:
            delta = kind.from_stored(stored)
        except (KeyError, ValueError, EditDiverged) as error:
            raise corrupt(folder, f"its tensors do not fit its manifest ({error})") from error
        if delta.id != stored.id:
            raise corrupt(folder, f"its content has the id {delta.id}, its manifest says {stored.id}")
        if model is not None:
            delta.check_base(model)
        return delta

    @classmethod
    def from_pretrained(cls, name: str, model: nn.Module | None = None, *, revision: str | None = None) -> Self:
        """`load` of a folder, or of a repository of the Hugging Face hub.

        Args:
            name: A folder that is there, else "owner/name".
            model: See `load`.
            revision: Branch, tag or commit on the hub.

        Raises:
            HubFailed: The hub cannot be reached, or has no such repository.
            FileCorrupt, WrongBase: See `load`.
        """
        folder = Path(name)
        if not folder.is_dir():
            folder = download(name, (MANIFEST, "*.safetensors"), revision=revision)
        return cls.load(folder, model)


class Applied:
    """A delta on a model, with the original weights kept aside.

    As a context manager it is reverted at the end of the block, whatever happened inside.

    Attributes:
        delta: What was applied.
    """

    def __init__(
        self,
        delta: Delta,
        weights: Mapping[str, nn.Parameter],
        before: dict[str, Tensor],
        after: dict[str, str],
        detach: Detach | None,
    ) -> None:
        """Made by `Delta.apply`."""
        self.delta = delta
        self._weights = dict(weights)
        self._before: dict[str, Tensor] | None = before
        self._after = after
        self._detach = detach

    def revert(self) -> None:
        """Put the original weights back, bit for bit, and remove what acts at run time. A second call does nothing.

        Raises:
            WeightsChanged: Something else wrote to a weight meanwhile; putting the originals back would undo
                that as well. Nothing is written then.
        """
        if self._before is None:
            return
        for name, weight in self._weights.items():
            if digest(name, weight) != self._after[name]:
                raise weights_changed(name)
        if self._detach is not None:
            self._detach()
        write_weights(self._weights, self._before)
        self._before = None

    def __enter__(self) -> Applied:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.revert()


def find_kind(name: str) -> type[Delta] | None:
    """The class of a kind: one of the package, or one that was imported from elsewhere."""
    if name in KINDS:
        module, _, attribute = KINDS[name].partition(":")
        kind: type[Delta] = getattr(import_module(module), attribute)
        return kind
    candidates: list[type[Delta]] = list(Delta.__subclasses__())
    while candidates:
        candidate = candidates.pop()
        if getattr(candidate, "kind", None) == name:
            return candidate
        candidates += candidate.__subclasses__()
    return None


def wrong_base(delta: Delta, actual: str) -> WrongBase:
    """The error for a delta that meets other weights than its own."""
    return WrongBase(
        f"this delta was computed on weights with hash {delta.base_hash}, but the model's have hash {actual} "
        f"({', '.join(delta.names)}). Load the model that it was made for, without other edits applied."
    )


def weights_changed(name: str) -> WeightsChanged:
    """The error for weights that changed behind the back of whoever keeps their originals."""
    return WeightsChanged(
        f"{name} is not as the last edit left it: something else wrote to it (training, or another edit that "
        "is still applied). Revert later changes first, or reload the model."
    )
