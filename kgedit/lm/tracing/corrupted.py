"""A prompt whose subject is hidden by noise, and runs of it in which chosen states are put back.

Tokens before the subject see no noise; they are computed once. Blocks below a restored one are those of the corrupted
run, whose states are kept; so a run computes only the blocks above, for the tokens from the subject on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from kgedit.errors import TracingError
from kgedit.lm.anatomy import anatomy_of
from kgedit.lm.cache import fork, prefill
from kgedit.lm.hooks import add_at, capture, frozen, head_at, replay
from kgedit.lm.tokens import PromptTokens

Part = Literal["mlp", "attention"]
PARTS: tuple[Part, ...] = ("mlp", "attention")


class CorruptedPrompt:
    """One prompt, run clean and with noise; all else is measured against these two runs.

    Tokens are counted from the subject's first one, `width` of them up to the prompt's end.

    Attributes:
        answer: Id of the most probable next token of the clean run.
        clean: Its probability in the clean run.
        corrupted: The same in the corrupted runs, mean over the samples.
    """

    def __init__(self, model: PreTrainedModel, prompt: PromptTokens, noise: Tensor) -> None:
        """Run the prompt clean and with noise, and keep the states of both.

        Args:
            model: A causal language model of a known family; left as it was.
            prompt: The prompt, its subject located.
            noise: (samples, subject tokens, d), see `draw_noise`.

        Raises:
            TracingError: The noise does not fit the subject.
        """
        self._model, self._anatomy = model, anatomy_of(model)
        self._first, self.samples = prompt.subject_first, len(noise)
        subject = prompt.subject_last - prompt.subject_first + 1
        if noise.shape[1] != subject:
            raise TracingError(f"the noise is for {noise.shape[1]} tokens, the subject has {subject}")
        self.width, self.subject = len(prompt.ids) - self._first, subject
        self._ids = torch.tensor([prompt.ids], device=model.device)  # (1, tokens)
        self._noise = noise.to(model.device)
        modules = {f"state {layer}": block for layer, block in enumerate(self._anatomy.blocks(model))}
        self.layers = len(modules)
        modules |= {f"{part} {layer}": self._module(part, layer) for part in PARTS for layer in range(self.layers)}
        with frozen(model), torch.no_grad():
            mask = torch.ones(1, self._first, dtype=torch.long, device=model.device)
            before = self._ids[:, : self._first]
            self._past = prefill(model, before, mask, torch.arange(self._first, device=model.device)[None])
            with capture(modules, rows=1) as clean:
                logits = self._forward(1)
            self._clean = {name: state[0].detach() for name, state in clean.items()}  # (width, d)
            self.answer = int(logits[0].argmax())
            self.clean = float(logits.softmax(-1)[0, self.answer])
            with self._hidden_subject(), capture(modules, rows=self.samples) as noisy:
                logits = self._forward(self.samples)
            self._noisy = {name: state.detach() for name, state in noisy.items()}  # (samples, width, d)
            self.corrupted = float(logits.softmax(-1)[:, self.answer].mean())

    def restore_states(
        self, layer: int, sites: Sequence[Sequence[int]], *, severed: Part | None = None
    ) -> list[float]:
        """Probability of the answer when the outputs of one block are the clean ones at some tokens.

        Args:
            layer: The block.
            sites: Each the tokens that are restored together.
            severed: Hold the outputs of the MLPs (or attentions) above, at these tokens, to those of the corrupted
                run, so that the restored state cannot act through them (ROME, section 2.2).

        Returns:
            For each site the mean over the samples.
        """
        state = self._spread(self._noisy[f"state {layer}"], len(sites))  # (sites * samples, width, d)
        rows, columns = self._places(sites)
        state[rows, columns] = self._clean[f"state {layer}"][columns]
        changes: dict[nn.Module, tuple[Tensor, Tensor, Tensor]] = {}
        for above in range(layer + 1, self.layers) if severed else ():
            held = self._noisy[f"{severed} {above}"][rows % self.samples, columns]  # (places, d)
            changes[self._module(severed, above)] = (rows, columns, held)
        return self._run(layer + 1, state, changes, len(sites))

    def restore_parts(self, part: Part, layers: range, sites: Sequence[Sequence[int]]) -> list[float]:
        """Probability of the answer when the MLPs (or attentions) of some blocks give their clean outputs.

        Args:
            part: Which part of the block.
            layers: The blocks, a window of adjacent ones.
            sites: Each the tokens at which they are restored together.

        Returns:
            For each site the mean over the samples.
        """
        rows, columns = self._places(sites)
        changes = {
            self._module(part, layer): (rows, columns, self._clean[f"{part} {layer}"][columns]) for layer in layers
        }
        below = self._spread(self._noisy[f"state {layers.start - 1}"], len(sites)) if layers.start else None
        return self._run(layers.start, below, changes, len(sites))

    def _module(self, part: Part | None, layer: int) -> nn.Module:
        """The module whose output a block adds: W of the MLP, or the attention."""
        if part == "attention":
            return attention_of(self._anatomy.block(self._model, layer))
        return self._anatomy.mlp_out(self._model, layer)

    def _run(
        self, start: int, below: Tensor | None, changes: Mapping[nn.Module, tuple[Tensor, Tensor, Tensor]], sites: int
    ) -> list[float]:
        """Run the blocks from `start` on with outputs of modules replaced at (rows, columns)."""
        rows = sites * self.samples
        with ExitStack() as stack:
            stack.enter_context(frozen(self._model))
            stack.enter_context(torch.no_grad())
            for module, change in changes.items():
                stack.enter_context(add_at(module, _replaced(*change), rows=rows))
            if below is None:
                stack.enter_context(self._hidden_subject())
            else:
                stack.enter_context(replay(self._model, self._anatomy, start, below))
            probabilities = self._forward(rows).softmax(-1)[:, self.answer]  # (sites * samples,)
        means: list[float] = probabilities.view(sites, self.samples).mean(dim=1).tolist()
        return means

    def _forward(self, rows: int) -> Tensor:
        """Float32 logits behind the last token, (rows, vocabulary)."""
        device = self._ids.device
        positions = torch.arange(self._first, self._ids.shape[1], device=device).expand(rows, -1)  # (rows, width)
        mask = torch.ones(rows, self._ids.shape[1], dtype=torch.long, device=device)
        past = fork(self._past, torch.zeros(rows, dtype=torch.long, device=device)) if self._first else None
        last = torch.full((rows,), self.width - 1, device=device)
        with head_at(self._model, torch.arange(rows, device=device), last):
            output = self._model(
                input_ids=self._ids[:, self._first :].expand(rows, -1),
                attention_mask=mask,
                position_ids=positions,
                past_key_values=past,
                use_cache=past is not None,
            )
        logits: Tensor = output.logits[0].float()  # (rows, vocabulary)
        return logits

    def _hidden_subject(self) -> AbstractContextManager[None]:
        """Adds the noise to the embeddings of the subject's tokens, sample after sample."""

        def hide(embeddings: Tensor) -> Tensor:
            noisy = embeddings.float().clone()  # (rows, width, d)
            noise = self._noise.repeat(len(noisy) // self.samples, 1, 1)  # (rows, subject tokens, d)
            noisy[:, : self.subject] += noise.to(noisy.device)
            return noisy

        return add_at(self._model.get_input_embeddings(), hide)

    def _spread(self, state: Tensor, sites: int) -> Tensor:
        """The samples once for each site, (sites * samples, width, d); row = site * samples + sample."""
        return state.repeat(sites, 1, 1)

    def _places(self, sites: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Rows and columns of all restored tokens of all sites, in every sample; CPU indices suit every device."""
        places = [
            (site * self.samples + sample, token)
            for site, tokens in enumerate(sites)
            for token in tokens
            for sample in range(self.samples)
        ]
        rows, columns = torch.tensor(places, dtype=torch.long).view(-1, 2).unbind(dim=1)
        return rows, columns


def attention_of(block: nn.Module) -> nn.Module:
    """The attention of a block, told by the name of its class.

    Raises:
        TracingError: There is none, or several.
    """
    candidates = [child for child in block.children() if "Attention" in type(child).__name__]
    if len(candidates) != 1:
        names = ", ".join(type(child).__name__ for child in block.children())
        raise TracingError(f"a block has {len(candidates)} attentions among {names}; only blocks with one are traced")
    return candidates[0]


def _replaced(rows: Tensor, columns: Tensor, values: Tensor) -> Callable[[Tensor], Tensor]:
    """A change of a module's output: other values at some places."""

    def change(output: Tensor) -> Tensor:
        changed = output.clone()
        changed[rows, columns] = values.to(changed)
        return changed

    return change
