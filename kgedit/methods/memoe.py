"""MEMoE: a bypass of gated low-rank experts beside one MLP, routed by what a text is about (after arXiv 2405.19086).

The paper (Wang and Li, 2024) gives the idea, h = W x + lambda sum_e g_e W_e x with a router that reads the token and
the named entity (the anchor) in the text, and neither code nor settings: low rank, layer, sizes and training are ours.
An anchor here is the subject of one of the edits, so a text that names none keeps every bit. docs/methods.md, "MEMoE".
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from kgedit.delta import hash_weights
from kgedit.delta.experts import ExpertBank, ExpertsDelta, ExpertWeights, Ids, anchored_tokens, embedded
from kgedit.delta.prompt_ends import PromptPlace, prompts_at
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.hooks import add_at, capture, frozen, head_at
from kgedit.lm.padding import pad, pad_id
from kgedit.lm.tokens import encode_prompt
from kgedit.methods.base import Case, Computed, Method, Request, Workbench, check_cases
from kgedit.methods.engine.divergence import check_loss
from kgedit.methods.engine.states_below import StatesBelow
from kgedit.methods.engine.training_batch import answer_places
from kgedit.methods.settings import MethodSettings, SteppedSettings, guessed_layer

_DEPTH = 0.4
_EXPLORE = 0.25  # share of the steps in which the router is noisy


class MemoeSettings(SteppedSettings):
    """Hyper-parameters of MEMoE; all of them are ours.

    Attributes:
        layer: Whose MLP the experts stand beside.
        steps: Most steps of AdamW on router and experts.
        learning_rate: AdamW's, in units of the layer's own output.
        experts: How many there are.
        rank: Of each.
        top: How many a token passes.
        scale: lambda, factor of what they add.
        balance: Weight of the term that spreads tokens over the experts.
        stop_loss: The training stops below this loss.
    """

    layer: int = Field(ge=0)
    steps: int = Field(default=100, ge=1)
    learning_rate: float = Field(default=0.01, gt=0)
    experts: int = Field(default=4, ge=1, le=256)
    rank: int = Field(default=8, ge=1)
    top: int = Field(default=1, ge=1)
    scale: float = Field(default=1.0, gt=0)
    balance: float = Field(default=0.01, ge=0)
    stop_loss: float = Field(default=0.02, ge=0)

    @classmethod
    def guess(cls, n_layers: int) -> dict[str, Any]:
        """The layer; not the last, since later tokens of an object are read off the layers above."""
        return {"layer": guessed_layer(n_layers, _DEPTH, above=1)}

    @model_validator(mode="after")
    def _enough(self) -> MemoeSettings:
        if self.top > self.experts:
            raise ValueError(f"a token cannot pass {self.top} of {self.experts} experts")
        return self


@dataclass(frozen=True)
class _Lessons:
    """The edits of a case as texts.

    Attributes:
        prompts: Token ids of each prompt.
        targets: Those of each new object.
        anchors: Forms of all subjects.
    """

    prompts: list[Ids]
    targets: list[Ids]
    anchors: tuple[Ids, ...]


class Memoe(Method):
    """The method; see the module's docstring."""

    name = "memoe"
    summary = "Gated low-rank experts beside one layer act in texts that name an edit's subject (after MEMoE, 2024)."
    kind = "memory"
    takes_gate = False
    exports = ""
    Config: ClassVar[type[MethodSettings]] = MemoeSettings
    config: MemoeSettings

    @torch.inference_mode(False)  # gradients are needed whatever mode the caller is in
    def together(self, bench: Workbench, cases: Sequence[Case]) -> list[Computed]:
        """One delta per case, a bank of experts trained on all its edits.

        Raises:
            EditDiverged: A loss is NaN or infinite.
            NoSuchLayer: The model has no such layer.
        """
        check_cases(cases)
        anatomy = anatomy_of(bench.model)
        anatomy.block(bench.model, self.config.layer)
        lessons = [self._lessons(bench, [request for request, _ in case]) for case in cases]
        name = anatomy.weight_name(self.config.layer)
        computed = []
        with frozen(bench.model):
            base = hash_weights(bench.model, [name])
            for number, own in enumerate(lessons):
                weights, losses = self._trained(bench, own)
                log = {"losses": losses}
                settings = self.config.model_dump(mode="json")
                manifest = {"method": self.name, "settings": settings, "seed": bench.seed, **log}
                bank = ExpertBank(name, weights, own.anchors, self.config.top, self.config.scale)
                computed.append(Computed(ExpertsDelta((bank,), base, manifest), log=log))
                if bench.progress:
                    bench.progress("train", number + 1, len(cases))
        return computed

    def _lessons(self, bench: Workbench, requests: Sequence[Request]) -> _Lessons:
        prompts, targets, anchors = list[Ids](), list[Ids](), dict[Ids, None]()
        for request in requests:
            (prompt,), target = bench.encoded(request, self.config.ending)
            prompts.append(prompt)
            targets.append(target)
            anchors |= dict.fromkeys(_forms(bench.tokenizer, request))
        return _Lessons(prompts, targets, tuple(anchors))

    def _trained(self, bench: Workbench, lessons: _Lessons) -> tuple[ExpertWeights, list[float]]:
        """Router and experts, and the loss of each step."""
        config = self.config
        run = _Bypassed(bench, config, lessons)
        weights = ExpertWeights(*(nn.Parameter(part) for part in run.start(bench.seed)))
        adam = torch.optim.AdamW(list(weights), lr=config.learning_rate)
        generator = torch.Generator().manual_seed(bench.seed)
        losses: list[float] = []
        for step in range(config.steps):
            # Noise of the router explores at first; then the experts are trained as they will be used.
            drawn = torch.randn(len(run.keys), config.experts, generator=generator).to(run.keys)  # (places, E)
            loud = max(0.0, 1 - step / (_EXPLORE * config.steps))
            shares = weights.shares(run.keys, run.named, drawn * loud / config.experts)
            loss = run.loss(weights, shares)
            losses.append(float(loss.detach()))
            check_loss(losses[-1], f"at step {step}", config.learning_rate)
            if losses[-1] < config.stop_loss and not loud:
                break
            # Load balance (Switch): E * sum over experts of the share of tokens times the mean gate.
            chosen = shares.detach().argmax(dim=-1)  # (places,)
            used = torch.bincount(chosen, minlength=config.experts).to(shares) / len(chosen)  # (E,)
            total = loss + config.balance * config.experts * (used * shares.mean(dim=0)).sum()
            gradients = torch.autograd.grad(total, list(weights))
            for part, gradient in zip(weights, gradients, strict=True):
                part.grad = gradient
            adam.step()
        router, down, up = (part.detach() for part in weights)
        return ExpertWeights(router, down, up * run.size), losses


class _Bypassed:
    """The model as a function of the experts' weights, on the texts of a case.

    Attributes:
        keys: (places, d_ff) what the layer reads where the experts act; nothing that is trained changes it.
        named: (places, d_emb) the anchor there.
        size: Typical entry of the layer's output, by which the experts' is scaled while they are trained.
    """

    def __init__(self, bench: Workbench, config: MemoeSettings, lessons: _Lessons) -> None:
        model, self._config = bench.model, config
        anatomy = anatomy_of(model)
        self._model, self._module = model, anatomy.mlp_out(model, config.layer)
        pairs = list(zip(lessons.prompts, lessons.targets, strict=True))
        self._texts = [(*prompt, *target[:-1]) for prompt, target in pairs]
        self._prompts = [PromptPlace(row, range(len(prompt))) for row, prompt in enumerate(lessons.prompts)]
        fill = pad_id(bench.tokenizer)
        ids, mask = pad(self._texts, fill, "right")  # (texts, longest)
        device = anatomy.weight(model, config.layer).device
        self._inputs: dict[str, Any] = {"input_ids": ids.to(device), "attention_mask": mask.to(device)}
        # Where the experts act, and which anchor is meant there.
        where = [
            (row * ids.shape[1] + place, number)
            for row, prompt in enumerate(lessons.prompts)
            for place, number in anchored_tokens(prompt, lessons.anchors)
        ]
        self._places = torch.tensor([place for place, _ in where], device=device)  # (places,)
        numbers = torch.tensor([number for _, number in where], device=device)
        self.named = embedded(model, lessons.anchors).to(device)[numbers]  # (places, d_emb)
        # Where the objects' tokens are scored, each object with the same weight.
        rows, columns, tokens, shares = zip(*answer_places(pairs), strict=True)
        self._rows, self._columns = torch.tensor(rows, device=device), torch.tensor(columns, device=device)
        self._tokens = torch.tensor(tokens, device=device)
        self._weights = torch.tensor([share / len(pairs) for share in shares], device=device)  # (scored,)
        # The blocks below run once. Earlier experts beside this layer act, as they will.
        self._below = StatesBelow(model, anatomy, config.layer, fill)
        with torch.no_grad():
            with prompts_at(model, ()), self._below.skipped(self._texts):
                pass
            with ExitStack() as stack:
                stack.enter_context(prompts_at(model, self._prompts))
                stack.enter_context(self._below.skipped(self._texts))
                keys = stack.enter_context(capture({"k": self._module}, inputs=True))
                values = stack.enter_context(capture({"m": self._module}, stop=True))
                model(**self._inputs, use_cache=False)
        self.keys = keys["k"].flatten(0, -2)[self._places].float()  # (places, d_ff)
        self.size = float(values["m"].flatten(0, -2)[self._places].float().square().mean().sqrt())

    def start(self, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """Router and experts before any training: these add nothing."""
        config, (_, d_ff) = self._config, self.keys.shape
        generator = torch.Generator().manual_seed(seed)
        d = anatomy_of(self._model).weight(self._model, config.layer).numel() // d_ff
        router = torch.randn(config.experts, d_ff + self.named.shape[1], generator=generator)
        down = torch.randn(config.experts, config.rank, d_ff, generator=generator)
        size = float(self.keys.norm(dim=-1).mean().clamp_min(1e-6))
        up = torch.zeros(config.experts, d, config.rank)
        device = self.keys.device
        return router.to(device), (down / size).to(device), up.to(device)

    def loss(self, weights: ExpertWeights, shares: Tensor) -> Tensor:
        """() mean negative log-likelihood of the objects with these experts, (places, E) their gates."""
        added = self._config.scale * self.size * weights.output(self.keys, shares, self._config.top)  # (places, d)

        def bypassed(output: Tensor) -> Tensor:
            flat = output.flatten(0, -2).float()  # (texts * longest, d)
            return flat.index_add(0, self._places, added).view(output.shape)

        with ExitStack() as stack:
            stack.enter_context(prompts_at(self._model, self._prompts))
            stack.enter_context(self._below.skipped(self._texts))
            stack.enter_context(add_at(self._module, bypassed))
            stack.enter_context(head_at(self._model, self._rows, self._columns))
            logits: Tensor = self._model(**self._inputs, use_cache=False).logits[0].float()  # (scored, V)
        tokens, parts = self._tokens.to(logits.device), self._weights.to(logits.device)  # both (scored,)
        scores = logits.log_softmax(dim=-1).gather(1, tokens[:, None])[:, 0]  # (scored,)
        return -(scores * parts).sum()


def _forms(tokenizer: PreTrainedTokenizerBase, request: Request) -> list[Ids]:
    """The subject's tokens in the edit prompt, at the beginning of a text and behind a word."""
    found = []
    for template in (request.prompt, "{} is", "The {} is"):
        tokens = encode_prompt(tokenizer, template, request.subject)
        found.append(tokens.ids[tokens.subject_first : tokens.subject_last + 1])
    return found
