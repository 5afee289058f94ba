"""The network that was released with TransTEE for treatments that are graphs.

Three rounds of messages, each with a ReLU and a batch norm, the mean over nodes, and layers of 100
make the one token of a graph. Zhang et al. (2022), arXiv:2202.01336, after Kaddour et al. (2021),
arXiv:2106.01939; no line of their code is used.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from causalkit.transtee.released_network import (
    Decoder,
    Encoder,
    ReleasedNetwork,
    perceptron,
    token,
)
from causalkit.transtee.released_recipes import Recipe

N_ROUNDS, N_HIDDEN = 3, 100


@dataclass(frozen=True, slots=True)
class GraphTensors:
    """Graphs, one after the other.

    Attributes
    ----------
    features : (nodes, f) tensor
    edges : (2, E) integer tensor
        Nodes that send and that receive.
    owner : (nodes,) integer tensor
        Graph of each node.
    """

    features: Tensor
    edges: Tensor
    owner: Tensor

    def some(self, chosen: Tensor) -> "GraphTensors":
        """Graphs by their places, in that order."""
        place = torch.full((int(self.owner.max()) + 1,), -1)
        place[chosen] = torch.arange(len(chosen))
        kept = place[self.owner] >= 0
        number = kept.cumsum(0) - 1
        edges = number[self.edges[:, kept[self.edges[0]]]]
        return GraphTensors(self.features[kept], edges, place[self.owner[kept]])


class NodeNorm(nn.BatchNorm1d):
    """Batch norm of nodes that are there several times, each counted that often."""

    def forward(self, nodes: Tensor, counts: Tensor | None = None) -> Tensor:
        """Nodes ``(n, d)`` after the norm; counts ``(n,)``, by default one each."""
        if counts is None or not self.training:
            return super().forward(nodes)
        share, total = (counts / counts.sum())[:, None], counts.sum()
        mean = (share * nodes).sum(dim=0)
        variance = (share * (nodes - mean) ** 2).sum(dim=0)
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            self.running_mean.lerp_(mean, self.momentum or 0.0)
            self.running_var.lerp_(variance * total / (total - 1.0), self.momentum or 0.0)
        return (nodes - mean) * (variance + self.eps).rsqrt() * self.weight + self.bias


class Messages(nn.Module):
    """A node and the sum over those that send to it, each through a map of its own."""

    def __init__(self, n_in: int) -> None:
        super().__init__()
        self.near = nn.Linear(n_in, N_HIDDEN)
        self.own = nn.Linear(n_in, N_HIDDEN, bias=False)

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        """Nodes ``(n, 100)``."""
        sums = torch.zeros_like(nodes).index_add(0, edges[1], nodes[edges[0]])
        out: Tensor = self.near(sums) + self.own(nodes)
        return out


class GraphToken(nn.Module):
    """One token ``(graphs, d)`` of each graph; it ends in a ReLU."""

    def __init__(self, n_features: int, width: int) -> None:
        super().__init__()
        sizes = (n_features, *[N_HIDDEN] * (N_ROUNDS - 1))
        self.rounds = nn.ModuleList(Messages(size) for size in sizes)
        self.norms = nn.ModuleList(NodeNorm(N_HIDDEN) for _ in sizes)
        self.pooled = nn.Linear(N_HIDDEN, N_HIDDEN)
        self.out = perceptron(N_HIDDEN, N_HIDDEN, width)

    def forward(self, graphs: GraphTensors, counts: Tensor) -> Tensor:
        """Tokens, where each graph is there as often as its count ``(graphs,)`` says."""
        nodes, owner = graphs.features, graphs.owner
        for messages, norm in zip(self.rounds, self.norms, strict=True):
            nodes = norm(torch.relu(messages(nodes, graphs.edges)), counts[owner])
        sums = nodes.new_zeros(len(counts), nodes.shape[1]).index_add(0, owner, nodes)
        means = sums / torch.bincount(owner, minlength=len(counts))[:, None]
        return torch.relu(self.out(torch.relu(self.pooled(means))))


class ReleasedGraphs(ReleasedNetwork):
    """Of covariates ``(n, p)`` and places ``(n,)`` of graphs.

    A batch encodes each of its graphs once and counts it as often as rows have it, which gives what
    the release gets, in less time, from a copy for every row.
    """

    def __init__(self, n_covariates: int, n_features: int, recipe: Recipe) -> None:
        super().__init__()
        self.covariate = token(recipe.width, 0.1)
        self.graph = GraphToken(n_features, recipe.width)
        self.encoder = Encoder(n_covariates, recipe)
        self.decoder = Decoder(recipe)
        self.head = nn.Linear(recipe.width, 1)

    def forward(self, x: Tensor, items: Tensor, graphs: GraphTensors) -> Tensor:
        """Outcomes ``(n,)``."""
        memory = self.encoder(self.covariate(x[:, :, None]))
        distinct, place, counts = torch.unique(items, return_inverse=True, return_counts=True)
        tokens = self.graph(graphs.some(distinct), counts.to(x.dtype))
        out: Tensor = self.head(self.decoder(tokens[place][:, None], memory))
        return out[:, 0, 0]
