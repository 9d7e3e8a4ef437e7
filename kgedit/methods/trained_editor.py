"""What a method has learned about editing one model, in a file of its own, bound to the hash of the unedited weights.

Methods that learn to edit (`TrainedMethod`) are trained once for each model by `kgedit train-editor`. The file is
safetensors with a checksum and lies in the cache, where later commands find it.
"""

from __future__ import annotations

import hashlib
import json
import shlex
import weakref
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field
from torch import Tensor
from transformers import PreTrainedModel

from kg_cache.settings import Settings
from kgedit.delta import model_hash
from kgedit.errors import FileCorrupt, SettingError, UntrainedEditor, WrongBase
from kgedit.io.atomic_files import write_files
from kgedit.io.sealed import read_sealed, seal
from kgedit.lm.base_name import base_name
from kgedit.methods.base import Method, Workbench
from kgedit.methods.curriculum import Curriculum
from kgedit.methods.engine.training_checkpoint import TrainingCheckpoint
from kgedit.methods.settings import MethodSettings


@dataclass(frozen=True)
class TrainedEditor:
    """What a method has learned for one model.

    Attributes:
        method: The method's name.
        base: `model_hash` of the unedited model.
        tensors: Name -> what was learned.
        settings: The method's settings while it was trained, plain JSON.
        figures: What the training measured, plain JSON.
    """

    method: str
    base: str
    tensors: Mapping[str, Tensor]
    settings: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)

    def save(self, path: Path) -> Path:
        """Write the file; it is there as a whole or not at all.

        Raises:
            SaveFailed: Disk full, read-only folder and the like.
        """
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.tensors.items()}
        texts = {"settings": json.dumps(self.settings), "figures": json.dumps(self.figures)}
        write_files(path.parent, {path.name: seal(tensors, {"method": self.method, "base": self.base, **texts})})
        return path

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file of `save`.

        Raises:
            FileCorrupt: It is damaged, or something else.
        """
        tensors, about = read_sealed(path, "delete it and train the editor anew")
        try:
            texts = {name: json.loads(about[name]) for name in ("settings", "figures")}
            return cls(about["method"], about["base"], tensors, **texts)
        except (KeyError, ValueError) as error:
            raise FileCorrupt(f"{path} is no trained editor ({error}); `kgedit train-editor` makes one") from error


def is_trained_editor(content: bytes) -> bool:
    """Whether the content of a file is what `TrainedEditor.save` writes, whole or damaged."""
    try:
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except (ValueError, RecursionError):
        return False
    about = header.get("__metadata__") if isinstance(header, dict) else None
    return isinstance(about, dict) and about.keys() >= {"method", "base", "settings", "figures", "sha256"}


def editor_file(method: str, base: str) -> Path:
    """Where the cache keeps the trained editor of a method for a model.

    Args:
        method: The method's name.
        base: `model_hash` of the unedited model.
    """
    return _folder() / f"{method}-{base[:16]}.safetensors"


def checkpoint_of(fresh: TrainedEditor, seed: int, lessons: Curriculum, held_out: Curriculum) -> TrainingCheckpoint:
    """Where the cache keeps the state of an unfinished training; another for all that it depends on.

    Args:
        fresh: The editor that it begins with.
        seed: Of what its steps draw.
        lessons: See `TrainedMethod.train`.
        held_out: Likewise.
    """
    told = hashlib.sha256(repr((lessons, held_out)).encode()).hexdigest()
    identity = json.dumps([fresh.method, fresh.base, fresh.settings, seed, told])
    return TrainingCheckpoint.at(_folder(), fresh.method, identity)


def _folder() -> Path:
    return Settings().cache_dir / "editors"


class TrainedSettings(MethodSettings):
    """Base of the settings of a method that learns to edit.

    Attributes:
        editor: File of the trained editor; by default the one that the cache has for the model.
    """

    # Fields that a trained editor must have been trained with.
    shaping: ClassVar[tuple[str, ...]] = ("ending",)

    editor: str = Field(default="", max_length=4096)


class TrainedMethod(Method):
    """A method that learns, once for each model, how to edit it."""

    Config: ClassVar[type[MethodSettings]] = TrainedSettings
    needs = "a trained editor"
    takes_gate = False
    config: TrainedSettings

    def __init__(self, config: TrainedSettings) -> None:
        """Take the settings; the trained editor is looked for when it is first needed."""
        super().__init__(config)
        self._held: tuple[weakref.ref[PreTrainedModel], TrainedEditor] | None = None

    @abstractmethod
    def train(self, bench: Workbench, lessons: Curriculum, held_out: Curriculum, *, minutes: float) -> TrainedEditor:
        """Learn to edit the model, which is left as it is.

        A stopped training goes on where it was when it is called again with the same arguments.

        Args:
            bench: The unedited model and its tokenizer.
            lessons: Edits to learn from, and facts that stay.
            held_out: Others, by which the training sees when to stop.
            minutes: The most time; then what was best so far is returned.
        """

    @abstractmethod
    def fresh(self, bench: Workbench) -> TrainedEditor:
        """The editor of the unedited model before any training, with which a training begins."""

    def trained(self, bench: Workbench) -> TrainedEditor:
        """The trained editor for the model of a workbench, which may carry edits.

        Raises:
            UntrainedEditor: There is none.
            WrongBase: It belongs to another model.
            SettingError: It was trained with other settings than these, or by another method.
            FileCorrupt: It is damaged.
        """
        if self._held is None or self._held[0]() is not bench.model:
            base = bench.unedited_hash() if bench.unedited_hash else model_hash(bench.model)
            self._held = weakref.ref(bench.model), self._found(bench.model, base)
        return self._held[1]

    def check_model(self, model: PreTrainedModel) -> None:
        """See `Method.check_model`: there is a trained editor for it, and its settings are these."""
        self._found(model, model_hash(model))

    def _found(self, model: PreTrainedModel, base: str) -> TrainedEditor:
        path = Path(self.config.editor) if self.config.editor else editor_file(self.name, base)
        command = f"kgedit train-editor --method {self.name} --model {shlex.quote(base_name(model) or 'MODEL')}"
        if not path.is_file():
            where = f"there is no {path}" if self.config.editor else f"{self.name} has not been trained for this model"
            raise UntrainedEditor(f"{where}; train it once: {command}")
        editor = TrainedEditor.load(path)
        if editor.method != self.name:
            raise SettingError(f"{path} was trained for {editor.method}, not for {self.name}; train one: {command}")
        if editor.base != base:
            raise WrongBase(
                f"{path} was trained for a model with hash {editor.base[:16]}, not for this one ({base[:16]}); "
                f"train one for it: {command}"
            )
        wanted = self.config.model_dump(mode="json")
        for name in self.config.shaping:
            if editor.settings.get(name) != wanted[name]:
                raise SettingError(
                    f"{path} was trained with {name} {editor.settings.get(name)!r}, not {wanted[name]!r}; give "
                    f"{self.name} the setting that it was trained with, or train it anew: {command}"
                )
        return editor
