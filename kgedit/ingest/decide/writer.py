"""From the changes of a batch to their deltas: an editing method with the keys of everything else held."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from kgedit.delta import Delta, LowRankDelta, WeightUpdate
from kgedit.editor import Editor
from kgedit.graph.verbalize import Verbalizer
from kgedit.ingest.decide.known_facts import FactPool
from kgedit.ingest.decide.protected_keys import Asked, HeldMoment, subject_keys, with_facts
from kgedit.ingest.decide.resolved_change import ResolvedChange
from kgedit.methods.base import Workbench

Unedited = Callable[[], AbstractContextManager[None]]


class Writer(Protocol):
    """What computes the deltas of a batch.

    Attributes:
        name: Name of the method.
        shared: Whether all changes of a batch share one delta.
    """

    name: str
    shared: bool

    def propose(
        self, items: Sequence[ResolvedChange], earlier: Sequence[ResolvedChange], *, more: bool
    ) -> list[Delta]:
        """One delta per change (the same one for all where `shared`), for the model as it is; it is left unchanged.

        Args:
            items: The changes.
            earlier: Changes in force.
            more: Take more steps: a first attempt did not reach the goal.
        """
        ...


class WriteSettings(BaseModel):
    """The table [ingest] of a model's preset.

    Attributes:
        facts: Number of known facts whose keys are held.
        fact_weight: How dear they are together, against the second moment of text.
        change_weight: How dear each key of a change in force, or of the same batch, is.
        steps_factor: How many times the steps a second attempt takes.
        settings: Hyper-parameters of a method that differ when many edits are kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    facts: int = Field(default=2000, ge=0)
    fact_weight: float = Field(default=1.0, ge=0)
    change_weight: float = Field(default=1.0, gt=0)
    steps_factor: int = Field(default=3, ge=1)
    settings: dict[str, dict[str, Any]] = {}


class MethodWriter:
    """An editing method of `kgedit.methods`, with known facts and earlier changes held at no change."""

    shared = False

    def __init__(
        self, editor: Editor, pool: FactPool, settings: WriteSettings, unedited: Unedited, seed: int = 0
    ) -> None:
        """Take what is needed; statistics and keys are read once there is something to write.

        Args:
            editor: Model, graph and method.
            pool: Known facts.
            settings: How dear they are.
            unedited: A context in which the model is unedited.
            seed: Draws the facts.
        """
        self._editor, self._pool, self._settings, self._text = editor, pool, settings, Verbalizer.bundled()
        self._unedited, self._seed = unedited, seed
        self.name = editor.method.name

    @cached_property
    def _bench(self) -> Workbench:
        """The editor's workbench with known facts in its second moments, all read off the unedited model."""
        editor, pool, settings = self._editor, self._pool, self._settings
        with self._unedited():
            bench = editor.workbench
            facts = pool.recalled(
                editor.model, editor.tokenizer, settings.facts, seed=self._seed + 1, part="protected"
            )
            asked = [(pool.text[fact.relation].cloze[0], fact.subject_label) for fact in facts]
            keys = subject_keys(editor.model, editor.tokenizer, asked, tuple(bench.moments))
        moments = {
            layer: with_facts(moment, keys[layer], settings.fact_weight) for layer, moment in bench.moments.items()
        }
        return replace(bench, moments=moments)

    def propose(
        self, items: Sequence[ResolvedChange], earlier: Sequence[ResolvedChange], *, more: bool
    ) -> list[Delta]:
        """See `Writer`."""
        method: Any = self._editor.method
        if more:
            steps = method.config.steps * self._settings.steps_factor
            method = type(method)(method.config.model_copy(update={"steps": steps}))
        if method.name == "memit" or getattr(method.config, "key", None) == "contexts":
            # One write for the whole batch: it holds every edit at the keys of the others, a column for each.
            bench = self._holding(earlier)
            joint = method.together(bench, [[(item.request, item.subgraph) for item in items]])[0]
            return columns(joint.delta, len(items))
        # Solved for an averaged key: held at its own prompt's key, a change would avoid just that.
        found: list[Delta] = []
        for item in items:
            bench = self._holding([other for other in (*earlier, *items) if other is not item])
            found.append(method.compute(bench, [item.request], [item.subgraph])[0].delta)
        return found

    def _holding(self, items: Sequence[ResolvedChange]) -> Workbench:
        editor, bench = self._editor, self._bench
        keys = subject_keys(
            editor.model,
            editor.tokenizer,
            [pair for item in items for pair in self._asked(item)],
            tuple(bench.moments),
        )
        moments = {
            layer: HeldMoment(moment, keys[layer], self._settings.change_weight)
            for layer, moment in bench.moments.items()
        }
        return replace(bench, moments=moments)

    def _asked(self, item: ResolvedChange) -> list[Asked]:
        request = item.request
        prompts = {request.prompt}
        if request.relation is not None and request.relation in self._text:
            prompts |= set(self._text.edit_wordings((request.relation,)))
        return [(prompt, request.subject) for prompt in sorted(prompts)]


def columns(delta: Delta, count: int) -> list[Delta]:
    """A joint write, one column per edit on each weight, as one delta per edit.

    Raises:
        ValueError: A weight has another number of columns.
    """
    if not isinstance(delta, LowRankDelta) or any(update.rank != count for update in delta.updates):
        raise ValueError(f"a joint write of {count} edits must be a low-rank delta of rank {count} on every weight")
    return [
        LowRankDelta(
            tuple(WeightUpdate(u.name, u.left[:, i : i + 1], u.right[:, i : i + 1], u.conv1d) for u in delta.updates),
            delta.base_hash,
            {**delta.manifest, "column": i, "columns": count},
        )
        for i in range(count)
    ]
