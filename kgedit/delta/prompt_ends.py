"""Where the prompts of a forward pass end, for changes that act at the last token of a prompt.

A prompt is looked at once, in the pass that reads it; what is generated behind it is read token by token with the past
in a cache, and has no prompt of its own. So a pass of several tokens, or without a past, holds one prompt a row, which
ends with the row's last token that is no padding. Whoever puts more into a pass than prompts (a target behind them,
several in one tree) says where they are with `prompts_at`. Without a change that asks, nothing is watched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import Tensor, nn

from kgedit.delta.hook import DeltaHook
from kgedit.errors import UnsupportedModel


class PromptPlace(NamedTuple):
    """A prompt in a pass: its row in the batch, and the columns of its tokens in their order."""

    row: int
    columns: Sequence[int]


class PromptWatch(DeltaHook):
    """Knows the prompts of the pass under way.

    Attributes:
        rows: Rows of the pass.
        prompts: Its prompts.
        whole: Whether what is done to a prompt depends on all of it, so that prompts cannot share their beginnings.
        ids: Its token ids, (rows, columns); None where it was given embeddings.
    """

    def __init__(self, decoder: nn.Module) -> None:
        """Watch a stack of blocks from now on."""
        self.rows = 0
        self.ids: Tensor | None = None
        self.prompts: Sequence[PromptPlace] = ()
        self._told: Sequence[PromptPlace] | None = None
        self._users, self._whole = 0, 0
        self._handle = decoder.register_forward_pre_hook(self, with_kwargs=True)

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Find the prompts of a pass that begins."""
        texts = args[0] if args else kwargs.get("input_ids")
        self.ids = texts
        texts = kwargs["inputs_embeds"] if texts is None else texts
        self.rows, columns = texts.shape[:2]
        if self._told is not None:
            self.prompts = self._told
            return
        cache = kwargs.get("past_key_values")
        if columns == 1 and cache is not None and cache.get_seq_length():
            self.prompts = ()
            return
        mask = kwargs.get("attention_mask")
        if not isinstance(mask, Tensor) or mask.dim() != 2:
            self.prompts = [PromptPlace(row, range(columns)) for row in range(self.rows)]
            return
        own = mask[:, -columns:].bool().cpu()  # (rows, columns); before them the mask of the past
        read = [PromptPlace(row, seen.nonzero()[:, 0].tolist()) for row, seen in enumerate(own)]
        self.prompts = [prompt for prompt in read if prompt.columns]

    @contextmanager
    def told(self, prompts: Sequence[PromptPlace]) -> Iterator[None]:
        """Take these for the prompts of each pass in the body."""
        before = self._told, self.prompts, self.rows
        self._told = prompts
        try:
            yield
        finally:
            self._told, self.prompts, self.rows = before

    @property
    def whole(self) -> bool:
        """See the class."""
        return self._whole > 0

    def used(self, *, whole: bool = False) -> Callable[[], None]:
        """Count one user more; returns what counts it out again. The last one takes the watch off the model.

        Args:
            whole: What it does at a token depends on the tokens behind it, too.
        """
        self._users += 1
        self._whole += whole

        def leave() -> None:
            self._users -= 1
            self._whole -= whole
            if not self._users:
                self._handle.remove()

        return leave


def prompt_watch(model: nn.Module) -> PromptWatch | None:
    """The watch of a model of transformers, or of its stack of blocks; None where no change asked for one."""
    hooks = _decoder(model)._forward_pre_hooks.values() if hasattr(model, "get_decoder") else ()
    return next((hook for hook in hooks if isinstance(hook, PromptWatch)), None)


def watched(model: nn.Module, what: str) -> PromptWatch:
    """The watch of a model, put on where there is none.

    Args:
        model: A causal language model of transformers.
        what: What asks for it, for the message.

    Raises:
        UnsupportedModel: The model is another one.
    """
    if not hasattr(model, "get_decoder"):
        raise UnsupportedModel(f"{what} needs a causal language model of transformers")
    return prompt_watch(model) or PromptWatch(_decoder(model))


def _decoder(model: nn.Module) -> nn.Module:
    """The stack of blocks of a causal language model."""
    decoder: nn.Module = model.get_decoder()  # type: ignore[operator]
    return decoder


@contextmanager
def prompts_at(model: nn.Module, prompts: Sequence[PromptPlace]) -> Iterator[None]:
    """Say where the prompts are in each forward pass of the body; with none, nothing is looked up in it."""
    watch = prompt_watch(model)
    if watch is None:
        yield
    else:
        with watch.told(prompts):
            yield
