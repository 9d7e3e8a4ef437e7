"""Settings of an evaluation."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from kgedit.errors import EvaluationError
from kgedit.evaluate.benchmarks.case import Options, ZsreTarget
from kgedit.evaluate.benchmarks.counterfact.snippets import Snippets
from kgedit.evaluate.benchmarks.mquake.prompts import MquakePrompts, Style
from kgedit.evaluate.results import PASTED, UNEDITED
from kgedit.lm.chat import ChatChoice
from kgedit.methods.registry import method_names, split_variants
from kgedit.mini import MINI

ALL = "all"
Protocol = Literal["published", "free"]


class EvaluationSettings(BaseModel):
    """One evaluation.

    Attributes:
        suite: Name of a benchmark, as `kgedit eval` lists them.
        data: File, folder, or data set on the hub.
        model: "mini", a hub id or a folder.
        methods: Comma-separated, see `methods.registry`; the unedited model is always scored. "pasted" is the unedited
            model that reads the new facts in each prompt. "all" is that and every method that is not named beside it;
            those of them that cannot run on the model are left out, and the report says why.
        limit: Number of cases, taken from the beginning of the file.
        recalled_only: Leave out the cases whose facts the unedited model does not recall; their share is reported.
        anyway: Run the methods, and show their figures, also where the unedited model recalls next to no case's facts.
        seed: Of prefixes, encoders, sampled texts and resampling.
        sequential: Edits are kept: each case is edited on top of all earlier ones, and all are asked again at the end.
        batch_edits: Number of cases that are edited together, in one computation, and scored together; in a sequence
            only edited together.
        sequence: Lengths of a sequence of edits: the cases of the file are edited one batch after another, and at each
            of these numbers of cases all so far are asked again; see `run.lengths`.
        asked_at_most: The most cases of a length that are asked everything; the others are asked their edits alone.
        ability: Own questions of general ability for a sequence, see `run.ability`; else those that come with kgedit.
        styles: How MQuAKE's questions are put.
        prompts: Folder of MQuAKE's published demonstrations.
        match: When a generated answer counts; by default exactly for mini, which ends its sentences with the name, and
            if it contains the name for models that talk on.
        protocol: "published": the benchmark's own figures; "free": beside them what the model says by itself, see
            `evaluate.free`.
        chat: Whether edits are optimised in the model's chat form, too: "never", as in every published figure; "auto"
            where the model has a chat template; "always".
        system: System prompt of that chat, and of those that the free protocol asks in; the template's own by default.
        generate: Sample texts as well: fluency, and portability as published.
        snippets: CounterFact's attribute_snippets.json, for consistency.
        zsre_target: What zsRE's edits write: the data set's other answer `alt` (MEND), or the first right "answer", as
            ROME's and MEMIT's loaders do.
        moments: Second moments: "auto", "collect", "identity", or a folder; see `Editor.from_pretrained`.
        graph: SQLite file of a knowledge graph; the bundled snapshot by default.
        device: Torch device; the CPU by default.
        dtype: Precision of the weights; "auto" is the stored one.
        revision: Revision of the model on the hub.
        trust_remote_code: Run the model's own code; see `lm.loading.Loading`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    suite: str
    data: str
    model: str = MINI
    methods: str = "rome,memit,glame"
    limit: int | None = Field(default=None, ge=1)
    recalled_only: bool = False
    anyway: bool = False
    seed: int = Field(default=0, ge=0, lt=2**32)
    sequential: bool = False
    batch_edits: int | None = Field(default=None, ge=1)
    sequence: tuple[int, ...] = ()
    asked_at_most: int = Field(default=200, ge=1)
    ability: Path | None = None
    styles: tuple[Style, ...] = Field(default=("zero_shot",), min_length=1)
    prompts: Path | None = None
    match: Literal["begins", "contains", "exact"] | None = None
    protocol: Protocol = "published"
    chat: ChatChoice = "never"
    system: str | None = None
    generate: bool = False
    snippets: Path | None = None
    zsre_target: ZsreTarget = "alt"
    moments: Literal["auto", "collect", "identity"] | Path = "auto"
    graph: Path | None = None
    device: str | None = None
    dtype: str = "auto"
    revision: str | None = None
    trust_remote_code: bool = False

    @model_validator(mode="after")
    def _one_mode(self) -> EvaluationSettings:
        if self.sequential and self.batch_edits is not None:
            raise ValueError("edits are either kept one after another (sequential) or made in batches, not both")
        if self.system is not None and self.chat == "never" and self.protocol != "free":
            raise ValueError(
                "a system prompt belongs to a chat; edits are made in one with chat auto or always, and questions "
                "asked in one with protocol free"
            )
        if self.sequence and self.sequential:
            raise ValueError("give sequential, which asks after every edit, or the lengths of a sequence, not both")
        if self.sequence and self.limit not in (None, self.sequence[-1]):
            raise ValueError(
                f"the longest length of a sequence, {self.sequence[-1]}, is the number of its cases, and the limit is "
                f"{self.limit}; leave the limit out"
            )
        if self.ability is not None and not self.sequence:
            raise ValueError("general ability is measured along a sequence; give its lengths as well")
        if any(length < 1 for length in self.sequence) or list(self.sequence) != sorted({*self.sequence}):
            raise ValueError(f"lengths of a sequence are whole numbers from 1, each above the last: {self.sequence}")
        return self

    @property
    def most_cases(self) -> int | None:
        """Number of cases that are run, from the beginning of the file; None for all."""
        return self.sequence[-1] if self.sequence else self.limit

    @property
    def mode(self) -> Literal["alone", "together", "sequential", "sequence"]:
        """Which edits the model carries while a case is scored; see `run.modes`."""
        if self.sequence:
            return "sequence"
        if self.sequential:
            return "sequential"
        return "alone" if self.batch_edits is None else "together"

    @property
    def columns(self) -> tuple[str, ...]:
        """All that is compared: methods, "unedited" and the control "pasted", as far as they are named.

        Raises:
            EvaluationError: None is named, or one twice.
        """
        words = split_variants(self.methods)
        if not words:
            raise EvaluationError("no method is named; give some, e.g. --methods rome,memit,glame")
        if doubled := sorted({word for word in words if words.count(word) > 1}):
            raise EvaluationError(f"{', '.join(doubled)} stands in the list of methods more than once")
        if ALL in words:
            place = words.index(ALL)
            words[place : place + 1] = self._others(words)
        return tuple(words)

    @property
    def found_by_all(self) -> frozenset[str]:
        """The columns that are there because of "all", not by their names."""
        named = split_variants(self.methods)
        return frozenset(self._others(named)) if ALL in named else frozenset()

    def _others(self, words: Iterable[str]) -> list[str]:
        """All columns but those of methods that are named, whatever their settings."""
        named = {word.partition(":")[0] for word in words}
        return [name for name in (UNEDITED, PASTED, *method_names()) if name not in named]

    @property
    def variants(self) -> tuple[str, ...]:
        """The methods that edit, as `methods.registry` reads them.

        Raises:
            EvaluationError: None is named, or one twice.
        """
        return tuple(word for word in self.columns if word not in (UNEDITED, PASTED))

    def options(self) -> Options:
        """The options of scoring; reads the files that they name.

        Raises:
            EvaluationError: A style needs demonstrations that are not given.
            DataError: A file cannot be read.
        """
        prompts = MquakePrompts.load(self.prompts) if self.prompts else MquakePrompts()
        if missing := [style for style in self.styles if style not in prompts.styles]:
            raise EvaluationError(
                f"the style {', '.join(missing)} needs the demonstrations published with MQuAKE; "
                "give the folder `prompts` of its repository with --prompts"
            )
        return Options(
            styles=tuple(dict.fromkeys(self.styles)),
            prompts=prompts,
            match=self.match or ("exact" if self.model == MINI else "contains"),
            generate=self.generate or self.snippets is not None,
            snippets=Snippets.load(self.snippets) if self.snippets else None,
            zsre_target=self.zsre_target,
        )
