"""What every edit passes through, whatever the method: its computation, its gate, and what its manifest notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from transformers import PreTrainedTokenizerBase

from kgedit.delta.vocabulary import VOCABULARY, vocabulary_hash
from kgedit.graph.subgraph import Subgraph
from kgedit.lm.chat import ChatForm, noted
from kgedit.methods.base import Case, Computed, Method, Request, Workbench, requested
from kgedit.methods.gate import with_gates


def compute_each(
    method: Method, bench: Workbench, requests: Sequence[Request], subgraphs: Sequence[Subgraph | None]
) -> list[Computed]:
    """`Method.compute`, behind gates where the method's settings ask for them."""
    alone = [[request] for request in requests]
    return _noting(
        bench, with_gates(bench, method.compute(bench, requests, subgraphs), alone, method.config.gate), alone
    )


def compute_together(method: Method, bench: Workbench, cases: Sequence[Case]) -> list[Computed]:
    """`Method.together`, behind gates where the method's settings ask for them."""
    requests = [[request for request, _ in case] for case in cases]
    computed = with_gates(bench, method.together(bench, cases), requests, method.config.gate)
    return _noting(bench, computed, requests)


def edited_with(tokenizer: PreTrainedTokenizerBase, chat: ChatForm | None) -> dict[str, Any]:
    """What the manifest of every edit says beside its method's own part: the vocabulary, and the chat form if any."""
    return {VOCABULARY: vocabulary_hash(tokenizer), **noted(chat)}


def _noting(bench: Workbench, computed: Sequence[Computed], requests: Sequence[Sequence[Request]]) -> list[Computed]:
    facts = edited_with(bench.tokenizer, bench.chat)
    return [
        replace(each, delta=each.delta.noting(**facts, **requested(own)))
        for each, own in zip(computed, requests, strict=True)
    ]
