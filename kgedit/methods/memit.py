"""MEMIT: many facts at once, spread over a band of layers (Meng et al., ICLR 2023, arXiv 2210.07229).

Phase 1 finds for each fact the hidden state z that the band's last layer should give at the subject's last token.
Phase 2 goes through the band from below; each layer takes an equal share of what is still missing,

    dW = R K^T (lambda C + K K^T)^-1,

K the keys of all facts at that layer (averaged over contexts), R their missing hidden states; so the change is the
least-squares compromise between the new facts and the keys that C stands for. docs/methods.md, "MEMIT".

What was proposed since for long sequences of edits are settings: another matrix in the place of lambda C (MEMIT-seq,
ENCORE, AlphaEdit, EMMET), a bound of the values (norm anchor), a value at the band's first layer that is replayed
(forward replay), an earlier stop, and one value for the facts of one subject. docs/methods.md, "Many edits".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from transformers import PreTrainedModel

from kgedit.delta import LowRankDelta, WeightUpdate, hash_weights
from kgedit.delta.low_rank import as_low_rank
from kgedit.delta.outliers import acting_everywhere
from kgedit.errors import UnsupportedModel
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.hooks import frozen
from kgedit.methods.base import Case, Computed, Request, Workbench, check_cases
from kgedit.methods.engine.batch import EditBatch
from kgedit.methods.engine.closed_form import Moment
from kgedit.methods.engine.earlier_keys import EarlierKeys
from kgedit.methods.engine.goals import anchored, merged, replayed
from kgedit.methods.engine.metric import NullSpace, joint_solve, reached_share, scale_of, soft_metric, written_share
from kgedit.methods.engine.objective import Objective
from kgedit.methods.engine.outlier_scope import at_outliers
from kgedit.methods.engine.subject_keys import last_keys, last_states
from kgedit.methods.engine.value import FreeOffset, Solution, optimise
from kgedit.methods.rome import rome_objective
from kgedit.methods.settings import Variant, guessed_layer
from kgedit.methods.value_method import ValueMethod, ValueSettings
from kgedit.progress import steps_of

# A write that goes less than this part of the way to z gets a note.
ENOUGH = 0.75


class MemitConfig(ValueSettings):
    """Hyper-parameters of MEMIT; the defaults are those published for gpt2-xl.

    Attributes:
        layers: The band, ascending.
        weight_decay: Weight of ||delta|| / ||h||^2.
        clamp: Bound of ||delta|| / ||h||.
        moment_weight: lambda, how much the old keys weigh against the new. EMMET is a small one: nearly an equality.
        constraint: What holds the old keys: the "moment" lambda C, or the "null-space" of C alone is written to
            (AlphaEdit).
        null_threshold: Eigenvalues of C below it are its null space.
        key_ridge: n, what a change costs beside that: ENCORE's lambda_n, AlphaEdit's L2, which must be above 0.
        earlier_keys: Hold the keys of the edits that are in force as well (MEMIT-seq).
        anchor: Length that every value v* is brought to (norm anchor); an edit whose value is over twice as long is
            left out, and noted. 0 for none; `engine.goals.pilot_anchor`.
        forward_replay: Find the value at the band's first layer, and give each layer what it leads to there.
        early_stop: See `engine.value.optimise`.
        outliers: alpha of COMEBA-HK: the change acts at tokens of a prompt where it stands out by so many standard
            deviations, or by as many as it does in each edit prompt, if these are fewer; None for a change of weights.
        merge_subjects: One value and one mean key for the facts of one subject in a case (MEMIT-Merge).
    """

    # "paper-glame" is MEMIT as GLAME's own tables run it, which differs for some models only (their presets).
    published: ClassVar[Mapping[str, Variant]] = {
        "paper": Variant("MEMIT as published", {"prefixes": "10x5", "prefix_seeds": "words", "moment_ridge": 0.0}),
        "paper-glame": Variant("MEMIT as GLAME's own tables run it"),
        "seq": Variant("MEMIT-seq: the keys of earlier edits are held, too", {"earlier_keys": True}),
        "encore": Variant(
            "ENCORE: MEMIT-seq with a ridge and an early stop",
            {"earlier_keys": True, "key_ridge": 10.0, "early_stop": 4},
        ),
        "alphaedit": Variant(
            "AlphaEdit: a write in the null space of old keys",
            {"earlier_keys": True, "key_ridge": 10.0, "constraint": "null-space"},
        ),
        "emmet": Variant("EMMET: every value is reached, as in an equation", {"moment_weight": 0.1}),
        "comeba-hk": Variant(
            "COMEBA-HK: acts where it stands out among a prompt's tokens", {"earlier_keys": True, "outliers": 2.2}
        ),
    }

    layers: tuple[int, ...] = Field(min_length=1)
    clamp: float = Field(default=0.75, gt=0)
    moment_weight: float = Field(default=20000.0, gt=0)
    constraint: Literal["moment", "null-space"] = "moment"
    null_threshold: float = Field(default=0.02, gt=0)
    key_ridge: float = Field(default=0.0, ge=0)
    earlier_keys: bool = False
    anchor: float = Field(default=0.0, ge=0)
    forward_replay: bool = False
    early_stop: int = Field(default=0, ge=0)
    outliers: float | None = Field(default=None, gt=0)
    merge_subjects: bool = False

    @classmethod
    def guess(cls, n_layers: int) -> dict[str, Any]:
        """A band of five layers that ends at the edit layer."""
        last = guessed_layer(n_layers)
        return {"layers": list(range(max(last - 4, 0), last + 1))}

    @model_validator(mode="after")
    def _ascending(self) -> MemitConfig:
        if list(self.layers) != sorted(set(self.layers)):
            raise ValueError(f"layers must be ascending and distinct, not {self.layers}")
        if self.constraint == "null-space" and not self.key_ridge:
            raise ValueError("constraint=null-space needs key_ridge above 0 (published: 10)")
        if self.outliers is not None and self.gate is not None:
            raise ValueError("a change acts behind a gate or at outliers, not both")
        return self


@dataclass(frozen=True)
class _Found:
    """What phase 1 gave for some edits.

    Attributes:
        solutions: One per edit.
        states: Layer -> (edits, d) hidden states z that it should give; the band's last, or with forward replay each.
        lengths: ||v*|| of each edit, before the anchor.
        left_out: Numbers of the edits that the anchor left out.
    """

    solutions: list[Solution]
    states: dict[int, Tensor]
    lengths: list[float]
    left_out: list[int]


class Memit(ValueMethod):
    """The method; see the module's docstring."""

    name = "memit"
    summary = "Many facts at once, spread over a band of layers (Meng et al., 2023)."
    kind = "closed form"
    needs = "second moments"
    Config = MemitConfig
    config: MemitConfig

    def __init__(self, config: MemitConfig) -> None:
        """Take the hyper-parameters."""
        super().__init__(config)
        self._metrics: dict[int, tuple[Moment, Moment]] = {}  # layer -> C, and what was made of it
        self._earlier = EarlierKeys()

    @property
    def moment_layers(self) -> tuple[int, ...]:
        """The band."""
        return self.config.layers

    @property
    def writes_jointly(self) -> bool:
        """Unless the facts of a subject share a column, or nothing is written."""
        return not self.config.merge_subjects and self.config.outliers is None

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
        self.check_model(model)
        anatomy = anatomy_of(model)
        # Edits of a case, each a list of facts: one, or with merging all of one subject.
        requests = [[request for request, _ in case] for case in cases]
        groups = [
            [[self._objective(bench, request) for request in edit] for edit in self._edits(of)] for of in requests
        ]
        # Earlier changes at outliers act everywhere while further ones are solved for (COMEBA-HK's temporary hook).
        with frozen(model), acting_everywhere(model):
            # Phase 1 for the edits of all cases in one batch, phase 2 case by case.
            found = self._found(
                bench, [facts[0] if len(facts) == 1 else merged(facts) for of in groups for facts in of]
            )
            base = hash_weights(model, [anatomy.weight_name(layer) for layer in config.layers])
            computed: list[Computed] = []
            begin = 0
            for edits in groups:
                own = slice(begin, begin + len(edits))
                begin = own.stop
                wanted = {layer: states[own] for layer, states in found.states.items()}
                updates, shares = self._write(bench, edits, wanted)
                reached = reached_share(shares, divided=not config.forward_replay)
                log = {
                    "losses": [solution.losses for solution in found.solutions[own]],
                    "reached": [round(float(share), 4) for share in reached],
                    "value_norms": [round(length, 4) for length in found.lengths[own]],
                }
                settings = config.model_dump(mode="json")
                manifest = {"method": self.name, "settings": settings, "seed": bench.seed, **log}
                notes = self._notes(bench, shares, reached) + tuple(
                    f"the value of edit {number - own.start} is {found.lengths[number]:.3g} long, more than twice the "
                    f"anchor {config.anchor:g}: it was left out"
                    for number in found.left_out
                    if own.start <= number < own.stop
                )
                computed.append(Computed(LowRankDelta(updates, base, manifest), notes, log))
        if config.outliers is None:
            return computed
        prompts = [[objective.rows[0].prompt for facts in of for objective in facts] for of in groups]
        return [
            replace(each, delta=at_outliers(model, as_low_rank(each.delta), own, config.outliers))
            for each, own in zip(computed, prompts, strict=True)
        ]

    def check_model(self, model: PreTrainedModel) -> None:
        """See `Method.check_model`: no norm stands between the MLP and the residual stream.

        Raises:
            UnsupportedModel: One does (Gemma 2).
        """
        anatomy = anatomy_of(model)
        if anatomy.post_mlp_path is not None:
            raise UnsupportedModel(
                f"MEMIT cannot edit a {anatomy.family} model: {anatomy.post_mlp_path} stands between the MLP and the "
                "residual stream and fixes the size of what the MLP adds, so no change of the MLP's weights reaches "
                "the hidden state that MEMIT asks for. Use rome or glame, whose m* lies before that norm."
            )

    def _objective(self, bench: Workbench, request: Request) -> Objective:
        return rome_objective(bench, request, ending=self.config.ending, kl_weight=self.config.kl_weight)

    def _edits(self, requests: Sequence[Request]) -> list[list[Request]]:
        """The facts of a case that share a value."""
        if not self.config.merge_subjects:
            return [[request] for request in requests]
        by_subject: dict[str, list[Request]] = {}
        for request in requests:
            by_subject.setdefault(request.subject, []).append(request)
        return list(by_subject.values())

    def _write(
        self, bench: Workbench, edits: Sequence[Sequence[Objective]], wanted: Mapping[int, Tensor]
    ) -> tuple[tuple[WeightUpdate, ...], Tensor]:
        """Phase 2 of one case, whose edits should reach the hidden states `wanted`.

        Returns:
            The updates; and (layers, edits) how much of its residual each layer writes for each edit.
        """
        anatomy, layers = anatomy_of(bench.model), self.config.layers
        updates: list[WeightUpdate] = []
        shares: list[Tensor] = []
        facts = [objective for edit in edits for objective in edit]
        for place, layer in enumerate(layers):
            goal = layer if self.config.forward_replay else layers[-1]
            keys, hidden = self._measured(bench, facts, layer, updates, goal)
            if len(facts) > len(edits):  # facts of one subject: their mean key, and the first one's state
                sizes = [len(edit) for edit in edits]
                keys = torch.stack([part.mean(dim=0) for part in torch.split(keys, sizes)])  # (edits, d_ff)
                hidden = torch.stack([part[0] for part in torch.split(hidden, sizes)])  # (edits, d)
            # R, the share of this layer: what is missing, divided by the layers that are still to come (and by what
            # the family scales the MLP's output with before it is added to the residual stream).
            to_come = 1 if self.config.forward_replay else len(layers) - place
            missing = (wanted[goal] - hidden) / to_come / anatomy.residual_factor(bench.model)  # (edits, d)
            left = joint_solve(keys, self._metric(bench, layer))  # (d_ff, edits)
            updates.append(WeightUpdate(anatomy.weight_name(layer), left, missing.T, anatomy.conv1d))
            shares.append(written_share(keys, left).cpu())  # (edits,)
        return tuple(updates), torch.stack(shares)

    def _found(self, bench: Workbench, objectives: Sequence[Objective]) -> _Found:
        """Phase 1: the hidden states z that the band should give."""
        config, model, anatomy = self.config, bench.model, anatomy_of(bench.model)
        layer = config.layers[0 if config.forward_replay else -1]
        batch = EditBatch(model, anatomy, objectives, [layer])
        hidden = batch.hidden[batch.first_rows]  # (edits, d)
        # What is trained is added to m, which the family multiplies by `factor` before it reaches h: step, penalty and
        # bound are those of the product, delta of h.
        factor = anatomy.residual_factor(model)
        offsets = [
            FreeOffset(
                state.unsqueeze(0) / factor,
                learning_rate=config.learning_rate / factor,
                weight_decay=config.weight_decay / factor,
                clamp=config.clamp,
            )
            for state in hidden
        ]
        solutions = optimise(
            batch,
            offsets,
            steps=config.steps,
            stop_loss=config.stop_loss,
            early_stop=config.early_stop,
            progress=steps_of(bench.progress, "optimise"),
        )
        delta = factor * torch.cat([solution.offset for solution in solutions])  # (edits, d)
        # v*, what the MLP should add to the residual stream; an anchor bounds its length.
        values = factor * batch.values[layer][batch.first_rows]  # (edits, d)
        lengths, left_out = (values + delta).norm(dim=-1).tolist(), list[int]()
        if config.anchor:
            delta, left_out = anchored(values, delta, config.anchor)
        wanted = {layer: hidden + delta}
        if config.forward_replay:
            wanted = replayed(model, anatomy, objectives, config.layers, delta)
        # Phase 2 computes where the model takes its input, whichever devices the layers are on.
        return _Found(solutions, {at: z.to(model.device) for at, z in wanted.items()}, lengths, left_out)

    def _measured(
        self,
        bench: Workbench,
        objectives: Sequence[Objective],
        layer: int,
        updates: Sequence[WeightUpdate],
        above: int,
    ) -> tuple[Tensor, Tensor]:
        """Keys (facts, d_ff) at a layer and hidden states (facts, d) of the one `above`, with `updates` applied."""
        model = bench.model
        applied = LowRankDelta(tuple(updates), base_hash="").apply(model, check=False) if updates else None
        try:
            keys = averaged_keys(model, objectives, (layer,))[layer]
            bare = [objective.rows[0].upto for objective in objectives]
            return keys, last_states(model, bare, above).to(model.device)
        finally:
            if applied is not None:
                applied.revert()

    def _metric(self, bench: Workbench, layer: int) -> Moment:
        """What the old keys are measured with at a layer."""
        config, moment = self.config, bench.moments[layer]
        held, metric = self._metrics.get(layer, (None, None))
        if metric is None or held is not moment:
            if config.constraint == "null-space":
                metric = NullSpace(moment, config.null_threshold, config.key_ridge)
            else:
                metric = soft_metric(moment, config.moment_weight, config.key_ridge)
            self._metrics[layer] = moment, metric
        if not config.earlier_keys or not bench.earlier:
            return metric
        return self._earlier.grown(layer, metric, bench.earlier, lambda new: self._keys_of(bench, new))

    def _keys_of(self, bench: Workbench, requests: Sequence[Request]) -> dict[int, Tensor]:
        """Layer -> keys (requests, d_ff) of edits that the model carries already."""
        objectives = [self._objective(bench, request) for request in requests]
        return dict(averaged_keys(bench.model, objectives, self.config.layers))

    def _notes(self, bench: Workbench, shares: Tensor, reached: Tensor) -> tuple[str, ...]:
        """What to do about a write that went a small part of the way, since the old keys weigh too much."""
        if float(reached.min()) >= ENOUGH:
            return ()
        # What weighs most is named: the ridge n where it is larger than lambda C, and always in the null space.
        config, scale = self.config, scale_of(bench.moments[self.config.layers[-1]])
        ridge = config.constraint == "null-space" or config.key_ridge > config.moment_weight * scale
        name, weight = ("key_ridge", config.key_ridge) if ridge else ("moment_weight", config.moment_weight)
        # One edit's share is c / (1 + c) with c = k^T B k, which falls as the weight grows; c = 9 writes nine tenths.
        strength = (shares / (1 - shares).clamp_min(1e-9)).median(dim=0).values.min()  # ()
        value = float(f"{weight * float(strength) / 9:.1g}")
        return (
            f"the write went {100 * float(reached.min()):.2g} % of the way to the value that was found: {name} "
            f"{weight:g} holds the model's old keys too dear for its second moments; try memit:{name}={value:g}",
        )


def averaged_keys(
    model: PreTrainedModel, objectives: Sequence[Objective], layers: Sequence[int]
) -> Mapping[int, Tensor]:
    """Layer -> (edits, d_ff) mean key of each edit; the bare prompt weighs as much as all prefixes together."""
    rows = [[objective.rows[index].upto for index in objective.contexts] for objective in objectives]
    found = last_keys(model, [ids for own in rows for ids in own], layers)
    averaged = {}
    for layer, keys in found.items():
        parts = torch.split(keys.to(model.device), [len(own) for own in rows])  # each (rows, d_ff)
        averaged[layer] = torch.stack(
            [part[0] if len(part) == 1 else (part[0] + part[1:].mean(dim=0)) / 2 for part in parts]
        )
    return averaged
