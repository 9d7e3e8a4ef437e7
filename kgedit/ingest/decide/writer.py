"""Computes the deltas of a batch by an editing method, beside everything that must stay."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from kgedit.delta import Delta
from kgedit.delta.low_rank import as_low_rank, columns
from kgedit.editor import Editor
from kgedit.graph.verbalize import Verbalizer
from kgedit.ingest.decide.followed import followed
from kgedit.ingest.decide.known_facts import FactPool
from kgedit.ingest.decide.protected_keys import Asked, HeldMoment, with_facts
from kgedit.ingest.decide.recall_walk import KnownFact
from kgedit.ingest.decide.rehearsal import batch_curriculum
from kgedit.ingest.decide.resolved_change import ResolvedChange
from kgedit.lm.tokens import encode_prompt
from kgedit.methods.base import Computed, Method, Workbench, requested
from kgedit.methods.computing import edited_with
from kgedit.methods.curriculum import Curriculum, Question
from kgedit.methods.engine.subject_keys import last_keys, subject_keys
from kgedit.methods.gate import with_gates
from kgedit.methods.inverse import inverse_edits

Unedited = Callable[[], AbstractContextManager[None]]

MORE_ROUNDS = 2  # of training, for a batch that the guards of the whole model refuse; what stays weighs more in each


class WriteSettings(BaseModel):
    """The table [ingest] of a model's preset.

    Attributes:
        method: Makes the changes of a feed where no method is named.
        patches: Makes the patches: the changes that are to go one by one where `method` trains one adapter of all.
        facts: Number of known facts whose keys are held.
        fact_weight: How dear they are together, against the second moment of text.
        change_weight: How dear each key of a change in force, or of the same batch, is.
        closure: Least confidence of the graph's rules by which more follows from a change (`graph.rules`). What does
            is trained with it where one delta is trained of all, and need not stay as it was. None for no rules.
        steps_factor: How many times the steps a second attempt takes.
        settings: Hyper-parameters of a method that differ when many edits are kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str = "glame"
    patches: str = "glame"
    facts: int = Field(default=2000, ge=0)
    fact_weight: float = Field(default=1.0, ge=0)
    change_weight: float = Field(default=1.0, gt=0)
    closure: float | None = Field(default=None, gt=0, le=1)
    steps_factor: int = Field(default=3, ge=1)
    settings: dict[str, dict[str, Any]] = {}


def trained_by(method: Method, delta: Delta) -> Method | None:
    """The method as it trained a delta, perhaps with more weight on what stays; None if the delta is another's."""
    if delta.manifest.get("method") != method.name:
        return None
    try:  # settings that came with a later version had their defaults
        settings = method.Config.model_validate(delta.manifest.get("settings"))
    except ValidationError:
        return None
    for _ in range(MORE_ROUNDS + 1):
        if method.config == settings:
            return method
        method = method.keeping_more()
    return None


class Writer:
    """An editing method, with known facts and earlier changes protected.

    Attributes:
        name: Name of the method.
        shared: Whether all changes of a batch share one delta.
    """

    def __init__(
        self,
        editor: Editor,
        pool: FactPool,
        settings: WriteSettings,
        unedited: Unedited,
        seed: int = 0,
        *,
        follow: bool = False,
    ) -> None:
        """Take what is needed; statistics, keys and facts are read once there is something to write.

        Args:
            editor: Model, graph and method.
            pool: Known facts.
            settings: How dear they are.
            unedited: A context in which the model is unedited.
            seed: Draws the facts.
            follow: Train what follows from all changes together, instead of the paths that their checks ask.
        """
        self._follow = follow
        self._editor, self._pool, self._settings, self._text = editor, pool, settings, Verbalizer.bundled()
        self._unedited, self._seed = unedited, seed
        self.name, self.shared = editor.method.name, editor.method.shares_change
        self._method = editor.method  # that trains what is shared
        self._rehearsed: list[KnownFact] | None = None
        # The last shared delta, and the changes that it was trained on.
        self._last: tuple[frozenset[int], Delta] | None = None
        # Of those, the ones that it makes, where training goes on from a delta that was in force.
        self._satisfied: frozenset[int] | None = None

    @property
    def closure(self) -> float | None:
        """See `WriteSettings`."""
        return self._settings.closure

    def go_on_from(self, delta: Delta, satisfied: Iterable[int]) -> None:
        """Train further from a shared delta that makes most changes already, and only the other changes.

        Args:
            delta: The delta.
            satisfied: Numbers of the changes that it makes. They are rehearsed, as changes made earlier are.
        """
        self._satisfied = frozenset(satisfied)
        self._last = self._satisfied, delta
        self.train_like(delta)

    def train_like(self, delta: Delta) -> None:
        """Weigh what stays as a shared delta of the same method was trained with."""
        self._method = trained_by(self._method, delta) or self._method

    def keep_more(self) -> None:
        """Have what stays weigh more from now on; all changes are trained beside it, also those made already."""
        self._method = self._method.keeping_more()
        if self._satisfied is not None:
            self._satisfied = frozenset()

    def note_satisfied(self, satisfied: Iterable[int]) -> None:
        """Note which changes the last shared delta makes, if training goes on from one that was in force."""
        if self._satisfied is not None:
            self._satisfied = frozenset(satisfied)

    def propose(
        self,
        items: Sequence[ResolvedChange],
        earlier: Sequence[ResolvedChange],
        *,
        more: bool,
        back: Sequence[ResolvedChange] = (),
    ) -> list[Delta]:
        """One delta per change (the same one for all where `shared`), for the model as it is; it is left unchanged.

        Args:
            items: The changes.
            earlier: Changes applied before.
            more: A first attempt did not pass: take more steps, and write to no later layers.
            back: What a shared delta made in a first attempt and is to make no more, as the unedited model has it.
        """
        told = edited_with(self._editor.method, self._editor.tokenizer, self._editor.chat)
        if self.closure is not None:
            told["closure"] = self.closure
        deltas = self._gated(items, self._computed(items, earlier, more=more, back=back))
        if self.shared:
            return [deltas[0].noting(**told)] * len(items)
        return [delta.noting(**told, **requested([item.request])) for delta, item in zip(deltas, items, strict=True)]

    def _gated(self, items: Sequence[ResolvedChange], deltas: list[Delta]) -> list[Delta]:
        gate = self._editor.method.config.gate
        if gate is None:
            return deltas
        with self._unedited():  # prefixes are those of the unedited model
            bench = self._editor.workbench
        if self.shared:
            (gated,) = with_gates(bench, [Computed(deltas[0])], [[item.request for item in items]], gate)
            return [gated.delta] * len(items)
        requests = [[item.request] for item in items]
        return [each.delta for each in with_gates(bench, [Computed(delta) for delta in deltas], requests, gate)]

    def _computed(
        self,
        items: Sequence[ResolvedChange],
        earlier: Sequence[ResolvedChange],
        *,
        more: bool,
        back: Sequence[ResolvedChange],
    ) -> list[Delta]:
        method = self._editor.method
        if self.shared:
            return [self._trained(items, earlier, more=more, back=back)] * len(items)
        if more:
            # What is written to later layers costs other facts the most, so a second attempt goes without it.
            method = method.longer(self._settings.steps_factor).without_later_layers()
        if method.writes_jointly:
            # One write for the whole batch: it holds every edit at the keys of the others, and is taken apart by the
            # columns of each.
            case = [(item.request, item.subgraph) for item in items]
            joint = method.together(self._protecting(earlier), [case])[0]
            return list(columns(as_low_rank(joint.delta), joint.owners_among(len(items))))
        # With an averaged key, protecting the edit's own prompt key would cancel the edit, so it is left out.
        deltas: list[Delta] = []
        for item in items:
            bench = self._protecting([other for other in (*earlier, *items) if other is not item])
            deltas.append(method.compute(bench, [item.request], [item.subgraph])[0].delta)
        return deltas

    def _trained(
        self,
        items: Sequence[ResolvedChange],
        earlier: Sequence[ResolvedChange],
        *,
        more: bool,
        back: Sequence[ResolvedChange],
    ) -> Delta:
        """One delta of all changes; with `more`, training begins with the last one that made them all."""
        # 1. A second attempt, also without some of the changes, goes on from the weights of the first. Training that
        # goes on from a delta in force leaves alone what that makes already.
        ids = frozenset(item.entry.id for item in items)
        begin: Delta | None = None
        if self._last is not None and (self._satisfied is not None or (more and ids <= self._last[0])):
            begin = self._last[1]
        satisfied = self._satisfied or frozenset()
        wanted = [*(item for item in items if item.entry.id not in satisfied), *back]
        if not wanted and begin is not None:
            return begin
        made = [item for item in items if item.entry.id in satisfied]

        # 2. Train the others, and the facts of refused changes back to what the unedited model says.
        def curriculum(facts: int) -> Curriculum:
            if self._rehearsed is None:
                self._rehearsed = self._recalled(facts, self._seed + 2)
            before = [*earlier, *made]
            follows: Mapping[int, tuple[Question, ...]] = {}
            if self._follow:
                editor = self._editor
                with self._unedited():
                    follows = followed(editor.model, editor.tokenizer, [*wanted, *before], editor.text)
            return batch_curriculum(wanted, before, self._rehearsed, self._pool, begin=begin, follows=follows)

        with self._unedited():
            bench = self._editor.workbench
        case = [(item.request, item.subgraph) for item in wanted]
        delta = self._method.together(replace(bench, curriculum=curriculum), [case])[0].delta
        self._last = ids, delta
        return delta

    def _recalled(self, count: int, seed: int) -> list[KnownFact]:
        """Known facts that may be protected or rehearsed, recalled by the unedited model."""
        editor = self._editor
        with self._unedited():
            return self._pool.recalled(editor.model, editor.tokenizer, count, seed=seed, part="protected")

    @cached_property
    def _bench(self) -> Workbench:
        """The editor's workbench with known facts in its second moments, all read off the unedited model."""
        editor, pool, settings = self._editor, self._pool, self._settings
        # K_0 of the closed form: keys of known facts beside those of text, by weight (`protected_keys.with_facts`).
        with self._unedited():
            bench = editor.workbench
            facts = self._recalled(settings.facts, self._seed + 1)
            asked = [(pool.text[fact.relation].cloze[0], fact.subject_label) for fact in facts]
            keys = self._keys(asked, tuple(bench.moments))
        moments = {
            layer: with_facts(moment, keys[layer], settings.fact_weight) for layer, moment in bench.moments.items()
        }
        return replace(bench, moments=moments)

    def _protecting(self, items: Sequence[ResolvedChange]) -> Workbench:
        # Keys of changes are read off the model as it is: the edit will be asked on these weights.
        bench = self._bench
        keys = self._keys([pair for item in items for pair in self._asked(item)], tuple(bench.moments))
        moments = {
            layer: HeldMoment(moment, keys[layer], self._settings.change_weight)
            for layer, moment in bench.moments.items()
        }
        return replace(bench, moments=moments)

    def _keys(self, asked: Sequence[Asked], layers: Sequence[int]) -> Mapping[int, Tensor]:
        """Layer -> keys (n, d_ff) at the subjects of prompts, and at their ends where those are written at as well."""
        editor = self._editor
        prompts = [encode_prompt(editor.tokenizer, prompt, subject) for prompt, subject in asked]
        prompts.sort(key=lambda prompt: len(prompt.ids))
        keys = subject_keys(editor.model, prompts, layers)
        if not (later := [layer for layer in layers if layer in editor.method.later_layers]):
            return keys
        ends = last_keys(editor.model, [prompt.ids for prompt in prompts], later)
        return {**keys, **{layer: torch.cat([keys[layer], ends[layer]]) for layer in later}}

    def _asked(self, item: ResolvedChange) -> list[Asked]:
        request = item.request
        prompts = {request.prompt}
        if request.relation is not None and request.relation in self._text:
            prompts |= set(self._text.edit_wordings((request.relation,)))
        inverses = inverse_edits([(request, None)], self._text) if self._editor.method.writes_inverses else []
        return [
            *((prompt, request.subject) for prompt in sorted(prompts)),
            *((prompt, one.request.subject) for one in inverses for prompt in (one.request.prompt, one.question)),
        ]
