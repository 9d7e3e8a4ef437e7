"""The keys of edits that are in force, held by every later write (MEMIT-seq); read once and kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from kgedit.methods.base import Request
from kgedit.methods.engine.closed_form import Moment
from kgedit.methods.engine.metric import GrowingMetric

_AT_ONCE = 32  # requests whose keys are read in one batch


class EarlierKeys:
    """Keys of earlier edits, and a growing metric for each layer.

    Keys are read off the model that carries the edits, when the next one is computed.
    """

    def __init__(self) -> None:
        """Begin without any."""
        self._keys: dict[Request, Mapping[int, Tensor]] = {}
        self._grown: dict[int, tuple[Moment, list[Request], GrowingMetric]] = {}

    def grown(
        self,
        layer: int,
        base: Moment,
        earlier: Sequence[Request],
        keys_of: Callable[[Sequence[Request]], Mapping[int, Tensor]],
    ) -> GrowingMetric:
        """The metric of a layer that holds the keys of all these requests.

        Args:
            layer: The layer.
            base: The metric without them.
            earlier: Requests in force, in their order; what was added before is not added again.
            keys_of: Gives layer -> keys (requests, d_ff) of requests that are not known yet.
        """
        unknown = [request for request in dict.fromkeys(earlier) if request not in self._keys]
        for start in range(0, len(unknown), _AT_ONCE):
            part = unknown[start : start + _AT_ONCE]
            found = keys_of(part)
            for number, request in enumerate(part):
                self._keys[request] = {held: keys[number] for held, keys in found.items()}
        made_of, held, metric = self._grown.get(layer, (base, list[Request](), GrowingMetric(base)))
        # An edit that was reverted cannot be taken out of the sum: it is built anew.
        if made_of is not base or held != list(earlier[: len(held)]):
            held, metric = [], GrowingMetric(base)
        if fresh := earlier[len(held) :]:
            metric.add(torch.stack([self._keys[request][layer] for request in fresh]))
        self._grown[layer] = base, list(earlier), metric
        return metric
