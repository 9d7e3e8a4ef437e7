"""LocFT-BF: one MLP output matrix trained breadth-first on all edits together (Yang et al., 2025, arXiv 2509.22072).

Fine-tuning one edit after the other (depth-first) undoes the earlier ones; passes over all edits (breadth-first) keep
them. Published: one matrix, every target with the end of text behind it, Adam, batches whose loss is low are skipped.
Two of its variants are settings: random prefixes before the edit prompts, and a mean over tokens instead of texts.
Plain training learns the sentence and harms its neighbours, so edits can be asked in further wordings, and known facts
around them be held where the unedited model has them. docs/methods.md, "LocFT-BF".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch

from kgedit.delta import LowRankDelta, hash_weights
from kgedit.graph.verbalize import Verbalizer
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.hooks import frozen
from kgedit.lm.padding import pad_id
from kgedit.lm.prefixes import PrefixPlan
from kgedit.methods.base import Case, Computed, Method, Workbench, check_cases
from kgedit.methods.curriculum import Curriculum, in_both_forms
from kgedit.methods.engine.trained_matrix import TrainedMatrix, full_update
from kgedit.methods.finetune_adapter.lessons import curriculum_of, with_texts
from kgedit.methods.locft.config import LocftConfig
from kgedit.methods.locft.training import Training


class Locft(Method):
    """The method; see the module's docstring."""

    name = "locft"
    summary = "One MLP output matrix trained breadth-first on all edits (Yang et al., 2025)."
    kind = "fine-tuning"
    takes_gate = False
    takes_chat = True
    Config = LocftConfig
    uses_graph = True
    shares_change = True
    # LocFT-BF as published asks the edit prompts alone and rehearses nothing: a store would lose what must stay.
    in_stores: ClassVar[Mapping[str, Any]] = {"wordings": 2, "rehearsed": 4.0}
    config: LocftConfig

    def __init__(self, config: LocftConfig, text: Verbalizer | None = None) -> None:
        """Take the hyper-parameters, and the wordings that facts are asked in."""
        super().__init__(config)
        self.text = text or Verbalizer.bundled()

    @property
    def prefix_plan(self) -> PrefixPlan | None:
        """The usual context prefixes, of which it takes the first, where its settings want some."""
        return PrefixPlan() if self.config.prefixes else None

    @property
    def subgraph_options(self) -> dict[str, Any]:
        """How the subgraphs it is handed should be built."""
        return {"order": self.config.order_of_graph, "max_edges": self.config.max_edges}

    @property
    def rehearses(self) -> int:
        """As its settings say."""
        return self.config.facts if self.config.rehearsed else 0

    @torch.inference_mode(False)  # gradients are needed whatever mode the caller is in
    def together(self, bench: Workbench, cases: Sequence[Case]) -> list[Computed]:
        """One delta per case, all its requests trained together.

        Raises:
            EditDiverged: A loss is NaN or infinite.
        """
        check_cases(cases)
        model, config = bench.model, self.config
        anatomy = anatomy_of(model)
        computed = []
        with frozen(model), torch.enable_grad():
            for case in cases:
                matrix = TrainedMatrix(model, anatomy, config.layer, pad_id(bench.tokenizer))
                change, losses = Training(config, bench, case, self._curriculum(bench, case), matrix).run()
                base = hash_weights(model, [matrix.name])
                log = {"losses": losses}
                manifest = {
                    "method": self.name,
                    "settings": config.model_dump(mode="json"),
                    "seed": bench.seed,
                    "changes": len(case),
                    **log,
                }
                update = full_update(matrix.name, change, conv1d=anatomy.conv1d)
                computed.append(Computed(LowRankDelta((update,), base, manifest), log=log))
        return computed

    def _curriculum(self, bench: Workbench, case: Case) -> Curriculum | None:
        """What the edits are trained on beside themselves; None where nothing is wanted."""
        config = self.config
        if bench.curriculum is not None:
            curriculum = bench.curriculum(config.facts)
        elif any(getattr(config, name) for name in ("wordings", "rehearsed", "inverse", "invented", "texts")):
            curriculum = curriculum_of(bench, case, self.text, ending=config.ending)
        else:
            return None
        return with_texts(bench, in_both_forms(curriculum, bench.chat), config.texts)
