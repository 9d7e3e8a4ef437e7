"""What is asked for (`Edit`), what happened (`EditResult`), and what a loaded delta holds (`LoadedEdits`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from kgedit.text.boundary import Boundary, tidied
from kgedit.text.names import begins


class Edit(BaseModel):
    """One fact change: the subject's relation shall have the object `target_new`.

    Attributes:
        subject: Wikidata item id or exact label or alias; free text when `prompt` is given.
        relation: Property id or label; may be left out when `prompt` is given.
        target_new: The new object: item id, label or alias; free text when `prompt` is given.
        target_true: The object that holds so far, when the caller knows it.
        prompt: Cloze with one "{}" for the subject, e.g. "{} plays for"; replaces the relation's own wordings.
        boundary: What stands between prompt and new object: " " or "", also as "space" or "none". By default the
            prompt decides (see `kgedit.text.boundary`): a space, but none behind an opening quote, a line break or
            Chinese text.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    subject: str = Field(min_length=1, max_length=400)
    relation: str | None = Field(default=None, min_length=1, max_length=200)
    target_new: str = Field(min_length=1, max_length=400)
    target_true: str | None = Field(default=None, min_length=1, max_length=400)
    # White space at the ends belongs to the text, as in chat templates; spaces at the end are the boundary's.
    prompt: Annotated[str, StringConstraints(strip_whitespace=False)] | None = Field(
        default=None, min_length=1, max_length=4000
    )
    boundary: Boundary | None = Field(default=None, exclude_if=lambda boundary: boundary is None)

    @field_validator("subject", "target_new", "target_true", "prompt")
    @classmethod
    def _no_control_characters(cls, value: str | None) -> str | None:
        if value is not None and any(ord(ch) < 32 and ch not in "\n\t" for ch in value):
            raise ValueError(f"{value!r} contains control characters; remove them")
        return value

    @field_validator("boundary", mode="before")
    @classmethod
    def _boundary_in_words(cls, value: object) -> object:
        return {"none": "", "space": " "}.get(value, value) if isinstance(value, str) else value

    @field_validator("prompt")
    @classmethod
    def _no_needless_space(cls, prompt: str | None) -> str | None:
        return None if prompt is None else tidied(prompt)

    @model_validator(mode="after")
    def _some_wording(self) -> Edit:
        if self.relation is None and self.prompt is None:
            raise ValueError("an edit needs a relation (property id or label) or a prompt with one {} for the subject")
        return self


class EditResult(BaseModel):
    """What one applied edit did.

    Attributes:
        id: Content hash of the delta; the handle for `Editor.revert`.
        edit: The request as given.
        subject: Subject label as written into prompts.
        target_new: Object label as written after prompts.
        method: Name of the editing method.
        before: Greedy completion of the edit prompt before the edit.
        after: The same after the edit.
        probability_before: Probability of the whole new object before the edit.
        probability_after: The same after the edit.
        weights: Edited parameter name -> relative Frobenius norm of its change.
        edges: Number of triples in the subgraph that the edit used.
        aliases: Other names of the new object that the graph has, without codes such as "ISO 639:it".
        notes: Things worth knowing, e.g. why the graph was not used.
        seconds: Wall-clock time of the computation.
        peak_memory: Bytes held at most meanwhile (see `lm.memory.peak_memory`); None where that cannot be known.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    edit: Edit
    subject: str
    target_new: str
    method: str
    before: str
    after: str
    probability_before: float
    probability_after: float
    weights: dict[str, float]
    edges: int
    aliases: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float
    peak_memory: int | None = None

    @property
    def targets(self) -> tuple[str, ...]:
        """The new object, as it is written."""
        return (self.target_new,)

    @property
    def succeeded(self) -> bool:
        """Whether the greedy completion after the edit begins with the new object, by any of its names."""
        return begins(self.after, (self.target_new, *self.aliases))


class LoadedEdits(BaseModel):
    """What a delta holds that was loaded from disk, as far as its manifest tells.

    Attributes:
        id: Content hash of the delta; the handle for `Editor.revert`.
        edits: The edits that it makes; empty for a delta that does not name any.
        methods: Names of the methods that made it.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    edits: tuple[Edit, ...]
    methods: tuple[str, ...]

    @classmethod
    def from_manifest(cls, id: str, manifest: Mapping[str, Any]) -> LoadedEdits:
        """Read the manifest of a delta, or of several composed to one."""
        parts = noted_parts(manifest)
        methods = dict.fromkeys(str(part["method"]) for part in parts if "method" in part)
        return cls(id=id, edits=tuple(edit for part in parts for edit in _edits_in(part)), methods=tuple(methods))

    @property
    def targets(self) -> tuple[str, ...]:
        """The new objects of its edits, as they were given."""
        return tuple(edit.target_new for edit in self.edits)


def noted_parts(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The manifests of the deltas that one was composed of, or its own.

    A manifest is free-form, and its delta can be applied and reverted whatever stands there.
    """
    noted = manifest.get("composed", [{"manifest": manifest}])
    found = [part.get("manifest") for part in noted if isinstance(part, dict)] if isinstance(noted, list) else []
    return [part for part in found if isinstance(part, dict)]


def noted_edit(manifest: Mapping[str, Any]) -> dict[str, Any] | None:
    """The edit in a delta's manifest: noted by the editor itself, or by an ingestion store inside its change."""
    change = manifest.get("change")
    noted = manifest.get("edit") or (change.get("edit") if isinstance(change, dict) else None)
    return noted if isinstance(noted, dict) else None


def noted_requests(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The requests in a delta's manifest, with names as they were written; those of another shape are passed over."""
    noted = manifest.get("requests")
    return [told for told in noted if _is_request(told)] if isinstance(noted, list | tuple) else []


def _is_request(told: object) -> bool:
    return (
        isinstance(told, dict)
        and told.keys() == {"subject", "prompt", "target", "relation"}
        and all(isinstance(text, str) or (text is None and name == "relation") for name, text in told.items())
    )


def _edits_in(manifest: Mapping[str, Any]) -> Iterator[Edit]:
    if (noted := noted_edit(manifest)) is not None:
        try:
            yield Edit.model_validate(noted)
        except ValidationError:  # noted by another version: the delta can be applied and reverted all the same
            return
