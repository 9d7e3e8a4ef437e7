"""What the model says: log-probabilities of targets, and greedy answers, in batches.

Model input is p + t_0 .. t_{L-2}; position T-1+j predicts t_j. The head is applied at those positions only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from kgedit.errors import PromptError, TargetError
from kgedit.lm.anatomy import context_length
from kgedit.lm.generation.decode import Decoder
from kgedit.lm.hooks import frozen, head_at
from kgedit.lm.padding import pad, pad_id
from kgedit.lm.tokens import encode_texts

Row = tuple[Sequence[int], Sequence[int]]


def target_logprobs(model: PreTrainedModel, rows: Sequence[Row], *, batch_size: int = 64) -> list[Tensor]:
    """Log-probability of every target token, given the prompt and the target tokens before it.

    Args:
        model: A causal language model; left as it was.
        rows: Pairs of prompt ids and target ids.
        batch_size: Rows per forward pass.

    Returns:
        One float32 CPU tensor (L,) per row, in the order of the rows.

    Raises:
        PromptError: A prompt is empty, or longer than the context together with its target.
        TargetError: A target is empty.
    """
    found: list[Tensor | None] = [None] * len(rows)
    for index, logits, labels in _scored(model, rows, batch_size):
        picked = logits.log_softmax(-1).gather(-1, labels.unsqueeze(-1)).squeeze(-1)  # (L,)
        found[index] = picked.cpu()
    return [row for row in found if row is not None]


def greedy_match(model: PreTrainedModel, rows: Sequence[Row], *, batch_size: int = 64) -> list[bool]:
    """Whether greedy decoding of each prompt would produce exactly its target tokens.

    Found under teacher forcing: as long as every token so far is the arg-max, both see the same text.

    Args and errors as in `target_logprobs`.
    """
    found = [False] * len(rows)
    for index, logits, labels in _scored(model, rows, batch_size):
        found[index] = bool((logits.argmax(-1) == labels).all())
    return found


def greedy(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    *,
    max_new_tokens: int = 16,
    stop: Sequence[str] = (".", "\n"),
    batch_size: int = 64,
) -> list[str]:
    """The most probable continuation of each prompt, token by token.

    Args:
        model: A causal language model; left as it was.
        tokenizer: Its tokenizer.
        prompts: Texts; spaces at the end are dropped.
        max_new_tokens: The most tokens per answer; fewer where the context ends.
        stop: An answer ends before the first of these strings, or at the end-of-text token.
        batch_size: Prompts per forward pass.

    Returns:
        Answers without the prompt, without surrounding white space.

    Raises:
        PromptError: A prompt is empty, or fills the context.
    """
    encoded = encode_texts(tokenizer, [prompt.rstrip(" ") for prompt in prompts])
    ids = [row.ids for row in encoded]
    answers: list[str] = []
    for start in range(0, len(ids), batch_size):
        for tokens, _ in continue_rows(
            model, tokenizer, ids[start : start + batch_size], max_new_tokens=max_new_tokens, stop=stop
        ):
            answers.append(cut(tokenizer, tokens, stop))
    return answers


def top_answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: str,
    k: int = 5,
    *,
    max_new_tokens: int = 16,
    stop: Sequence[str] = (".", "\n"),
) -> list[tuple[str, float]]:
    """The most probable whole answers: the best first tokens, each completed greedily up to the stop.

    Args:
        model: A causal language model; left as it was.
        tokenizer: Its tokenizer.
        prompt: A text.
        k: How many answers; fewer come back when several first tokens lead to nothing or to the same text.
        max_new_tokens: The most tokens per answer.
        stop: As in `greedy`.

    Returns:
        Answers with the product of their tokens' probabilities, most probable first.
    """
    ids = encode_texts(tokenizer, [prompt.rstrip(" ")])[0].ids
    _check_room(model, ids, 1)
    first = Decoder(model, [ids], pad_id(tokenizer)).logits()[0].log_softmax(-1)  # (vocabulary,)
    wide = min(2 * k, len(first))  # some first tokens are a stop, or begin the same text
    logps, tokens = first.topk(wide)
    rows = continue_rows(
        model,
        tokenizer,
        [(*ids, int(token)) for token in tokens],
        max_new_tokens=max_new_tokens - 1,
        stop=stop,
        begun=[[int(token)] for token in tokens],
    )
    best: dict[str, float] = {}
    for logp, (answer, later) in zip(logps.tolist(), rows, strict=True):
        text = cut(tokenizer, answer, stop)
        if text:
            inside = _length_of(tokenizer, answer, stop)
            best[text] = best.get(text, 0.0) + float(torch.tensor([logp, *later][:inside]).sum().exp())
    return sorted(best.items(), key=lambda pair: (-pair[1], pair[0]))[:k]


def continue_rows(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    stop: Sequence[str],
    begun: Sequence[Sequence[int]] | None = None,
) -> list[tuple[list[int], list[float]]]:
    """Greedy continuation of rows of ids in one batch.

    Args:
        model: A causal language model; left as it was.
        tokenizer: Its tokenizer.
        rows: Token ids.
        max_new_tokens: The most tokens per row.
        stop: A row is done once its new text holds one of these strings.
        begun: What of each row's end counts as new text already.

    Returns:
        For each row the new tokens (`begun` included) and the log-probabilities of those added here.
    """
    for row in rows:
        _check_room(model, row, 1)
    new = [list(row) for row in (begun or [[] for _ in rows])]
    logps: list[list[float]] = [[] for _ in rows]
    decoder = Decoder(model, rows, pad_id(tokenizer))
    done = [_is_done(tokenizer, tokens, stop) for tokens in new]
    for _ in range(min(max_new_tokens, context_length(model) - decoder.width)):
        if all(done):
            break
        top = decoder.logits().log_softmax(-1).max(-1)  # (batch,)
        for i, (token, logp) in enumerate(zip(top.indices.tolist(), top.values.tolist(), strict=True)):
            if not done[i]:
                new[i].append(token)
                logps[i].append(logp)
                done[i] = _is_done(tokenizer, new[i], stop)
        decoder.append(top.indices)
    return list(zip(new, logps, strict=True))


def cut(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int], stop: Sequence[str]) -> str:
    """New tokens as text, up to the first stop string or end-of-text token, white space trimmed."""
    text = _text(tokenizer, tokens)
    ends = [text.find(mark) for mark in stop if mark in text]
    return text[: min(ends, default=len(text))].strip()


def _text(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int]) -> str:
    kept = list(tokens)
    if tokenizer.eos_token_id in kept:
        kept = kept[: kept.index(tokenizer.eos_token_id)]
    return str(tokenizer.decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def _is_done(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int], stop: Sequence[str]) -> bool:
    if tokenizer.eos_token_id in tokens:
        return True
    text = _text(tokenizer, tokens)
    return any(mark in text for mark in stop)


def _length_of(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int], stop: Sequence[str]) -> int:
    """How many tokens spell the answer, without those of the stop."""
    answer = cut(tokenizer, tokens, stop)
    return next(n for n in range(1, len(tokens) + 1) if cut(tokenizer, tokens[:n], stop) == answer)


def _scored(model: PreTrainedModel, rows: Sequence[Row], batch_size: int) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Row index, float32 logits (L, vocabulary) and labels (L,), batched by length."""
    for prompt, target in rows:
        if not target:
            raise TargetError("a target has no token; give an object that the tokenizer can write")
        _check_room(model, prompt, len(target) - 1)
    order = sorted(range(len(rows)), key=lambda i: -(len(rows[i][0]) + len(rows[i][1])))
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        ids, mask = pad([(*rows[i][0], *rows[i][1][:-1]) for i in chosen], 0, "right")
        lengths = [len(rows[i][1]) for i in chosen]
        where = [(b, len(rows[i][0]) - 1 + j) for b, i in enumerate(chosen) for j in range(len(rows[i][1]))]
        at = torch.tensor(where)  # (sum of L, 2)
        with frozen(model), torch.no_grad(), head_at(model, at[:, 0], at[:, 1]):
            logits = model(input_ids=ids.to(model.device), attention_mask=mask.to(model.device)).logits[0]
        for i, part in zip(chosen, logits.split(lengths), strict=True):  # (L, vocabulary)
            yield i, part.float(), torch.tensor(rows[i][1], device=part.device)


def _check_room(model: PreTrainedModel, prompt: Sequence[int], more: int) -> None:
    if not prompt:
        raise PromptError("a prompt has no token; give some text")
    if len(prompt) + more > context_length(model):
        raise PromptError(
            f"a prompt of {len(prompt)} tokens and {more} more do not fit into the context of "
            f"{context_length(model)} tokens; shorten it"
        )
