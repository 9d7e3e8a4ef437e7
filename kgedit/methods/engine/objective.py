"""The objective of an edit: token sequences with the positions that are scored, and the weight of each.

The terms and their weights: docs/methods.md, "Optimising the value" and "Terms from the graph". Notation: s subject,
r relation, o* new object, (o*, r_i, o_i) what the graph knows of o*; i_s is the position of the subject's last token,
where the value m* is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

from transformers import PreTrainedTokenizerBase

from kgedit.errors import TargetError
from kgedit.lm.tokens import encode_prompt, encode_target
from kgedit.text.template import fill

Kind = Literal["target", "wording", "path", "keep", "essence", "chain"]


@dataclass(frozen=True)
class ObjectiveRow:
    """One sequence of an objective.

    Attributes:
        ids: Prompt tokens, then all target tokens but the last.
        place: Position that is written at: i_s, or the prompt's last token where the subject is not named.
        scored: Positions whose next-token distribution counts.
        targets: The token wanted after each scored position; empty where the unedited distribution is to be kept.
        kind: "target" (o* after the edit prompt), "wording" (o* after another prompt), "path" (o_i after a composed
            prompt), "keep" (another fact of s), "essence" (what the subject's last token alone predicts in "s is a"),
            "chain" (what a prompt gives that reaches the edited fact on its way).
        weight: Weight of the row's mean loss in the edit's loss.
        length: Length of the offset that it is asked under, as a multiple of the optimised one.
    """

    ids: tuple[int, ...]
    place: int
    scored: tuple[int, ...]
    targets: tuple[int, ...]
    kind: Kind
    weight: float
    length: float = 1.0

    @property
    def upto(self) -> tuple[int, ...]:
        """The tokens up to the one that is written at."""
        return self.ids[: self.place + 1]

    @property
    def prompt(self) -> tuple[int, ...]:
        """The tokens up to the one that predicts the first wanted token."""
        return self.ids[: self.scored[0] + 1]


@dataclass(frozen=True)
class Objective:
    """All rows of one edit in one write; row 0 of the first is the bare edit prompt, whose value m* starts from."""

    rows: tuple[ObjectiveRow, ...]

    @property
    def contexts(self) -> list[int]:
        """Indices of the rows that hold the edit prompt behind the context prefixes."""
        return [index for index, row in enumerate(self.rows) if row.kind == "target"]


def target_rows(
    tokenizer: PreTrainedTokenizerBase,
    prompt: str,
    subject: str,
    target: str,
    prefixes: Sequence[str],
    *,
    chat: Sequence[str] = (),
    max_length: int | None = None,
) -> list[ObjectiveRow]:
    """The edit prompt behind each context prefix, followed by o* (the term L_p of ROME, eq. 4: weight 1/N each).

    Where the edit is to hold in a chat as well, its `chat` templates follow, and both kinds have half the weight. A
    prefix that does not fit into the context together with prompt and target is left out, and so is a chat.

    Raises:
        PromptError: Not even the bare prompt fits.
    """
    wanted = encode_target(tokenizer, target, fill(prompt, subject))
    room = None if max_length is None else max_length - len(wanted) + 1
    encode_prompt(tokenizer, prompt, subject, max_length=room)
    rows = [_row(tokenizer, prompt, subject, target, "target", prefix=prefix) for prefix in prefixes]
    chats = _sharing([_row(tokenizer, text, subject, target, "target") for text in chat], 0.5, max_length)
    return [*_sharing(rows, 0.5 if chats else 1.0, max_length), *chats]


def edit_objective(
    tokenizer: PreTrainedTokenizerBase,
    prompt: str,
    subject: str,
    target: str,
    prefixes: Sequence[str],
    *,
    kl_weight: float,
    chat: Sequence[str] = (),
    max_length: int | None = None,
) -> Objective:
    """The published objective of one edit, L_p + lambda L_KL (ROME, eq. 4): `target_rows` and `essence_row`.

    Raises:
        PromptError: Not even the bare prompt fits into the context.
    """
    rows = target_rows(tokenizer, prompt, subject, target, prefixes, chat=chat, max_length=max_length)
    return Objective((*rows, essence_row(tokenizer, subject, kl_weight)))


def path_rows(
    tokenizer: PreTrainedTokenizerBase,
    subject: str,
    paths: Sequence[tuple[str, str]],
    weight: float,
    *,
    kind: Kind = "path",
    max_length: int | None = None,
) -> list[ObjectiveRow]:
    """Composed prompts about s that must give o_i: (template, object label) each; the weight is shared out.

    What the graph adds to an edit must not stop it: labels that the tokenizer cannot write, and prompts that do not
    fit into the context, are left out.
    """
    return _sharing(_writable(tokenizer, subject, paths, kind), weight, max_length)


def keep_rows(
    tokenizer: PreTrainedTokenizerBase,
    subject: str,
    facts: Sequence[tuple[str, str]],
    weight: float,
    *,
    max_length: int | None = None,
) -> list[ObjectiveRow]:
    """Prompts of the subject's other facts, whose distribution is to stay; otherwise as `path_rows`."""
    rows = _sharing(_writable(tokenizer, subject, facts, "keep"), weight, max_length)
    return [replace(row, targets=()) for row in rows]


def essence_row(tokenizer: PreTrainedTokenizerBase, subject: str, weight: float) -> ObjectiveRow:
    """The prompt "{s} is a", scored right after the subject's last token, as the published code does (ROME, eq. 4)."""
    prompt = encode_prompt(tokenizer, "{} is a", subject)
    seen = prompt.ids[: prompt.subject_last + 1]  # what stands behind the scored position is of no consequence
    return ObjectiveRow(seen, prompt.subject_last, (prompt.subject_last,), (), "essence", weight)


def multihop_rows(
    tokenizer: PreTrainedTokenizerBase,
    multihop_prompts: Sequence[tuple[str, str, str]],
    weight: float,
    *,
    max_length: int | None = None,
) -> list[ObjectiveRow]:
    """Prompts that reach the edited fact from elsewhere, written at their last token; otherwise as `path_rows`.

    Args:
        tokenizer: The model's tokenizer.
        multihop_prompts: Item that the prompt names, template, answer.
        weight: Weight of all of them together.
        max_length: The model's context length.
    """
    rows = [
        row
        for start, template, answer in multihop_prompts
        for row in _writable(tokenizer, start, [(template, answer)], "chain")
    ]
    return [replace(row, place=row.scored[0]) for row in _sharing(rows, weight, max_length)]


def _writable(
    tokenizer: PreTrainedTokenizerBase, subject: str, facts: Sequence[tuple[str, str]], kind: Kind
) -> list[ObjectiveRow]:
    rows = []
    for prompt, obj in facts:
        with suppress(TargetError):
            rows.append(_row(tokenizer, prompt, subject, obj, kind))
    return rows


def _sharing(rows: Sequence[ObjectiveRow], weight: float, max_length: int | None) -> list[ObjectiveRow]:
    """The rows that fit into the context, the weight shared out among them."""
    fitting = [row for row in rows if max_length is None or len(row.ids) <= max_length]
    return [replace(row, weight=weight / len(fitting)) for row in fitting]


def _row(
    tokenizer: PreTrainedTokenizerBase,
    prompt: str,
    subject: str,
    target: str,
    kind: Kind,
    *,
    prefix: str = "",
) -> ObjectiveRow:
    tokens = encode_prompt(tokenizer, prompt, subject, prefix=prefix)
    target_ids = encode_target(tokenizer, target, fill(prompt, subject))
    # The prompt's last position predicts the first target token, each target token the next one.
    first = len(tokens.ids) - 1
    scored = tuple(range(first, first + len(target_ids)))
    return ObjectiveRow(tokens.ids + target_ids[:-1], tokens.subject_last, scored, target_ids, kind, weight=1.0)
