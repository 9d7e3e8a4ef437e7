"""The base of hypernetwork editors: training, and one low-rank change for each edit."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch

from kgedit.delta import LowRankDelta, WeightUpdate, hash_weights, model_hash
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.hooks import frozen
from kgedit.lm.padding import pad_id
from kgedit.methods.base import Case, Computed, Request, Workbench, check_cases
from kgedit.methods.curriculum import Curriculum, Question
from kgedit.methods.engine.edit_gradient import (
    Changes,
    EditedMatrix,
    Row,
    ScoredTexts,
    edit_gradient,
    mlp_matrices,
)
from kgedit.methods.hyper.config import HyperSettings
from kgedit.methods.hyper.course import Course
from kgedit.methods.hyper.network import Condition, Hypernetwork, TrainingObjective
from kgedit.methods.hyper.training import HyperTraining
from kgedit.methods.settings import MethodSettings
from kgedit.methods.trained_editor import TrainedEditor, TrainedMethod, checkpoint_of


class HyperMethod(TrainedMethod):
    """A method whose trained network turns the gradient of an edit into its change."""

    kind = "hypernetwork"
    Config: ClassVar[type[MethodSettings]] = HyperSettings
    config: HyperSettings

    def __init__(self, config: HyperSettings) -> None:
        """Take the hyper-parameters; the trained editor is looked for when it is first needed."""
        super().__init__(config)
        self._network: tuple[TrainedEditor, Hypernetwork] | None = None

    @abstractmethod
    def network(self, bench: Workbench, matrices: Sequence[EditedMatrix]) -> Hypernetwork:
        """A network before training."""

    @abstractmethod
    def trainer(self, network: Hypernetwork) -> tuple[TrainingObjective, torch.optim.Optimizer]:
        """What a network is trained by."""

    def rate(self, over: float) -> float:
        """Share of the learning rate when so much of the training is over."""
        return 1.0

    @property
    def smoothing(self) -> float:
        """Share of the wanted distribution that is spread over the vocabulary, in every loss."""
        return 0.0

    def conditions(self, bench: Workbench, questions: Sequence[Question]) -> list[Condition]:
        """What the network reads of each edit beside its gradient."""
        return [()] * len(questions)

    def scaled(self, bench: Workbench, matrices: Sequence[EditedMatrix], changes: Changes, edit: Row) -> Changes:
        """The change of one edit as it is written."""
        return changes

    @torch.inference_mode(False)  # gradients are needed whatever mode the caller is in
    def together(self, bench: Workbench, cases: Sequence[Case]) -> list[Computed]:
        """One delta per case: the changes of its edits, each from the model as it is, side by side.

        Raises:
            UntrainedEditor, WrongBase, SettingError, FileCorrupt: See `TrainedMethod.trained`.
        """
        check_cases(cases)
        if not cases:
            return []
        matrices = self._matrices(bench)
        network = self._trained_network(bench, matrices)
        computed = []
        with frozen(bench.model):
            rows = [[(request, self._row(bench, request)) for request, _ in case] for case in cases]
            base = hash_weights(bench.model, [matrix.name for matrix in matrices])
            for number, case in enumerate(rows):
                parts = [self._change(bench, matrices, network, *edit) for edit in case]
                updates = tuple(
                    WeightUpdate(
                        matrix.name,
                        torch.cat([part[matrix.name][0][0] for part in parts]).T,  # (d_in, rank)
                        torch.cat([part[matrix.name][1][0] for part in parts]).T,  # (d_out, rank)
                        matrix.conv1d,
                    )
                    for matrix in matrices
                )
                settings = self.config.model_dump(mode="json", exclude={"editor"})
                manifest = {"method": self.name, "settings": settings, "seed": bench.seed}
                computed.append(Computed(LowRankDelta(updates, base, manifest)))
                if bench.progress:
                    bench.progress("edit", number + 1, len(cases))
        return computed

    def fresh(self, bench: Workbench) -> TrainedEditor:
        """See `TrainedMethod.fresh`."""
        network = self._new_network(bench, self._matrices(bench))
        settings = self.config.model_dump(mode="json", exclude={"editor"})
        return TrainedEditor(self.name, model_hash(bench.model), network.state_dict(), settings)

    @torch.inference_mode(False)
    def train(self, bench: Workbench, lessons: Curriculum, held_out: Curriculum, *, minutes: float) -> TrainedEditor:
        """See `TrainedMethod.train`.

        Raises:
            DataError: No edit suits the tokenizer and the context.
            EditDiverged: A loss is NaN or infinite.
        """
        matrices, fresh = self._matrices(bench), self.fresh(bench)
        network = self._new_network(bench, matrices)
        objective, optimizer = self.trainer(network)
        with frozen(bench.model), torch.enable_grad():

            def course(curriculum: Curriculum) -> Course:
                return Course(
                    self.config, bench, curriculum, lambda asked: self.conditions(bench, asked), self.smoothing
                )

            training = HyperTraining(
                name=self.name,
                config=self.config,
                network=network,
                objective=objective,
                optimizer=optimizer,
                rate=self.rate,
                matrices=matrices,
                course=course(lessons),
                held_out=course(held_out),
                checkpoint=checkpoint_of(fresh, bench.seed, lessons, held_out),
                seed=bench.seed,
                progress=bench.progress,
            )
            best, figures = training.run(minutes)
        return TrainedEditor(fresh.method, fresh.base, best.state_dict(), fresh.settings, figures)

    def _matrices(self, bench: Workbench) -> list[EditedMatrix]:
        output_only = self.config.matrices == "output"
        return mlp_matrices(bench.model, anatomy_of(bench.model), self.config.layers, output_only=output_only)

    def _new_network(self, bench: Workbench, matrices: Sequence[EditedMatrix]) -> Hypernetwork:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(bench.seed)
            return self.network(bench, matrices).to(bench.model.device)

    def _trained_network(self, bench: Workbench, matrices: Sequence[EditedMatrix]) -> Hypernetwork:
        """The trained editor as a network; kept as long as it is the same one."""
        editor = self.trained(bench)
        if self._network is None or self._network[0] is not editor:
            network = self._new_network(bench, matrices)
            network.load_state_dict(dict(editor.tensors))
            self._network = editor, network.requires_grad_(False)
        return self._network[1]

    def _row(self, bench: Workbench, request: Request) -> Row:
        (prompt,), target = bench.encoded(request, self.config.ending)
        return prompt, target

    def _change(
        self, bench: Workbench, matrices: Sequence[EditedMatrix], network: Hypernetwork, request: Request, row: Row
    ) -> Changes:
        """The change of one edit, with one edit in its batch."""
        texts = ScoredTexts([row], pad_id(bench.tokenizer), bench.model.device)
        with torch.enable_grad():
            gradient = edit_gradient(bench.model, matrices, texts, smoothing=self.smoothing)
        with torch.no_grad():
            conditions = self.conditions(bench, [(request.question, request.target)])
            return self.scaled(bench, matrices, network(gradient, conditions), row)
