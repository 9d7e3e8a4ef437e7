"""The interface of editing methods: requests and subgraphs in, deltas out; the model is left as it was found.

A method says what it can do by attributes (`uses_graph`, `shares_change`, `writes_jointly`, `moment_layers`), so that
nobody has to ask for its name. docs/methods.md has the mathematics, docs/extending.md how to add one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Self

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.delta import Delta, compose, hash_weights
from kgedit.edit import noted_parts, noted_requests
from kgedit.errors import EditError
from kgedit.graph.subgraph import Subgraph
from kgedit.lm.anatomy import context_length
from kgedit.lm.chat import ChatForm
from kgedit.lm.prefixes import PrefixPlan
from kgedit.lm.second_moment.matrix import LEAST_RIDGE
from kgedit.lm.tokens import encode_prompt, encode_target
from kgedit.methods.curriculum import Curriculum
from kgedit.methods.engine.closed_form import Moment
from kgedit.methods.settings import MethodSettings
from kgedit.progress import Progress
from kgedit.text.template import fill


@dataclass(frozen=True)
class Request:
    """One edit with names resolved: what a method is asked to write.

    Attributes:
        subject: Subject as it stands in prompts.
        prompt: Cloze with one slot "{}" for the subject; a mark at its end says how the target is joined to it,
            where the rules do not decide that (see `kgedit.text.boundary`).
        target: New object as it stands after the prompt, without leading space.
        relation: Property id, when there is one.
    """

    subject: str
    prompt: str
    target: str
    relation: str | None = None

    @property
    def question(self) -> str:
        """The prompt with the subject in its slot."""
        return fill(self.prompt, self.subject)


def requested(requests: Sequence[Request]) -> dict[str, Any]:
    """What the manifest of a delta says of the requests that it carries out; `requests_in` reads it."""
    return {"requests": [asdict(request) for request in requests]}


def requests_in(*manifests: Mapping[str, Any]) -> tuple[Request, ...]:
    """The requests that the manifests of deltas, or of several composed to one, tell of."""
    parts = [part for manifest in manifests for part in noted_parts(manifest)]
    return tuple(Request(**told) for part in parts for told in noted_requests(part))


# Edits that are made together, such as those of one benchmark record, each with its subgraph.
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
        chat: The form in which the edit is to hold in a chat, too; None for texts alone.
        earlier: Requests whose edits are in force, as far as their deltas tell them; the model carries them.
        curriculum: What to train on beside the edits of one case, given the most known facts that are wanted; only
            methods that train on whole batches ask for it.
        known_facts: Facts that the unedited model recalls, each asked as an edit to its own object would be; what a
            method may rehearse where no curriculum is supplied.
        unedited_hash: Gives `model_hash` of the model without its edits; None where it carries none.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    moments: Mapping[int, Moment]
    prefixes: Sequence[str]
    seed: int = 0
    progress: Progress | None = None
    chat: ChatForm | None = None
    earlier: Sequence[Request] = ()
    curriculum: Callable[[int], Curriculum] | None = None
    known_facts: Sequence[Request] = ()
    unedited_hash: Callable[[], str] | None = None

    def chat_templates(self, request: Request) -> list[str]:
        """The request as it is put in a chat; none where edits are made for texts alone."""
        return self.chat.templates(request.prompt, request.relation) if self.chat else []

    def learned(self, request: Request, ending: str) -> str:
        """The new object as it is learned, with its ending.

        Raises:
            TargetError: The object does not suit the tokenizer; an empty one not even with an ending behind it.
        """
        encode_target(self.tokenizer, request.target, request.question)
        return request.target + ending

    def encoded(
        self, request: Request, ending: str, templates: Sequence[str] = ()
    ) -> tuple[list[tuple[int, ...]], tuple[int, ...]]:
        """Token ids to train on: the prompts, each with room for the object, and the object as it stands behind them.

        Args:
            request: The edit.
            ending: What the object is learned with.
            templates: Its wordings; by default the edit prompt alone.

        Raises:
            EditError: A prompt, or the object with or without its ending, does not suit the tokenizer or the context.
        """
        target = encode_target(self.tokenizer, self.learned(request, ending), request.question)
        # The object's last token is only predicted, never read.
        room = context_length(self.model) - len(target) + 1
        prompts = [
            encode_prompt(self.tokenizer, template, request.subject, max_length=room).ids
            for template in templates or (request.prompt,)
        ]
        return prompts, target


@dataclass(frozen=True)
class Computed:
    """What a method returns for one request.

    Attributes:
        delta: The change, on the model's weights as they are.
        notes: What a user should know about this edit, e.g. that its graph was empty.
        log: Numbers of the optimisation, also in the delta's manifest.
        owners: Of a joint write, weight -> the number of the edit that each of its columns belongs to; a weight that
            is not named has one for each edit, in order.
    """

    delta: Delta
    notes: tuple[str, ...] = ()
    log: Mapping[str, Any] = field(default_factory=dict)
    owners: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def owners_among(self, edits: int) -> dict[str, Sequence[int]]:
        """`owners` of every weight, of a joint write of so many edits."""
        return {name: self.owners.get(name, range(edits)) for name in self.delta.names}


class Method(ABC):
    """An editing method.

    Attributes:
        name: Name in the registry.
        summary: What it does, in one line for lists.
        kind: Where it belongs in lists: "closed form", "fine-tuning", "hypernetwork" and the like.
        needs: What must be there beside model and tokenizer, in lists; empty for nothing.
        exports: What its changes can be exported as, in lists; empty for nothing.
        Config: Its kind of settings.
        uses_graph: Whether it reads subgraphs.
        shares_change: Whether all edits of a case share one change, so that none can be taken out of it.
        takes_gate: Whether its change acts at the subject's last token, so that it can be put behind a gate there.
        takes_chat: Whether it optimises an edit in the model's chat form as well (`Workbench.chat`).
        in_stores: Settings for the changes of an ingestion store, where the model's preset has none of the method.
        config: Its hyper-parameters.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    kind: ClassVar[str] = ""
    needs: ClassVar[str] = ""
    exports: ClassVar[str] = "LoRA, GGUF"
    Config: ClassVar[type[MethodSettings]]
    uses_graph: ClassVar[bool] = False
    shares_change: ClassVar[bool] = False
    takes_gate: ClassVar[bool] = True
    takes_chat: ClassVar[bool] = False
    in_stores: ClassVar[Mapping[str, Any]] = {}

    config: MethodSettings

    def __init__(self, config: MethodSettings) -> None:
        """Take the hyper-parameters, an instance of `Config`."""
        self.config = config

    @classmethod  # noqa: B027
    def check_installed(cls) -> None:
        """Make sure that the packages which it needs beside the declared ones are there; usually none.

        Raises:
            MissingExtra: One is not.
        """

    @property
    def moment_layers(self) -> tuple[int, ...]:
        """Layers whose second moments of keys it needs, ascending; none for a method that does without."""
        return ()

    @property
    def later_layers(self) -> tuple[int, ...]:
        """Those of them that it also writes at the last token of prompts, behind the subject; usually none."""
        return ()

    @property
    def prefix_plan(self) -> PrefixPlan | None:
        """The context prefixes that its workbench should have beside the bare prompt; None for none."""
        return None

    @property
    def moment_ridge(self) -> float:
        """Ridge that is added to the second moments, as a share of their mean diagonal."""
        return LEAST_RIDGE

    @property
    def writes_jointly(self) -> bool:
        """Whether `together` solves for all edits of a case at once, with columns of their own (`Computed.owners`)."""
        return False

    @property
    def writes_inverses(self) -> bool:
        """Whether an edit also changes what the model says of its new object (`methods.inverse`)."""
        return False

    @property
    def rehearses(self) -> int:
        """The most known facts that it draws from, to train on them beside the edits; 0 for none."""
        return 0

    @property
    def remembers(self) -> bool:
        """Whether an edit depends on those that were computed before it, beside what the model carries of them."""
        return False

    @property
    def subgraph_options(self) -> dict[str, Any]:
        """Options of `build_subgraph` for the subgraphs that it is handed; none if they are not read."""
        return {}

    def check_model(self, model: PreTrainedModel) -> None:  # noqa: B027
        """Refuse a model, without edits, that this method with these settings can never edit.

        Raises:
            KgeditError: Its family does not suit the method, or what the method must have learned before is not there.
        """

    def without_later_layers(self) -> Self:
        """The method without its write to later layers; usually itself."""
        return self

    def longer(self, factor: int) -> Self:
        """The method with `factor` times the optimisation steps, for edits that a first attempt did not make."""
        return type(self)(self.config.longer(factor))

    def keeping_more(self) -> Self:
        """The method with more weight on what stays, for edits that cost the model as a whole too much."""
        return type(self)(self.config.keeping_more())

    def compute(
        self, bench: Workbench, requests: Sequence[Request], subgraphs: Sequence[Subgraph | None] = ()
    ) -> list[Computed]:
        """One delta per request, each computed as if it were the only one; the model is unchanged at exit.

        By default a case for each. A method of single facts, whose `together` is `one_after_another`, has its own.

        Args:
            bench: What it works with.
            requests: The edits.
            subgraphs: One per request; none where none is read.
        """
        return self.together(bench, single_cases(requests, subgraphs))

    @abstractmethod
    def together(self, bench: Workbench, cases: Sequence[Case]) -> list[Computed]:
        """One delta per case, which makes all edits of that case; the model is unchanged at exit.

        Several cases only share computation. Second moments and prefixes are those of the unedited model.

        Raises:
            EditError: A case has no edit, or one that cannot be carried out.
        """


@torch.inference_mode(False)  # weights are written in between, whatever mode the caller is in
def one_after_another(method: Method, bench: Workbench, cases: Sequence[Case]) -> list[Computed]:
    """`Method.together` for methods of single facts: each edit is computed with the case's earlier ones applied.

    The first edits of all cases share one call of `compute`, since they all meet the unedited model.
    """
    if not cases:
        return []
    check_cases(cases)
    requests, subgraphs = zip(*(case[0] for case in cases), strict=True)
    firsts = method.compute(bench, requests, subgraphs)
    computed = []
    for case, first in zip(cases, firsts, strict=True):
        parts = [_told(first, case[0][0])]
        # Each further edit meets the model with the earlier ones applied; all are reverted when the case is done.
        with ExitStack() as applied:
            for request, subgraph in case[1:]:
                applied.enter_context(parts[-1].delta.apply(bench.model, check=False))
                parts += [_told(part, request) for part in method.compute(bench, [request], [subgraph])]
        computed.append(_as_one(parts, bench.model))
    return computed


def single_cases(requests: Sequence[Request], subgraphs: Sequence[Subgraph | None] = ()) -> list[Case]:
    """A case for each request, with its subgraph if there are any."""
    return [[pair] for pair in zip(requests, subgraphs or [None] * len(requests), strict=True)]


def check_cases(cases: Sequence[Case]) -> None:
    """Refuse a case without edits.

    Raises:
        EditError: There is one.
    """
    for number, case in enumerate(cases):
        if not case:
            raise EditError(f"case {number} of {len(cases)} has no edit; leave it out, or give it one")


def _told(part: Computed, request: Request) -> Computed:
    """One edit of several, whose manifest tells of it once they are composed."""
    return replace(part, delta=part.delta.noting(**requested([request])))


def _as_one(parts: Sequence[Computed], model: PreTrainedModel) -> Computed:
    """The parts of a case, applied in this order, as one delta on the weights that the model has without them."""
    if len(parts) == 1:
        return parts[0]
    notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
    names = sorted({name for part in parts for name in part.delta.names})
    delta = compose(*(part.delta for part in parts), base_hash=hash_weights(model, names))
    return Computed(delta, notes, {"edits": [dict(part.log) for part in parts]})
