"""What every editing method is: a computation from requests to deltas that leaves the model as it found it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.delta import Delta, compose
from kgedit.errors import EditError, UnknownMethod
from kgedit.graph.subgraph import Subgraph
from kgedit.methods.engine.closed_form import Moment
from kgedit.progress import Progress

# The methods: name -> module and class.
METHODS: Mapping[str, str] = {
    "rome": "kgedit.methods.rome:Rome",
    "memit": "kgedit.methods.memit:Memit",
    "glame": "kgedit.methods.glame.method:Glame",
    "rome-kg": "kgedit.methods.rome_kg:RomeKg",
    "memit-kg": "kgedit.methods.rome_kg:MemitKg",
    "ft": "kgedit.methods.finetune:FineTune",
    "ft-l": "kgedit.methods.finetune:FineTuneBounded",
}


class Settings(BaseModel):
    """Base of every method's hyper-parameters: frozen, and a misspelt name is an error.

    Attributes:
        ending: Text that is learned behind the new object, e.g. "."; without it a name may go on as a longer one
            (Weimar as Weimar Republic). The published objectives have none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ending: str = Field(default="", max_length=8)


@dataclass(frozen=True)
class Request:
    """One edit with names resolved: what a method is asked to write.

    Attributes:
        subject: Subject as it stands in prompts.
        prompt: Cloze with one "{}" for the subject.
        target: New object as it stands after the prompt, without leading space.
        relation: Property id, when there is one.
    """

    subject: str
    prompt: str
    target: str
    relation: str | None = None


# The edits of one benchmark record, each with its subgraph.
Case = Sequence[tuple[Request, Subgraph | None]]


@dataclass(frozen=True)
class Workbench:
    """What a method works with, all of it read only.

    Attributes:
        model: The model; unchanged at exit (weights, hooks, gradient flags, training mode).
        tokenizer: Its fast tokenizer.
        moments: Edit layer -> second moment of keys.
        prefixes: Context prefixes, the first of them empty.
        seed: Seed of everything that is drawn.
        progress: Called with (what, done, total).
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    moments: Mapping[int, Moment]
    prefixes: Sequence[str]
    seed: int = 0
    progress: Progress | None = None


@dataclass(frozen=True)
class Computed:
    """What a method returns for one request.

    Attributes:
        delta: The change, on the model's weights as they are.
        notes: What a user should know about this edit, e.g. that its graph was empty.
        log: Numbers of the optimisation, also in the delta's manifest.
    """

    delta: Delta
    notes: tuple[str, ...] = ()
    log: Mapping[str, Any] = field(default_factory=dict)


class Method(Protocol):
    """An editing method.

    Attributes:
        name: Name in `METHODS`.
        layers: Layers whose second moments it needs; none for a method that does without.
        uses_graph: Whether it reads subgraphs.
        config: Its hyper-parameters.
    """

    name: str
    uses_graph: bool

    @property
    def config(self) -> Any:
        """Hyper-parameters, a `Settings` of the method's own kind."""
        ...

    @property
    def layers(self) -> tuple[int, ...]:
        """Layers whose second moments it needs, ascending."""
        ...

    @property
    def subgraph_options(self) -> dict[str, Any]:
        """Options of `build_subgraph` for the subgraphs that it is handed."""
        ...

    def compute(
        self, bench: Workbench, requests: Sequence[Request], subgraphs: Sequence[Subgraph | None]
    ) -> list[Computed]:
        """One delta per request, each computed as if it were the only one; the model is unchanged at exit."""
        ...

    def together(self, bench: Workbench, cases: Sequence[Case]) -> list[Computed]:
        """One delta per case, which makes all edits of that case; the model is unchanged at exit.

        Several cases only share computation. Second moments and prefixes are those of the unedited model.

        Raises:
            EditError: A case has no edit, or one that cannot be carried out.
        """
        ...


@torch.inference_mode(False)  # weights are written in between, whatever mode the caller is in
def one_after_another(method: Method, bench: Workbench, cases: Sequence[Case]) -> list[Computed]:
    """`Method.together` for methods of single facts: each edit is computed with the case's earlier ones in force.

    The first edits of all cases share one call of `compute`, since they all meet the unedited model.
    """
    if not cases:
        return []
    check_cases(cases)
    requests, subgraphs = zip(*(case[0] for case in cases), strict=True)
    firsts = method.compute(bench, requests, subgraphs)
    found = []
    for case, first in zip(cases, firsts, strict=True):
        parts = [first]
        with ExitStack() as in_force:
            for request, subgraph in case[1:]:
                in_force.enter_context(parts[-1].delta.apply(bench.model, check=False))
                parts += method.compute(bench, [request], [subgraph])
        found.append(_as_one(parts))
    return found


def check_cases(cases: Sequence[Case]) -> None:
    """Refuse a case without edits.

    Raises:
        EditError: There is one.
    """
    for number, case in enumerate(cases):
        if not case:
            raise EditError(f"case {number} of {len(cases)} has no edit; leave it out, or give it one")


def _as_one(parts: Sequence[Computed]) -> Computed:
    """The parts of a case, applied in this order, as one delta on the unedited weights."""
    if len(parts) == 1:
        return parts[0]
    notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
    delta = compose(*(part.delta for part in parts))
    return Computed(delta, notes, {"edits": [dict(part.log) for part in parts]})


def load_method(name: str) -> Any:
    """The class of a method, imported when it is asked for.

    Raises:
        UnknownMethod: There is none of this name.
    """
    if name not in METHODS:
        raise UnknownMethod(f"there is no method {name!r}; there are: {', '.join(METHODS)}")
    module, _, attribute = METHODS[name].partition(":")
    return getattr(import_module(module), attribute)
