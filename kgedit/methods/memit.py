"""MEMIT: many facts at once, spread over a band of layers (Meng et al., ICLR 2023, arXiv 2210.07229).

Phase 1 finds for each fact the hidden state z that the band's last layer should give at the subject's last token.
Phase 2 goes through the band from below; each layer takes an equal share of what is still missing,

    dW = R K^T (lambda C + K K^T)^-1,

K the keys of all facts at that layer (averaged over contexts), R their missing hidden states; so the change is the
least-squares compromise between the new facts and the keys that C stands for. docs/methods.md, "MEMIT".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor

from kgedit.delta import LowRankDelta, WeightUpdate, hash_weights
from kgedit.errors import UnsupportedModel
from kgedit.graph.subgraph import Subgraph
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.hooks import frozen
from kgedit.methods.base import (
    Case,
    Computed,
    Request,
    Workbench,
    check_cases,
    guessed_layer,
)
from kgedit.methods.engine.batch import EditBatch
from kgedit.methods.engine.closed_form import Moment
from kgedit.methods.engine.objective import Objective
from kgedit.methods.engine.value import FreeOffset, Solution, optimise
from kgedit.methods.rome import rome_objective
from kgedit.methods.value_method import ValueMethod, ValueSettings

# A write that goes less than this part of the way to z gets a note.
ENOUGH = 0.75


class MemitConfig(ValueSettings):
    """Hyper-parameters of MEMIT; the defaults are those published for gpt2-xl.

    Attributes:
        layers: The band, ascending.
        weight_decay: Weight of ||delta|| / ||h||^2.
        clamp: Bound of ||delta|| / ||h||.
        moment_weight: lambda, how much the old keys weigh against the new.
    """

    # "paper-glame" is MEMIT as GLAME's own tables run it, which differs for some models only (their presets).
    published: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"prefixes": "10x5", "prefix_seeds": "words", "moment_ridge": 0.0},
        "paper-glame": {},
    }

    layers: tuple[int, ...] = Field(min_length=1)
    clamp: float = Field(default=0.75, gt=0)
    moment_weight: float = Field(default=20000.0, gt=0)

    @classmethod
    def guess(cls, n_layers: int) -> dict[str, Any]:
        """A band of five layers that ends at the edit layer."""
        last = guessed_layer(n_layers)
        return {"layers": list(range(max(last - 4, 0), last + 1))}

    @model_validator(mode="after")
    def _ascending(self) -> MemitConfig:
        if list(self.layers) != sorted(set(self.layers)):
            raise ValueError(f"layers must be ascending and distinct, not {self.layers}")
        return self


class Memit(ValueMethod):
    """The method; see the module's docstring."""

    name = "memit"
    summary = "Many facts at once, spread over a band of layers (Meng et al., 2023)."
    Config = MemitConfig
    config: MemitConfig

    @property
    def moment_layers(self) -> tuple[int, ...]:
        """The band."""
        return self.config.layers

    @property
    def writes_jointly(self) -> bool:
        """Always."""
        return True

    def compute(
        self, bench: Workbench, requests: Sequence[Request], subgraphs: Sequence[Subgraph | None] = ()
    ) -> list[Computed]:
        """One delta per request, each written alone (subgraphs are not read)."""
        return self.together(bench, [[(request, None)] for request in requests])

    @torch.inference_mode(False)  # gradients are needed whatever mode the caller is in
    def together(self, bench: Workbench, cases: Sequence[Case]) -> list[Computed]:
        """One delta per case, its edits written jointly; phase 1 of all cases shares one batch.

        Raises:
            UnsupportedModel: The family has a norm between the MLP and the residual stream (Gemma 2).
        """
        if not cases:
            return []
        check_cases(cases)
        config, model = self.config, bench.model
        anatomy = anatomy_of(model)
        if anatomy.post_mlp_path is not None:
            raise UnsupportedModel(
                f"MEMIT cannot edit a {anatomy.family} model: {anatomy.post_mlp_path} stands between the MLP and the "
                "residual stream and fixes the size of what the MLP adds, so no change of the MLP's weights reaches "
                "the hidden state that MEMIT asks for. Use rome or glame, whose m* lies before that norm."
            )
        objectives = [
            [rome_objective(bench, request, ending=config.ending, kl_weight=config.kl_weight) for request, _ in case]
            for case in cases
        ]
        with frozen(model):
            # Phase 1 for the edits of all cases in one batch, phase 2 case by case.
            solutions, goals = self._goals(bench, [objective for case in objectives for objective in case])
            base = hash_weights(model, [anatomy.weight_name(layer) for layer in config.layers])
            computed: list[Computed] = []
            begin = 0
            for case in objectives:
                end = begin + len(case)
                updates, shares = self._write(bench, case, goals[begin:end])
                reached = reached_share(shares)
                log = {
                    "losses": [solution.losses for solution in solutions[begin:end]],
                    "reached": [round(float(share), 4) for share in reached],
                }
                manifest = {"method": self.name, "settings": config.model_dump(mode="json"), "seed": bench.seed, **log}
                notes = _weak(shares, config.moment_weight) if float(reached.min()) < ENOUGH else ()
                computed.append(Computed(LowRankDelta(updates, base, manifest), notes, log))
                begin = end
        return computed

    def _write(
        self, bench: Workbench, objectives: Sequence[Objective], goals: Tensor
    ) -> tuple[tuple[WeightUpdate, ...], Tensor]:
        """Phase 2 of one case, whose edits should reach the hidden states `goals` (edits, d).

        Returns:
            The updates; and (layers, edits) how much of its residual each layer writes for each edit.
        """
        anatomy, layers = anatomy_of(bench.model), self.config.layers
        updates: list[WeightUpdate] = []
        shares: list[Tensor] = []
        for place, layer in enumerate(layers):
            keys, hidden = self._measured(bench, objectives, layer, updates)
            # R, the share of this layer: what is missing, divided by the layers that are still to come (and by what
            # the family scales the MLP's output with before it is added to the residual stream).
            missing = (goals - hidden) / (len(layers) - place) / anatomy.residual_factor(bench.model)  # (edits, d)
            left = joint_solve(keys, bench.moments[layer], self.config.moment_weight)  # (d_ff, edits)
            updates.append(WeightUpdate(anatomy.weight_name(layer), left, missing.T, anatomy.conv1d))
            shares.append((keys.double() * left.T.to(keys.device)).sum(dim=1).cpu())  # (edits,)
        return tuple(updates), torch.stack(shares)

    def _goals(self, bench: Workbench, objectives: Sequence[Objective]) -> tuple[list[Solution], Tensor]:
        """Phase 1: the solutions, and (edits, d) hidden states z that the band's last layer should give."""
        config = self.config
        batch = EditBatch(bench.model, anatomy_of(bench.model), objectives, config.layers[-1:])
        hidden = batch.hidden[batch.first_rows]  # (edits, d)
        offsets = [
            FreeOffset(
                state.unsqueeze(0),
                learning_rate=config.learning_rate,
                weight_decay=config.weight_decay,
                clamp=config.clamp,
            )
            for state in hidden
        ]
        solutions = optimise(batch, offsets, steps=config.steps, stop_loss=config.stop_loss)
        return solutions, hidden + torch.cat([solution.offset for solution in solutions])

    def _measured(
        self, bench: Workbench, objectives: Sequence[Objective], layer: int, updates: Sequence[WeightUpdate]
    ) -> tuple[Tensor, Tensor]:
        """Keys (edits, d_ff) at a layer and hidden states (edits, d) of the band's last, with `updates` applied."""
        model, anatomy = bench.model, anatomy_of(bench.model)
        last = self.config.layers[-1]
        applied = LowRankDelta(tuple(updates), base_hash="").apply(model, check=False) if updates else None
        try:
            batch = EditBatch(model, anatomy, objectives, [layer])
            above = batch if layer == last else EditBatch(model, anatomy, objectives, [last])
        finally:
            if applied is not None:
                applied.revert()
        keys = []
        for number, objective in enumerate(objectives):
            of_rows, _ = batch.of_edit(number, layer)  # (rows, d_ff)
            bare, *behind = objective.contexts  # the bare prompt weighs as much as all prefixes together
            mean = of_rows[bare] if not behind else (of_rows[bare] + of_rows[behind].mean(dim=0)) / 2
            keys.append(mean)
        return torch.stack(keys), above.hidden[above.first_rows]


def reached_share(shares: Tensor) -> Tensor:
    """(edits,) about how much of the way to z the write goes, for the shares (layers, edits) that its layers write.

    Layer j of q is asked for 1 / (q - j + 1) of what is still missing, and writes its share of that.
    """
    layers = len(shares)
    left_over = torch.ones_like(shares[0])
    for place, share in enumerate(shares):
        left_over = left_over * (1 - share / (layers - place))
    return 1 - left_over


def _weak(shares: Tensor, weight: float) -> tuple[str, ...]:
    """What to do about a write that went a small part of the way, since the old keys weigh too much."""
    # One edit's share is c / (1 + c) with c = k^T C^-1 k / lambda; c = 9 writes nine tenths.
    strength = (shares / (1 - shares).clamp_min(1e-9)).median(dim=0).values.min()  # ()
    value = float(f"{weight * float(strength) / 9:.1g}")
    percent = 100 * float(reached_share(shares).min())
    return (
        f"the write went {percent:.2g} % of the way to the value that was found: moment_weight {weight:g} holds the "
        f"model's old keys too dear for its second moments; try memit:moment_weight={value:g}",
    )


def joint_solve(keys: Tensor, moment: Moment, weight: float) -> Tensor:
    """(lambda C + K^T K)^-1 K^T for keys K (edits, d_ff), as (d_ff, edits) float32.

    By the push-through identity this is A (I + K A)^-1 with A = C^-1 K^T / lambda, a solve of the size of the batch.
    """
    wide = keys.double()
    solved = moment.solve(wide).to(wide.device).T / weight  # (d_ff, edits)
    small = torch.eye(len(wide), dtype=wide.dtype, device=wide.device) + wide @ solved  # (edits, edits)
    left: Tensor = torch.linalg.solve(small.T, solved.T).T  # (d_ff, edits)
    return left.float()
