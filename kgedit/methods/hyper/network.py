"""The interface of a hypernetwork and of what it is trained by."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from kgedit.methods.engine.edit_gradient import Changes

Condition = tuple[int, ...]  # ids of the text that a network reads beside the gradient; empty for none


class Hypernetwork(nn.Module, ABC):
    """A network that turns the gradients of edits into changes of the weights."""

    def observe(self, gradient: Changes) -> None:
        """Take the gradients of a training step into running statistics, where the network has some."""
        return

    @abstractmethod
    def forward(self, gradient: Changes, conditions: Sequence[Condition]) -> Changes:
        """The change of each edit.

        Args:
            gradient: The factors of each edit's gradient, see `edit_gradient`.
            conditions: What each edit says, in tokens.
        """


class TrainingObjective(nn.Module, ABC):
    """What a hypernetwork is trained by."""

    @abstractmethod
    def forward(self, new: Tensor, drift: Tensor) -> Tensor:
        """The loss ().

        Args:
            new: () mean negative log-likelihood of the new objects in the changed model.
            drift: () mean KL divergence of the changed model from the unedited one on other facts.
        """

    def bounded(self) -> None:
        """Called after each step, for parameters with a bound."""
        return

    def looked(self, taken: float) -> None:
        """Called with the share of held-out edits that are taken, whenever these are looked at."""
        return
