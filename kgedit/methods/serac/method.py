"""SERAC: a memory of edits, a trained scope classifier, a counterfactual for what is in scope (Mitchell et al., 2022).

The memory is a keyed store (`delta.keyed`). A prompt in the scope of an edit, g above a threshold for the nearest,
goes to the counterfactual; any other keeps the model's output bit for bit. The paper's counterfactual is a second
language model that reads the edit; here it is the model's own upper blocks, which read a value trained for the edit.
docs/methods.md, "SERAC".
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from kgedit.delta import model_hash
from kgedit.delta.codebook import Lookup
from kgedit.delta.keyed import scope_of
from kgedit.errors import DataError
from kgedit.lm.anatomy import anatomy_of, context_length
from kgedit.lm.hooks import frozen
from kgedit.lm.tokens import encode_texts
from kgedit.methods.base import Workbench
from kgedit.methods.curriculum import Curriculum
from kgedit.methods.engine.training_loop import TrainingLoop
from kgedit.methods.grace import Grace, KeyedSettings, queries
from kgedit.methods.serac.scope import ScopeCases, ScopeClassifier, reach
from kgedit.methods.settings import MethodSettings
from kgedit.methods.trained_editor import TrainedEditor, TrainedMethod, TrainedSettings, checkpoint_of

_ROWS = 128  # prompts that are read at once


class SeracSettings(TrainedSettings, KeyedSettings):
    """Hyper-parameters; those from `size` on belong to the training of the scope classifier.

    Attributes:
        threshold: Probability g above which a prompt is in the scope of an edit; the paper's is 1/2.
        size: Numbers in an embedding.
        training_steps: Most steps.
        rate: Adam's.
        edits: Edits in a step.
        check_every: Steps between two looks at edits that are held out.
        patience: The training ends when these have not become better for so many steps.
    """

    shaping: ClassVar[tuple[str, ...]] = ("layer", "size")

    threshold: float = Field(default=0.5, gt=0, lt=1)
    size: int = Field(default=64, ge=1)
    training_steps: int = Field(default=3000, ge=1)
    rate: float = Field(default=1e-3, gt=0)
    edits: int = Field(default=128, ge=2)
    check_every: int = Field(default=50, ge=1)
    patience: int = Field(default=600, ge=1)

    @property
    def lookup(self) -> Lookup:
        """The direction at the prompt's last token; a value that stands in for the output."""
        return Lookup(reach(self.threshold), adapts=False, replaces=True, unit=True)


class Serac(TrainedMethod, Grace):
    """The method; see the module's docstring."""

    name = "serac"
    summary = "A memory of edits behind a trained classifier of what each is about (after Mitchell et al., 2022)."
    kind = "memory"
    needs = "a trained editor"
    Config: ClassVar[type[MethodSettings]] = SeracSettings
    config: SeracSettings

    def lookup(self, bench: Workbench) -> tuple[Lookup, Tensor | None]:
        """The trained classifier's."""
        projection = self.trained(bench).tensors["projection"].float().cpu()
        lookup = self.config.lookup
        return Lookup(lookup.radius, adapts=False, replaces=True, unit=True, scope=scope_of(projection)), projection

    def fresh(self, bench: Workbench) -> TrainedEditor:
        """See `TrainedMethod.fresh`."""
        settings = self.config.model_dump(mode="json", exclude={"editor"})
        return TrainedEditor(self.name, model_hash(bench.model), self._new(bench).state_dict(), settings)

    @torch.inference_mode(False)
    def train(self, bench: Workbench, lessons: Curriculum, held_out: Curriculum, *, minutes: float) -> TrainedEditor:
        """See `TrainedMethod.train`.

        Raises:
            DataError: There is no fact in two wordings with others of its relation.
        """
        config, fresh, classifier = self.config, self.fresh(bench), self._new(bench)
        with frozen(bench.model):
            learned, looked = (ScopeCases(part.lessons, self._reader(bench)) for part in (lessons, held_out))
        if not learned.cases or not looked.cases:
            raise DataError("no fact of the curriculum has two wordings and others of its relation; give more facts")
        adam = torch.optim.Adam(classifier.parameters(), lr=config.rate)
        loop = TrainingLoop(
            self.name, classifier, adam, config.training_steps, config.check_every, config.patience,
            checkpoint_of(fresh, bench.seed, lessons, held_out), progress=bench.progress,
        )  # fmt: skip

        @torch.enable_grad()
        def step(number: int) -> None:
            loss, _ = learned.loss(classifier, random.Random(f"{bench.seed} {number}"), config.edits)
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()

        @torch.no_grad()
        def look() -> dict[str, Any]:
            _, routed = looked.loss(classifier, random.Random(f"held out {bench.seed}"), len(looked.cases))
            return dict(routed)

        best, figures = loop.run(step, look, minutes)
        return TrainedEditor(fresh.method, fresh.base, best.state_dict(), fresh.settings, figures)

    def _new(self, bench: Workbench) -> ScopeClassifier:
        anatomy = anatomy_of(bench.model)
        d_ff = anatomy.weight(bench.model, self.config.layer).shape[0 if anatomy.conv1d else 1]
        return ScopeClassifier(self.config.size, d_ff, bench.seed)

    def _reader(self, bench: Workbench) -> Any:
        """Gives the directions (prompts, d_ff) of prompts, on the CPU; one that is too long for the context is cut."""
        limit, progress = context_length(bench.model), bench.progress

        def read(prompts: Sequence[str]) -> Tensor:
            ids = [text.ids[-limit:] for text in encode_texts(bench.tokenizer, prompts)]
            order = sorted(range(len(ids)), key=lambda number: len(ids[number]))
            rows: list[Tensor] = []
            for start in range(0, len(order), _ROWS):
                part = [ids[number] for number in order[start : start + _ROWS]]
                rows.append(queries(bench.model, self.config.layer, part, self.config.lookup).cpu())
                if progress:
                    progress("reading prompts", min(start + _ROWS, len(order)), len(order))
            return torch.cat(rows)[torch.tensor(order).argsort()]  # (prompts, d_ff)

        return read
