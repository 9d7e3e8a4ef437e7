"""What every edit passes through, whatever the method: its computation, its gate, and what its manifest notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from transformers import PreTrainedTokenizerBase

from kgedit.delta.vocabulary import VOCABULARY, vocabulary_hash
from kgedit.errors import ChatTemplateError
from kgedit.graph.subgraph import Subgraph
from kgedit.lm.chat import ChatChoice, ChatForm, noted
from kgedit.methods.base import Case, Computed, Method, Request, Workbench, requested
from kgedit.methods.gate import with_gates


def compute_each(
    method: Method, bench: Workbench, requests: Sequence[Request], subgraphs: Sequence[Subgraph | None]
) -> list[Computed]:
    """`Method.compute`, behind gates where the method's settings ask for them."""
    alone = [[request] for request in requests]
    computed = with_gates(bench, method.compute(bench, requests, subgraphs), alone, method.config.gate)
    return _noting(method, bench, computed, alone)


def compute_together(method: Method, bench: Workbench, cases: Sequence[Case]) -> list[Computed]:
    """`Method.together`, behind gates where the method's settings ask for them."""
    requests = [[request for request, _ in case] for case in cases]
    computed = with_gates(bench, method.together(bench, cases), requests, method.config.gate)
    return _noting(method, bench, computed, requests)


def edited_with(method: Method, tokenizer: PreTrainedTokenizerBase, chat: ChatForm | None) -> dict[str, Any]:
    """What the manifest of every edit says beside its method's own part: vocabulary, and chat form if made in one."""
    return {VOCABULARY: vocabulary_hash(tokenizer), **noted(chat if method.takes_chat else None)}


def check_chat(method: Method, choice: ChatChoice) -> None:
    """Refuse a chat form that was insisted on for a method that makes its edits for texts alone.

    Raises:
        ChatTemplateError: It is so.
    """
    if choice == "always" and not method.takes_chat:
        raise ChatTemplateError(
            f"{method.name} does not optimise its edits in a chat; choose chat auto, with which the model is only "
            "asked in its chat form, or another method, e.g. rome"
        )


def _noting(
    method: Method, bench: Workbench, computed: Sequence[Computed], requests: Sequence[Sequence[Request]]
) -> list[Computed]:
    facts = edited_with(method, bench.tokenizer, bench.chat)
    return [
        replace(each, delta=each.delta.noting(**facts, **requested(own)))
        for each, own in zip(computed, requests, strict=True)
    ]
