"""Ends a training whose loss is no number any more."""

from __future__ import annotations

import math

from kgedit.errors import EditDiverged


def check_loss(loss: float, when: str, learning_rate: float) -> None:
    """Refuse a loss that is NaN or infinite.

    Args:
        loss: The loss.
        when: Where in the training it was met, e.g. "at step 3".
        learning_rate: Of the training, for the remedy.

    Raises:
        EditDiverged: It is.
    """
    if not math.isfinite(loss):
        raise EditDiverged(
            f"the loss is {loss} {when}; lower the learning rate ({learning_rate}), or load the model in float32"
        )
