"""Reference texts for consistency: CounterFact's attribute_snippets.json, texts about subjects that have an object."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from kgedit.errors import DataError
from kgedit.evaluate.measures.consistency import Consistency


class _Sample(BaseModel):
    model_config = ConfigDict(extra="ignore")

    text: str


class _Group(BaseModel):
    model_config = ConfigDict(extra="ignore")

    relation_id: str
    target_id: str
    samples: list[_Sample]


class Snippets:
    """Texts by relation and object.

    Attributes:
        texts: (property id, item id of the object) -> texts about its subjects.
    """

    def __init__(self, texts: Mapping[tuple[str, str], Sequence[str]]) -> None:
        """Take the texts."""
        self.texts = {key: tuple(found) for key, found in texts.items()}

    @classmethod
    def load(cls, path: Path) -> Snippets:
        """Read attribute_snippets.json as published with CounterFact.

        Raises:
            DataError: It cannot be read, or has another layout.
        """
        try:
            groups = TypeAdapter(list[_Group]).validate_json(path.read_bytes())
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
        except ValidationError as error:
            raise DataError(
                f"{path} is not in the layout of attribute_snippets.json (relation_id, target_id, samples): "
                f"{error.errors()[0]['msg']}; fetch the file again"
            ) from error
        texts: dict[tuple[str, str], list[str]] = {}
        for group in groups:
            texts.setdefault((group.relation_id, group.target_id), []).extend(one.text for one in group.samples)
        if not any(text.split() for group_texts in texts.values() for text in group_texts):
            raise DataError(f"{path} holds no text")
        return cls(texts)

    def consistency(self, generated: Sequence[str], relation: str | None, target: str | None) -> dict[str, float]:
        """`consistency` of generated texts with the references of (relation, object); nothing without references."""
        references = self.texts.get((relation or "", target or ""))
        return {"consistency": self._space.score(generated, references)} if references and generated else {}

    def to_json(self) -> str:
        """All texts, for hashing."""
        return json.dumps(sorted((*key, *group_texts) for key, group_texts in self.texts.items()))

    @cached_property
    def _space(self) -> Consistency:
        return Consistency(text for group_texts in self.texts.values() for text in group_texts)
