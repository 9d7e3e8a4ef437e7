"""Encoders of several edits, each reading its own graph, in few large operations instead of many small ones.

A GPU runs a layer of one encoder in less time than it takes to begin it; so the layers of a hundred are run as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch_geometric.data import Data

from kgedit.methods.glame.encoder import RelationalEncoder, RelationalLayer


class EncoderBatch:
    """What `RelationalEncoder.forward` gives, of several encoders of one form; sums may be rounded differently.

    Graphs are padded to the size of the largest: node i of graph g is number g * nodes + i, and nothing hears a padded
    node. Weights are read anew at each call, and gradients reach them.

    Attributes:
        encoders: All of one width, kind, depth and dropout.
    """

    def __init__(self, encoders: Sequence[RelationalEncoder], graphs: Sequence[Data]) -> None:
        """Number the nodes of all graphs.

        Args:
            encoders: One per graph.
            graphs: As `RelationalEncoder.forward` takes them.
        """
        self.encoders = list(encoders)
        self._sizes = [len(graph.x) for graph in graphs]
        self._x = pad_sequence([graph.x for graph in graphs], batch_first=True)  # (graphs, nodes, d)
        nodes = self._x.shape[1]
        read = [encoder.messages(graph) for encoder, graph in zip(encoders, graphs, strict=True)]
        numbered = [edge_index + nodes * number for number, (edge_index, _) in enumerate(read)]
        self._edge_index = torch.cat(numbered, dim=1)  # (2, edges of all)
        self._edge_vectors = torch.cat([edge_vectors for _, edge_vectors in read])  # (edges of all, d)

    def __call__(self) -> Tensor:
        """The vector z of every node, (graphs, nodes, d); what padded nodes have means nothing."""
        x, first = self._x, self.encoders[0]
        for depth in range(len(first.layers)):
            layers = [cast(RelationalLayer, encoder.layers[depth]) for encoder in self.encoders]
            own = torch.stack([layer.own for layer in layers])  # (graphs, d, d)
            heard: list[Tensor] = [layer.neighbour for layer in layers if layer.neighbour is not None]
            neighbour = torch.stack(heard) if heard else None  # (graphs, d, d)
            x = layers[0].round(x, self._edge_index, self._edge_vectors, own, neighbour)  # (graphs, nodes, d)
            if first.drops_after(layers[0]):
                drawn = [encoder.kept(size) for encoder, size in zip(self.encoders, self._sizes, strict=True)]
                kept = pad_sequence(drawn, batch_first=True)  # (graphs, nodes, d)
                x = first.dropped(x, kept)
        return x
