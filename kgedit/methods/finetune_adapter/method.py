"""`finetune-adapter`: a LoRA adapter trained with peft on all edits of a case, as one low-rank delta.

Closed-form edits of a small model collapse after some tens; an adapter trained on the edits together with what must
stay holds many more. Its factors are the delta, exactly. All edits of a case share the delta: to take one of them out,
the others are trained anew without it. docs/methods.md, "Fine-tuning an adapter".
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field
from torch import Tensor

from kgedit.delta import LowRankDelta, hash_weights
from kgedit.graph.verbalize import Verbalizer
from kgedit.lm.anatomy import Anatomy, anatomy_of, context_length
from kgedit.lm.hooks import frozen
from kgedit.lm.padding import pad
from kgedit.lm.token_losses import drifts, logits_by_place, losses_at, token_losses
from kgedit.methods.base import Case, Computed, Method, Workbench, check_cases
from kgedit.methods.curriculum import Curriculum, Question, in_both_forms
from kgedit.methods.engine.divergence import check_loss
from kgedit.methods.finetune_adapter.lessons import (
    Encoded,
    curriculum_of,
    drawn,
    either_spelling,
    encoded,
    epoch,
    with_texts,
)
from kgedit.methods.finetune_adapter.lora import Factors, factors_from, factors_of, load_peft, lora, updates_of
from kgedit.methods.settings import AS_PUBLISHED, MethodSettings, Variant

SURE_ENOUGH = 0.05  # loss per token of what is said with a probability of 0.95


class AdapterConfig(MethodSettings):
    """Hyper-parameters of finetune-adapter.

    Attributes:
        rank: Rank r of each weight's change.
        scale: alpha / r.
        modules: Names of the changed modules as peft takes them: a suffix each, or "all-linear"; "attention" for those
            that peft has for the family (queries and values of most).
        dropout: Share of the adapter's inputs that is dropped in training.
        beside: How many further wordings, consequences and facts around it are asked of each edit in a pass.
        inverse: Ask each edit from its object's side as well, where an object has one such subject.
        invented: In how many texts with invented attributes each edit has to be used in a pass.
        epochs: Passes of a first attempt.
        more_epochs: Further passes of a second attempt, which begins with what the first one made.
        learning_rate: AdamW's, falling linearly to the share `last_rate`.
        last_rate: See `learning_rate`; 1 for a rate that stays.
        held_to: What rehearsed facts are held to: at every place of their sentences the next tokens of the model below
            the adapter ("unedited", KL divergence), or their right answers alone ("answers").
        clip: A step's gradient is shortened to this length; None for no bound.
        keep_weight: Weight of that divergence; a model that recalls its facts by a thin margin wants more than 1.
        stop_loss: What is new and has less loss per token than this is not trained further in that step: what is said
            surely enough need not push everything else aside. 0 trains on.
        rehearsed: Known facts in each pass, for each edit that is asked in it, new or made earlier; at least
            `least_rehearsed` in all.
        least_rehearsed: See `rehearsed`; so many of the edits made earlier are rehearsed as well.
        facts: Known facts that these are drawn from.
        texts: Texts that the model samples itself, rehearsed in each pass as well.
        rows: Sequences per step.
        order: Hops of the subgraph that gives paths and the subject's other facts.
        max_edges: Its size, target triple included.
        ending: As for every method.
    """

    # LoRA on the edits alone, as editors are compared with it: modules of the attention, Adam, nothing rehearsed.
    # What a preset was tuned to is set back.
    published: ClassVar[Mapping[str, Variant]] = {
        "paper": Variant(AS_PUBLISHED),
        "lora": Variant(
            "LoRA on the edits alone, as comparisons of editors train it",
            {
                "rank": 8,
                "scale": 4.0,
                "modules": ("attention",),
                "dropout": 0.1,
                "beside": 0,
                "inverse": False,
                "invented": 0,
                "epochs": 70,
                "more_epochs": 70,
                "learning_rate": 5e-3,
                "last_rate": 1.0,
                "clip": None,
                "held_to": "answers",
                "keep_weight": 1.0,
                "stop_loss": 0.0,
                "rehearsed": 0.0,
                "least_rehearsed": 0,
                "texts": 0,
                "rows": 1,
            },
        ),
    }

    rank: int = Field(default=16, ge=1)
    scale: float = Field(default=2.0, gt=0)
    modules: tuple[str, ...] | str = "all-linear"
    dropout: float = Field(default=0.0, ge=0, lt=1)
    beside: int = Field(default=2, ge=0)
    inverse: bool = True
    invented: int = Field(default=0, ge=0)
    epochs: int = Field(default=10, ge=1)
    more_epochs: int = Field(default=6, ge=1)
    learning_rate: float = Field(default=3e-3, gt=0)
    last_rate: float = Field(default=0.1, gt=0, le=1)
    clip: float | None = Field(default=1.0, gt=0)
    held_to: Literal["unedited", "answers"] = "unedited"
    keep_weight: float = Field(default=1.0, gt=0)
    stop_loss: float = Field(default=0.0, ge=0)
    rehearsed: float = Field(default=4.0, ge=0)
    least_rehearsed: int = Field(default=200, ge=0)
    facts: int = Field(default=2500, ge=1)
    texts: int = Field(default=0, ge=0)
    rows: int = Field(default=48, ge=1)
    order: int = Field(default=2, ge=1, le=4)
    max_edges: int = Field(default=20, ge=1)
    ending: str = Field(default=".", max_length=8)

    def keeping_more(self) -> Self:
        """Rehearsed facts weigh three times as much, and what is said surely enough is trained no further."""
        return self.model_copy(
            update={"keep_weight": 3 * self.keep_weight, "stop_loss": max(self.stop_loss, SURE_ENOUGH)}
        )


class FineTuneAdapter(Method):
    """The method; see the module's docstring."""

    name = "finetune-adapter"
    summary = "One LoRA adapter trained on all edits together with what must stay (needs peft)."
    kind = "fine-tuning"
    takes_gate = False
    takes_chat = True
    needs = "peft"
    Config = AdapterConfig
    uses_graph = True
    shares_change = True
    config: AdapterConfig

    def __init__(self, config: AdapterConfig, text: Verbalizer | None = None) -> None:
        """Take the hyper-parameters, and the wordings that facts are asked in."""
        super().__init__(config)
        self.text = text or Verbalizer.bundled()

    @classmethod
    def check_installed(cls) -> None:
        """See `Method.check_installed`."""
        load_peft()

    @property
    def subgraph_options(self) -> dict[str, Any]:
        """How the subgraphs it is handed should be built."""
        return {"order": self.config.order, "max_edges": self.config.max_edges}

    @property
    def rehearses(self) -> int:
        """As its settings say."""
        return self.config.facts if self.config.rehearsed or self.config.least_rehearsed else 0

    def together(self, bench: Workbench, cases: Sequence[Case]) -> list[Computed]:
        """One adapter per case; `bench.curriculum`, where there is one, says what its edits are trained on.

        Raises:
            EditDiverged: A loss is NaN or infinite.
            MissingExtra: peft is not installed.
        """
        load_peft()
        check_cases(cases)
        anatomy_of(bench.model)  # refuses a family that cannot be edited
        config = self.config
        with frozen(bench.model):
            curricula = [
                with_texts(bench, in_both_forms(self._curriculum(bench, case), bench.chat), config.texts)
                for case in cases
            ]
        computed = []
        for case, curriculum in zip(cases, curricula, strict=True):
            factors, losses = self._trained(bench, curriculum)
            updates = updates_of(factors, bench.model, config.scale)
            manifest = {
                "method": self.name,
                "settings": config.model_dump(mode="json"),
                "seed": bench.seed,
                "changes": len(case),
            }
            base = hash_weights(bench.model, [update.name for update in updates])
            computed.append(Computed(LowRankDelta(updates, base, manifest), log={"losses": losses}))
        return computed

    def _curriculum(self, bench: Workbench, case: Case) -> Curriculum:
        if bench.curriculum is not None:
            return bench.curriculum(self.config.facts)
        if not self.config.beside:
            case = [(request, None) for request, _ in case]  # what follows from the edits is not asked
        return curriculum_of(bench, case, self.text, ending=self.config.ending)

    def _trained(self, bench: Workbench, curriculum: Curriculum) -> tuple[Factors, list[float]]:
        """The adapter's factors, and the mean loss of each pass."""
        config, more, anatomy = self.config, curriculum.begin is not None, anatomy_of(bench.model)
        lessons = curriculum.lessons
        # Training that goes on draws anew each time.
        rng = random.Random(f"{bench.seed} {len(lessons)} {curriculum.begin.id if curriculum.begin else ''}")
        epochs = config.more_epochs if more else config.epochs
        begin = factors_from(curriculum.begin, config.scale) if curriculum.begin else None
        shape: dict[str, Any] = {name: getattr(config, name) for name in ("rank", "scale", "modules", "dropout")}
        asked: dict[str, Any] = {name: getattr(config, name) for name in ("beside", "inverse", "invented")}
        means: list[float] = []
        with lora(bench.model, **shape, seed=bench.seed, begin=begin) as adapter:
            parameters = [parameter for parameter in adapter.parameters() if parameter.requires_grad]
            optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=0.0)
            for number in range(epochs):
                # Every pass draws other wordings, paths and facts; the more edits it asks, the more facts.
                earlier = drawn(curriculum.earlier, len(lessons), config.least_rehearsed, rng)
                edits = [*lessons, *earlier]
                rehearsed = max(int(config.rehearsed * len(edits)), config.least_rehearsed)
                new, stays = epoch(edits, curriculum.facts, rng, rehearsed=rehearsed, **asked)
                rows = [_Row(*row) for row in self._encoded(bench, new)]
                held = config.held_to == "unedited"
                if held:
                    stays = either_spelling(bench.model, stays, rng)
                rows += [_Row(*row, held=held) for row in self._encoded(bench, stays)]
                rows += [_Row(*row, held=held) for row in self._encoded(bench, curriculum.texts, "")]
                batches = _batches(rows, config.rows, rng)
                losses = []
                for step, batch in enumerate(batches):
                    # The rate falls linearly; what is trained already starts at half.
                    done = (number + step / len(batches)) / epochs
                    for group in optimizer.param_groups:
                        group["lr"] = (
                            config.learning_rate * (1 - (1 - config.last_rate) * done) * (0.5 if more else 1.0)
                        )
                    loss = _loss(adapter, anatomy, batch, config)
                    losses.append(float(loss.detach()))
                    check_loss(losses[-1], f"in pass {number + 1}", config.learning_rate)
                    loss.backward()  # type: ignore[no-untyped-call]
                    if config.clip is not None:
                        torch.nn.utils.clip_grad_norm_(parameters, config.clip)
                    optimizer.step()
                    optimizer.zero_grad()
                    if bench.progress:
                        done_steps, all_steps = number * len(batches) + step + 1, epochs * len(batches)
                        bench.progress("training the adapter", done_steps, all_steps)
                means.append(sum(losses) / len(losses))
            return factors_of(adapter), means

    def _encoded(
        self, bench: Workbench, questions: Sequence[Question], ending: str | None = None
    ) -> Iterator[Encoded]:
        ending = self.config.ending if ending is None else ending
        return encoded(bench.tokenizer, questions, ending, longest=context_length(bench.model))


@dataclass(frozen=True)
class _Row:
    """A sentence to train on; `held` to what the model below the adapter gives out, or to its answer."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    held: bool = False


def _batches(rows: Sequence[_Row], size: int, rng: random.Random) -> list[Sequence[_Row]]:
    """Rows of similar length together, in random order."""
    mixed = list(rows)
    rng.shuffle(mixed)
    mixed.sort(key=lambda row: len(row.prompt) + len(row.answer))
    batches: list[Sequence[_Row]] = [mixed[start : start + size] for start in range(0, len(mixed), size)]
    rng.shuffle(batches)
    return batches


def _loss(adapter: Any, anatomy: Anatomy, batch: Sequence[_Row], config: AdapterConfig) -> Tensor:
    """() mean over sequences: negative log-likelihood per answer token, or KL(below || adapter) where held."""
    ids, mask = pad([(*row.prompt, *row.answer) for row in batch], 0, "right")  # (batch, longest)
    weight = torch.zeros(ids.shape, dtype=torch.float32)  # (batch, longest)
    for number, row in enumerate(batch):
        answer = slice(len(row.prompt), len(row.prompt) + len(row.answer))
        weight[number, answer] = 1.0 / len(row.answer)
        if row.held and len(row.prompt) > 1:  # the sentence before the answer counts as much as the answer
            weight[number, 1 : len(row.prompt)] = 1.0 / (len(row.prompt) - 1)
        if row.held:
            weight[number] *= config.keep_weight
    device = next(adapter.parameters()).device
    ids, mask, weight = ids.to(device), mask.to(device), weight.to(device)
    held = torch.tensor([row.held for row in batch], device=device)  # (batch,)
    # The logits at each position predict the next token, so targets and weights move by one.
    targets, weight = ids[:, 1:], weight[:, 1:]  # (batch, longest - 1)
    # What is new is asked at its answer, what stays at every place of its sentence; the head is run nowhere else.
    row_of, column = (weight > 0).nonzero(as_tuple=True)  # (scored,)
    stays = held[row_of].nonzero()[:, 0]  # (held places,)
    token = targets[row_of, column].index_fill(0, stays, -1)  # (scored,)
    model = adapter.get_base_model()
    below: Callable[[slice], Tensor] | None = None
    if len(stays):
        place = held.cumsum(0) - 1  # (batch,) which of the held rows
        with adapter.disable_adapter():
            below = logits_by_place(
                model,
                anatomy,
                lambda: adapter(input_ids=ids[held], attention_mask=mask[held], use_cache=False),
                place[row_of[stays]],
                column[stays],
            )
    begin = [0, *(token < 0).cumsum(0).tolist()]  # how many held places stand before each place

    def place_losses(logits: Tensor, places: slice) -> Tensor:
        # What is new: the negative log-likelihood of its answer.
        wanted = token[places].to(logits.device)  # (m,)
        found = token_losses(logits, wanted.clamp_min(0))  # (m,)
        # What stays: the KL divergence from the model below the adapter.
        stay = (wanted < 0).nonzero()[:, 0]
        if below is None or not len(stay):
            return found
        apart = drifts(logits.index_select(0, stay), below(slice(begin[places.start], begin[places.stop])))
        return found.index_copy(0, stay, apart)

    losses = losses_at(
        model,
        anatomy,
        lambda: adapter(input_ids=ids, attention_mask=mask, use_cache=False),
        row_of,
        column,
        place_losses,
    )
    weighted = losses * weight[row_of, column].to(losses.device)  # (scored,)
    if config.stop_loss:
        # What is said surely enough is left out; what stays never is.
        place = row_of.to(weighted.device)  # (scored,)
        each = weighted.detach().new_zeros(len(batch)).index_add(0, place, weighted.detach())  # (batch,)
        live = held.to(each.device) | (each >= config.stop_loss)  # (batch,)
        weighted = weighted * live[place]  # (scored,)
    return weighted.sum() / len(batch)
