"""MQuAKE's ways to ask a question: bare, after the published demonstrations, or with thoughts first."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from kgedit.errors import DataError
from kgedit.evaluate.measures.cloze import as_cloze
from kgedit.lm.generation.greedy import Ask

Style = Literal["zero_shot", "few_shot", "chain_of_thought"]

FEW_SHOT, CHAIN_OF_THOUGHT, RELATIONS = "multihop-prompts.txt", "multihop-cot-prompts.txt", "rel-prompts.json"
_ANSWER_TOKENS, _THOUGHT_TOKENS = 20, 128


@dataclass(frozen=True)
class MquakePrompts:
    """Demonstrations as published with MQuAKE, used letter for letter; without them only zero-shot is possible.

    Attributes:
        few_shot: "Q: ... A: ..." lines for multi-hop questions.
        chain_of_thought: "Question: / Thoughts: / Answer:" blocks.
        relations: Property id -> "Q: ... A: ..." lines for single-hop questions of that property.
    """

    few_shot: str = ""
    chain_of_thought: str = ""
    relations: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path | str) -> MquakePrompts:
        """Read the prompts folder of the MQuAKE repository; the three files are used, each may be missing.

        Raises:
            DataError: None of the files is there, or one cannot be read.
        """
        folder = Path(folder)
        texts = {name: _read(folder / name) for name in (FEW_SHOT, CHAIN_OF_THOUGHT, RELATIONS)}
        if not any(texts.values()):
            raise DataError(
                f"{folder} holds none of {', '.join(texts)}; give the folder `prompts` of the MQuAKE repository"
            )
        try:
            relations = json.loads(texts[RELATIONS] or "{}")
        except ValueError as error:
            raise DataError(f"{folder / RELATIONS} is not JSON: {error}; download it again") from error
        if not isinstance(relations, dict) or not all(isinstance(text, str) for text in relations.values()):
            raise DataError(f"{folder / RELATIONS} is not a table of property ids and texts; download it again")
        return cls(texts[FEW_SHOT], texts[CHAIN_OF_THOUGHT], {pid: text.strip() for pid, text in relations.items()})

    @property
    def styles(self) -> tuple[Style, ...]:
        """The styles in which multi-hop questions can be asked."""
        styles: list[Style] = ["zero_shot"]
        styles += ["few_shot"] if self.few_shot else []
        styles += ["chain_of_thought"] if self.chain_of_thought else []
        return tuple(styles)

    def multi_hop(self, question: str, style: Style) -> Ask:
        """A multi-hop question in one of `styles`; zero-shot questions get the suffix of the paper's evaluation."""
        if style == "few_shot":
            return Ask(f"{self.few_shot}\nQ: {question} A:", _ANSWER_TOKENS, "line")
        if style == "chain_of_thought":
            return Ask(f"{self.chain_of_thought}\n\nQuestion: {question}\nThoughts:", _THOUGHT_TOKENS, "block")
        return Ask(as_cloze(question), _ANSWER_TOKENS)

    def single_hop(self, question: str, cloze: str, relation: str | None) -> Ask:
        """A single hop as a question after its relation's demonstrations; without them as a cloze."""
        shown = self.relations.get(relation or "")
        if shown and question:
            return Ask(f"{shown}\nQ: {question} A:", _ANSWER_TOKENS, "line")
        return Ask(cloze or as_cloze(question), _ANSWER_TOKENS)


def final_answer(text: str, style: Style) -> str:
    """What counts as the answer: after thoughts the line behind the last "Answer:", otherwise the whole text."""
    if style != "chain_of_thought":
        return text
    _, mark, answer = text.rpartition("Answer:")
    return answer.strip().partition("\n")[0] if mark else ""


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}; download it again") from error
