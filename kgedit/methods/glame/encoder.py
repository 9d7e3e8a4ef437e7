"""The relational encoder that reads the subgraph of an edit (GLAME, Zhang et al., EMNLP 2024).

    h_u' = g( sum over (u, r', v) of W_n (h_v + e_r')  +  W_s h_u )

Notation: h_u (d,) vector of node u, first the early-layer representation of its label; e_r (d,) that of
relation r, the same in every layer; (u, r', v) a fact with subject u and object v, so messages go object ->
subject; W_n, W_s (d, d) of one layer; g a leaky ReLU. With as many layers as the subgraph has orders, the
subject's vector depends on every fact of the subgraph.
"""

from __future__ import annotations

import math
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import MessagePassing

SLOPE = (1 / 8 + 1 / 3) / 2  # mean of rrelu's bounds: what the released code's rrelu does in evaluation mode

Kind = Literal["rgnn", "gnn", "mlp"]
Aggregation = Literal["sum", "mean"]
SelfLoops = Literal["none", "zero", "published"]


class RelationalLayer(MessagePassing):  # type: ignore[misc]  # torch_geometric is not typed
    """One round of messages: the equation at the top of this file.

    Args:
        d: Width.
        kind: "rgnn" as above, "gnn" without e_r', "mlp" without messages.
        aggregation: Sum (the paper's equation) or mean (the released code).
        generator: For the initial weights.

    Shapes:
        x (nodes, d), edge_index (2, edges), edge_vectors (edges, d) -> (nodes, d)
    """

    def __init__(self, d: int, *, kind: Kind, aggregation: Aggregation, generator: torch.Generator) -> None:
        super().__init__(aggr=aggregation, flow="source_to_target")
        self.kind = kind
        self.own = nn.Parameter(_xavier(d, generator))  # W_s, applied from the right: (d, d)
        self.neighbour = nn.Parameter(_xavier(d, generator)) if kind != "mlp" else None  # W_n: (d, d)

    def forward(self, x: Tensor, edge_index: Tensor, edge_vectors: Tensor) -> Tensor:
        """One round, see the class."""
        return self.round(x, edge_index, edge_vectors, self.own, self.neighbour)

    def round(
        self, x: Tensor, edge_index: Tensor, edge_vectors: Tensor, own: Tensor, neighbour: Tensor | None
    ) -> Tensor:
        """One round with weights W_s and W_n (d, d); or of several graphs (g, nodes, d), with weights (g, d, d)."""
        out = x @ own  # (..., nodes, d)
        if neighbour is not None:
            # W_n is linear: once per node after the aggregation instead of once per edge before it.
            gathered = self.propagate(
                edge_index, x=x.flatten(0, -2), edge_vectors=edge_vectors, size=None
            )  # (all nodes, d)
            out = out + gathered.view_as(x) @ neighbour
        return F.leaky_relu(out, SLOPE)

    def message(self, x_j: Tensor, edge_vectors: Tensor) -> Tensor:
        """(edges, d), what each object sends to its subject."""
        return x_j if self.kind == "gnn" else x_j + edge_vectors


class RelationalEncoder(nn.Module):
    """Maps a subgraph with initial vectors to a vector z per node; an edit uses that of node 0, the subject.

    Neither construction nor use touches torch's global random state: weights and dropout are drawn from the
    encoder's own generator. Two encoders of one seed are equal, on every device.

    The clean setting is the default; the released code's is aggregation="mean", self_loops="published",
    dropout_last=True.

    Args:
        d: Width of the vectors, the model's.
        layers: Rounds of messages; the subgraph's order.
        kind: "rgnn"; or the ablations "gnn" (relation vectors dropped) and "mlp" (no messages: W_s alone,
            applied to each node by itself).
        aggregation: "sum" as in the paper's equation, or "mean" as in the released code.
        dropout: Probability of a zero after each layer's activation, while training.
        self_loops: "none"; "zero", a message of each node to itself without relation vector; or "published",
            the same with the vector of relation 1 (or 0, where there is no other), as the released code did
            by accident.
        dropout_last: Dropout also after the last layer, thus on z itself, as the released code does.
        seed: Of weights and dropout.

    Raises:
        ValueError: An unknown kind, aggregation or self-loop, or a number out of its range.
    """

    def __init__(
        self,
        d: int,
        layers: int = 2,
        *,
        kind: Kind = "rgnn",
        aggregation: Aggregation = "sum",
        dropout: float = 0.0,
        self_loops: SelfLoops = "none",
        dropout_last: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        _check_choice("kind", kind, ("rgnn", "gnn", "mlp"))
        _check_choice("aggregation", aggregation, ("sum", "mean"))
        _check_choice("self_loops", self_loops, ("none", "zero", "published"))
        if d < 1 or layers < 1 or not 0 <= dropout < 1:
            raise ValueError(f"d and layers must be at least 1 and dropout in [0, 1), not {d}, {layers} and {dropout}")
        self.d, self.self_loops, self.dropout, self.dropout_last = d, self_loops, dropout, dropout_last
        self._generator = torch.Generator().manual_seed(seed)
        self.layers = nn.ModuleList(
            RelationalLayer(d, kind=kind, aggregation=aggregation, generator=self._generator) for _ in range(layers)
        )

    def forward(self, data: Data) -> Tensor:
        """The vector z of every node, (nodes, d).

        Args:
            data: x (nodes, d), edge_index (2, edges) object -> subject, edge_type (edges,), relations
                (relations, d); see `Subgraph.to_pyg`.

        Raises:
            ValueError: The vectors have another width than the encoder.
        """
        x = cast(Tensor, data.x)
        edge_index, edge_vectors = self.messages(data)
        for layer in self.layers:
            x = layer(x, edge_index, edge_vectors)  # (nodes, d)
            if self.drops_after(layer):
                x = self.dropped(x, self.kept(len(x)))
        return x

    def messages(self, data: Data) -> tuple[Tensor, Tensor]:
        """Who hears whom, (2, edges) object -> subject, and the vector e_r of each message, (edges, d).

        Args:
            data: As `forward` takes it.

        Raises:
            ValueError: The vectors have another width than the encoder.
        """
        x, relations = cast(Tensor, data.x), cast(Tensor, data.relations)
        if x.shape[-1] != self.d or relations.shape[-1] != self.d:
            raise ValueError(
                f"the encoder has width {self.d}, but the nodes have {x.shape[-1]} and the relations "
                f"{relations.shape[-1]}; both come from the model's own layers, so this is another model"
            )
        edge_index, edge_vectors = cast(Tensor, data.edge_index), relations[data.edge_type]
        if self.self_loops == "none":
            return edge_index, edge_vectors
        return self._with_self_loops(x, edge_index, edge_vectors, relations)

    def drops_after(self, layer: nn.Module) -> bool:
        """Whether dropout follows a layer, in the mode that the encoder is in."""
        return self.training and self.dropout > 0 and (self.dropout_last or layer is not self.layers[-1])

    def kept(self, nodes: int) -> Tensor:
        """Which numbers the next dropout keeps, (nodes, d).

        Drawn on the CPU: a generator draws differently on each kind of device.
        """
        return torch.rand(nodes, self.d, generator=self._generator, dtype=torch.float32) >= self.dropout

    def dropped(self, x: Tensor, kept: Tensor) -> Tensor:
        """Dropout: what is not kept is zero, and the rest makes up for it."""
        return x * kept.to(x.device) / (1 - self.dropout)

    def _with_self_loops(
        self, x: Tensor, edge_index: Tensor, edge_vectors: Tensor, relations: Tensor
    ) -> tuple[Tensor, Tensor]:
        nodes = torch.arange(len(x), device=edge_index.device)
        loop = relations[min(1, len(relations) - 1)]  # (d,)
        if self.self_loops == "zero":
            loop = torch.zeros_like(loop)
        return (
            torch.cat([edge_index, nodes.expand(2, -1)], dim=1),  # (2, edges + nodes)
            torch.cat([edge_vectors, loop.expand(len(x), -1)]),  # (edges + nodes, d)
        )


def _xavier(d: int, generator: torch.Generator) -> Tensor:
    """(d, d), Xavier uniform with gain sqrt 2."""
    return nn.init.xavier_uniform_(torch.empty(d, d, dtype=torch.float32), gain=math.sqrt(2), generator=generator)


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} is {value!r}, but must be one of: {', '.join(choices)}")
