"""`finetune-adapter`: a LoRA adapter trained with peft on a whole batch of changes, as one low-rank delta.

Closed-form edits of a small model collapse after some tens; an adapter trained on the changes together with what must
stay holds many more. Its factors are the delta, exactly: dW = (alpha / r) B A, left = A^T, right = (alpha / r) B.
All changes of a batch share the delta. Taking one of them back trains the others anew, without it.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.delta import Delta, LowRankDelta, WeightUpdate, hash_weights
from kgedit.errors import EditDiverged, MissingExtra
from kgedit.ingest.decide.known_facts import FactPool, KnownFact
from kgedit.ingest.decide.rehearsal import Encoded, Lesson, encoded, epoch, lesson
from kgedit.ingest.decide.resolved_change import ResolvedChange
from kgedit.ingest.decide.writer import Unedited
from kgedit.lm.anatomy import context_length
from kgedit.lm.padding import pad
from kgedit.progress import Progress

Factors = dict[str, tuple[Tensor, Tensor]]  # weight -> A (r, d_in), B (d_out, r)


class AdapterSettings(BaseModel):
    """The table [finetune-adapter] of a model's preset.

    Attributes:
        rank: Rank r of each weight's change.
        scale: alpha / r.
        modules: Names of the changed modules as peft takes them: a suffix each, or "all-linear".
        epochs: Passes of a first attempt.
        more_epochs: Further passes of a second attempt, which goes on where the first one ended.
        learning_rate: AdamW's, falling linearly to a tenth.
        rehearsed: Known facts in each pass, for each change; at least `least_rehearsed` in all.
        least_rehearsed: See `rehearsed`.
        facts: Known facts that these are drawn from.
        rows: Sequences per step.
        ending: Text that is learned behind each answer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int = Field(default=16, ge=1)
    scale: float = Field(default=2.0, gt=0)
    modules: tuple[str, ...] | str = "all-linear"
    epochs: int = Field(default=10, ge=1)
    more_epochs: int = Field(default=6, ge=1)
    learning_rate: float = Field(default=3e-3, gt=0)
    rehearsed: float = Field(default=4.0, ge=0)
    least_rehearsed: int = Field(default=200, ge=0)
    facts: int = Field(default=2500, ge=1)
    rows: int = Field(default=48, ge=1)
    ending: str = "."


class AdapterWriter:
    """Trains adapters; see the module's docstring."""

    name, shared = "finetune-adapter", True

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        pool: FactPool,
        settings: AdapterSettings,
        unedited: Unedited,
        *,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> None:
        """Take what is needed; facts to rehearse are chosen once there is something to train.

        Args:
            model: The model.
            tokenizer: Its tokenizer.
            pool: Known facts.
            settings: How it is trained.
            unedited: A context in which the model is unedited.
            seed: Draws facts, rehearsal and the adapter's first weights.
            progress: Called with (what, done, total).

        Raises:
            MissingExtra: peft is not installed.
        """
        _peft()
        self._model, self._tokenizer, self._pool = model, tokenizer, pool
        self._settings, self._unedited, self._seed, self._progress = settings, unedited, seed, progress
        self._last: tuple[frozenset[int], Factors] | None = None

    @cached_property
    def _facts(self) -> list[KnownFact]:
        """Known facts to rehearse, recalled by the unedited model."""
        with self._unedited():
            return self._pool.recalled(
                self._model, self._tokenizer, self._settings.facts, seed=self._seed + 2, part="protected"
            )

    def propose(
        self, items: Sequence[ResolvedChange], earlier: Sequence[ResolvedChange], *, more: bool
    ) -> list[Delta]:
        """One delta for all changes; with `more`, training goes on from the last proposal for them."""
        keys = frozenset(item.entry.id for item in items)
        begin: Factors | None = None
        if more and self._last is not None and keys <= self._last[0]:
            begin = self._last[1]
        factors = self._trained(items, earlier, begin, more=more)
        self._last = keys, factors
        updates = tuple(
            WeightUpdate(name, a.T, b * self._settings.scale, _is_conv1d(self._model, name))
            for name, (a, b) in sorted(factors.items())
        )
        manifest = {
            "method": self.name,
            "settings": self._settings.model_dump(mode="json"),
            "seed": self._seed,
            "changes": len(items),
        }
        delta = LowRankDelta(updates, hash_weights(self._model, [update.name for update in updates]), manifest)
        return [delta] * len(items)

    def _trained(
        self, items: Sequence[ResolvedChange], earlier: Sequence[ResolvedChange], begin: Factors | None, *, more: bool
    ) -> Factors:
        settings, rng = self._settings, random.Random(f"{self._seed} {len(items)} {more}")
        # Changes in force speak of facts that the unedited model had otherwise.
        changed = {item.slot for item in (*items, *earlier)}
        facts = [fact for fact in self._facts if (fact.subject, fact.relation) not in changed]
        lessons = [lesson(item, self._pool, facts) for item in items]
        kept = [Lesson(one.wordings[:3], one.paths, ()) for one in (lesson(item, self._pool, ()) for item in earlier)]
        rehearsed = max(int(settings.rehearsed * len(items)), settings.least_rehearsed)
        epochs = settings.more_epochs if more else settings.epochs
        limit = context_length(self._model)
        with lora(self._model, settings, self._seed, begin) as adapter:
            parameters = [parameter for parameter in adapter.parameters() if parameter.requires_grad]
            optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=0.0)
            for number in range(epochs):
                questions = epoch([*lessons, *kept], facts, self._pool, rng, rehearsed=rehearsed)
                rows = list(encoded(self._tokenizer, questions, settings.ending, longest=limit))
                batches = _batches(rows, settings.rows, rng)
                for step, batch in enumerate(batches):
                    done = (number + step / len(batches)) / epochs
                    for group in optimizer.param_groups:
                        group["lr"] = settings.learning_rate * (1 - 0.9 * done) * (0.5 if begin else 1.0)
                    loss = _loss(adapter, batch)
                    if not bool(torch.isfinite(loss)):
                        raise EditDiverged(
                            f"the adapter's loss is {float(loss)} in pass {number + 1}; lower the learning rate "
                            "of [finetune-adapter] in the model's preset"
                        )
                    loss.backward()  # type: ignore[no-untyped-call]
                    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
                    optimizer.step()
                    optimizer.zero_grad()
                    if self._progress:
                        self._progress("training the adapter", number * len(batches) + step + 1, epochs * len(batches))
            return _factors(adapter)


@contextmanager
def lora(model: PreTrainedModel, settings: AdapterSettings, seed: int, begin: Factors | None) -> Iterator[Any]:
    """The model with a LoRA adapter; at the end it is as it was: modules, weights, gradient flags, random state."""
    peft = _peft()
    flags = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    modules = settings.modules if isinstance(settings.modules, str) else list(settings.modules)
    with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = peft.LoraConfig(
            r=settings.rank,
            lora_alpha=settings.rank * settings.scale,
            target_modules=modules,
            lora_dropout=0.0,
            task_type="CAUSAL_LM",
            fan_in_fan_out=any(type(module).__name__ == "Conv1D" for module in model.modules()),
        )
        with warnings.catch_warnings():
            # Of peft's, about a name that transformers has changed; nothing that a user could mend.
            warnings.simplefilter("ignore", FutureWarning)
            adapter = peft.get_peft_model(model, config)
        try:
            for name, (a, b) in (begin or {}).items():
                layer = adapter.get_submodule(f"base_model.model.{name.removesuffix('.weight')}")
                with torch.no_grad():
                    layer.lora_A["default"].weight.copy_(a)
                    layer.lora_B["default"].weight.copy_(b)
            yield adapter
        finally:
            adapter.unload()
            if hasattr(model, "peft_config"):
                del model.peft_config
            for name, parameter in model.named_parameters():
                parameter.requires_grad_(flags[name])


def _factors(adapter: Any) -> Factors:
    found: Factors = {}
    for name, module in adapter.named_modules():
        if hasattr(module, "lora_A") and "default" in module.lora_A:
            weight = f"{name.removeprefix('base_model.model.')}.weight"
            a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
            found[weight] = a.detach().clone(), b.detach().clone()
    return found


def _batches(rows: Sequence[Encoded], size: int, rng: random.Random) -> list[Sequence[Encoded]]:
    """Rows of similar length together, in random order."""
    by_length = sorted(rows, key=lambda row: len(row[0]) + len(row[1]))
    batches: list[Sequence[Encoded]] = [by_length[start : start + size] for start in range(0, len(by_length), size)]
    rng.shuffle(batches)
    return batches


def _loss(adapter: Any, batch: Sequence[Encoded]) -> Tensor:
    """() mean over sequences of the mean negative log-likelihood per answer token."""
    ids, mask = pad([(*prompt, *answer) for prompt, answer in batch], 0, "right")  # (batch, longest)
    weight = torch.zeros(ids.shape)  # (batch, longest)
    for row, (prompt, answer) in enumerate(batch):
        weight[row, len(prompt) : len(prompt) + len(answer)] = 1.0 / len(answer)
    device = next(adapter.parameters()).device
    ids, mask, weight = ids.to(device), mask.to(device), weight.to(device)
    logits = adapter(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1]  # (batch, longest - 1, V)
    asked = weight[:, 1:] > 0  # (batch, longest - 1)
    losses = cross_entropy(logits[asked].float(), ids[:, 1:][asked], reduction="none")  # (asked,)
    return (losses * weight[:, 1:][asked]).sum() / len(batch)


def _is_conv1d(model: PreTrainedModel, weight: str) -> bool:
    return type(model.get_submodule(weight.removesuffix(".weight"))).__name__ == "Conv1D"


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise MissingExtra("the method finetune-adapter needs peft: pip install 'kgedit[peft]'") from error
    return peft
