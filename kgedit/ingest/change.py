"""One fact change as it came in: what is asked, where it came from, and the key by which it is told from others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from kg_cache.ids import as_id, is_entity_id, is_relation_id
from kg_cache.text import fold
from kgedit.edit import Edit


class Provenance(BaseModel):
    """Where a change came from.

    Attributes:
        feed: The feed: a file's name, "wikidata", "stream", or the two graphs of a difference.
        position: Place in it: "line 12", a statement's id, or the event id that a stream resumes after.
        seen: When the feed read it.
        dated: When the source says that the fact or its evidence is of, if it does; decides `newest-evidence`.
        evidence: What the source gives for it: an address, a revision, the number of references.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    feed: str = Field(min_length=1, max_length=400)
    position: str = Field(min_length=1, max_length=2000)
    seen: AwareDatetime
    dated: AwareDatetime | None = None
    evidence: str | None = Field(default=None, max_length=2000)

    @property
    def where(self) -> str:
        """Feed and position as a message names them."""
        return f"{self.feed}, {self.position}"


class Change(BaseModel):
    """An edit that a feed asks for.

    Attributes:
        edit: The edit as the feed words it: ids or names.
        provenance: Where it came from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    edit: Edit
    provenance: Provenance

    @property
    def key(self) -> str:
        """Idempotence key of the edit as worded; planning replaces names by ids first, see `Planned.key`."""
        return change_key(self.edit)


class MalformedChange(BaseModel):
    """A record that is no change; feeds yield it in the place of one, so that it is counted and named.

    Attributes:
        feed: The feed, as in `Provenance`.
        position: Place in it.
        why: What is wrong with it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    feed: str
    position: str
    why: str

    @property
    def where(self) -> str:
        """Feed and position as a message names them."""
        return f"{self.feed}, {self.position}"


def change_key(edit: Edit) -> str:
    """What makes two changes the same: SHA-256 over subject, relation (or prompt) and new object.

    Ids count as they are; names count without regard to case, composed letters and blanks.
    """
    return _hash("change", edit.subject, edit.relation or edit.prompt or "", edit.target_new)


def slot_key(edit: Edit) -> str:
    """What makes two changes speak of the same fact: SHA-256 over subject and relation (or prompt)."""
    return _hash("slot", edit.subject, edit.relation or edit.prompt or "")


def words(edit: Edit, labels: Mapping[str, str] | None = None) -> tuple[str, str, str]:
    """Subject, relation (or prompt) and new object of an edit, as a table shows them: ids behind their labels."""
    return in_words((edit.subject, edit.relation or edit.prompt or "", edit.target_new), labels or {})


def in_words(names: tuple[str, str, str], labels: Mapping[str, str]) -> tuple[str, str, str]:
    """Subject, relation and object, ids behind their labels."""
    subject, relation, obj = (f"{labels[name]} ({name})" if labels.get(name, name) != name else name for name in names)
    return subject, relation, obj


def day(dated: datetime | None) -> str:
    """A date as a table shows it: without a time that says nothing; empty where there is none."""
    return "" if dated is None else dated.isoformat().removesuffix("T00:00:00+00:00")


def normalised(name: str) -> str:
    """The form in which ids and names are compared."""
    text = as_id(" ".join(name.split()))
    return text if is_entity_id(text) or is_relation_id(text) else fold(text)


def now() -> datetime:
    """The present, as feeds note it."""
    return datetime.now(UTC)


def _hash(*parts: str) -> str:
    written = json.dumps([parts[0], *map(normalised, parts[1:])], ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(written.encode()).hexdigest()
