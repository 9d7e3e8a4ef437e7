"""The offset that GLAME optimises: the relational encoder's vector z of the subject, beside it a free vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from kgedit.methods.engine.lbfgs import Lbfgs
from kgedit.methods.engine.value import bounded
from kgedit.methods.glame.config import GlameConfig
from kgedit.methods.glame.encoder import RelationalEncoder
from kgedit.methods.glame.encoder_batch import EncoderBatch


class GraphOffset(nn.Module):
    """m* - m, bounded layer by layer; an `engine.value.Offset`. docs/methods.md, "GLAME".

    Published: z, trained by AdamW. Clean: delta + gate * z / ||z||, each layer with its own delta and gate, all of
    it trained by L-BFGS, since the objective is smooth and always the same. A fresh encoder's z is long; so the graph
    gives a direction, and the gate says how far to go (the split of direction and size is KGMET's).

    Attributes:
        config: Hyper-parameters.
        encoder: The encoder, if there is one.
        reads: The encoder and its graph, if it has both.
        delta: (layers, d) the free vector.
        gate: (layers,) how far each layer goes along z.
        trained: All parameters that an optimiser changes.
    """

    def __init__(
        self, config: GlameConfig, base: Tensor, encoder: RelationalEncoder | None = None, graph: Data | None = None
    ) -> None:
        """Take a fresh encoder.

        Args:
            config: Hyper-parameters.
            base: (layers, d) unedited MLP outputs of the bare prompt.
            encoder: Maps the graph to (nodes, d); node 0 is s. Without one a free vector is trained alone, in main
                memory (see `optimise`).
            graph: The subgraph with its initial representations.
        """
        super().__init__()
        self.config, self.encoder = config, encoder
        self.reads = None if encoder is None or graph is None else (encoder, graph)
        base = base.cpu() if encoder is None else base
        self.delta = nn.Parameter(torch.zeros_like(base), requires_grad=config.free_offset or encoder is None)
        size = base.norm(dim=-1)  # (layers,)
        self._bound, scale = config.clamp * size, float(size.mean())
        start = torch.full_like(size, config.first_gate * scale)  # (layers,)
        self.gate = nn.Parameter(start, requires_grad=encoder is not None and config.gated)
        self.trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        self._optimizer: torch.optim.Optimizer | Lbfgs
        if config.optimizer == "adamw":
            self._optimizer = adamw(config, self.trained)
        else:
            first = config.first_step * scale
            self._optimizer = Lbfgs(self.trained, first_step=first, longest_step=2 * first)

    def current(self, step: int, z: Tensor | None = None) -> Tensor:
        """(layers, d) with gradients; z (d,) is the subject's vector, where it is computed already."""
        raw = self._raw(self._encoded(training=True) if z is None else z)
        if step < self.config.clamp_from:
            return raw
        if self.config.clamp_gradient:
            return bounded(raw, self._bound)
        shrunk = bounded(raw.detach(), self._bound)
        # The clamp takes no part in the gradient. `raw + (shrunk - raw).detach()` would cancel: z is far longer.
        return shrunk + (raw - raw.detach())

    def final(self) -> Tensor:
        """(layers, d) without dropout."""
        with torch.no_grad():
            return bounded(self._raw(self._encoded(training=False)), self._bound)

    def penalty(self) -> Tensor:
        """() nothing: weight decay is the optimiser's."""
        return self.delta.new_zeros(())

    def update(self, loss: float) -> None:
        """A step of the optimiser."""
        if isinstance(self._optimizer, Lbfgs):
            self._optimizer.step(loss)
        else:
            self._optimizer.step()
            self._optimizer.zero_grad()

    def _encoded(self, *, training: bool) -> Tensor | None:
        """(d,) the encoder's vector of the subject; None without an encoder."""
        if self.reads is None:
            return None
        encoder, graph = self.reads
        z: Tensor = encoder.train(training)(graph)[0]  # (d,)
        return z

    def _raw(self, z: Tensor | None) -> Tensor:
        """Z + delta (layers, d), not yet bounded."""
        if z is None:
            return self.delta * 1.0
        z = z.unsqueeze(0)  # (1, d)
        if self.config.gated:
            z = self.gate.unsqueeze(1) * z / z.norm().clamp_min(1e-12)  # (layers, d)
        return z + self.delta  # (layers, d)


def adamw(config: GlameConfig, trained: Sequence[nn.Parameter]) -> torch.optim.AdamW:
    """AdamW as published; on a GPU one kernel for all parameters, as some fifty take longer to begin than to run."""
    fused = True if trained[0].is_cuda else None
    return torch.optim.AdamW(trained, lr=config.learning_rate, weight_decay=config.weight_decay, fused=fused)


class OffsetBatch:
    """The offsets of several edits, whose encoders run together; an `engine.value.Offsets`."""

    def __init__(self, offsets: Sequence[GraphOffset]) -> None:
        """Take the offsets of all edits, of one configuration."""
        self._offsets = list(offsets)
        self._read: tuple[list[int], EncoderBatch] | None = None  # edits with a graph that ran last, and their batch
        config = offsets[0].config
        trained = [parameter for offset in offsets for parameter in offset.trained]
        self._adamw = adamw(config, trained) if config.optimizer == "adamw" else None

    def current(self, edits: Sequence[int], step: int) -> list[Tensor]:
        """(layers, d) of each of some edits, with gradients."""
        read = {number: both for number in edits if (both := self._offsets[number].reads) is not None}
        if not read:
            return [self._offsets[number].current(step) for number in edits]
        if self._read is None or self._read[0] != list(read):
            self._read = (list(read), EncoderBatch(*zip(*read.values(), strict=True)))
        for encoder, _ in read.values():
            encoder.train()
        vectors = dict(zip(read, self._read[1]()[:, 0], strict=True))  # edit -> (d,)
        return [self._offsets[number].current(step, vectors.get(number)) for number in edits]

    def update(self, losses: Mapping[int, float]) -> None:
        """A step of each of some edits' optimisers; AdamW's are one, as each parameter has its own state in it."""
        if self._adamw is None:
            for number, loss in losses.items():
                self._offsets[number].update(loss)
            return
        # Weights that ran in a batch without a loss of their own have gradients of zero: AdamW would decay them.
        for number, offset in enumerate(self._offsets):
            if number not in losses:
                offset.zero_grad()
        self._adamw.step()
        self._adamw.zero_grad()
