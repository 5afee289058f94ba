"""Treatments that are graphs: small worlds and molecules, with the truth of every pair."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse.linalg import svds
from scipy.special import softmax

from causalkit.data import CausalData, Truth
from causalkit.errors import ArgumentError, check_count
from causalkit.generators.expression import expression_rows
from causalkit.generators.molecules import N_PROPERTIES, load_molecules, simulated_molecules
from causalkit.generators.responses import MeanResponse, UnitResponse, rows_for_test
from causalkit.generators.small_world import small_world_graphs
from causalkit.generators.spec import as_rng, generator
from causalkit.typing import Floats, Ints

_ESTIMANDS = ("outcome[uniform]", "outcome[best]")


@generator(
    "graph_sw",
    version=1,
    estimands=_ESTIMANDS,
    cite="Kaddour, Zhu, Liu, Kusner & Silva (2021), NeurIPS (SIN), small-world graphs",
)
def graph_sw(
    rng: np.random.Generator | int,
    *,
    n: int = 1500,
    n_test: int | None = None,
    n_covariates: int = 20,
    n_graphs: int = 200,
    graph_seed: int = 0,
    bias: float = 10.0,
    noise_sd: float = 1.0,
    effect: float = 1.0,
    overlap: bool = True,
) -> CausalData:
    r"""Treatments that are small-world graphs, chosen by covariates.

    With x uniform on [−1, 1]^p, unit vectors w of uniform numbers, :math:`g_0` the average shortest
    path of the graph and :math:`g_1` its node connectivity,

    .. math::

        P(T = k | x) &\propto \exp(bias \, W_k' x^2), \quad W_k \sim U[0, 1]^p \\
        Y &= 100 w_0'x + effect (.2 g_0^2 w_1'x + g_1 w_2'x) + N(0, 1).

    The graphs are connected Watts-Strogatz graphs of 10 to 119 nodes; the feature of a node is its
    degree centrality. They are the same for all ``rng``, and change with ``graph_seed``.

    Parameters
    ----------
    rng : Generator or int
    n : int, default 1500
        All units, those of the test included.
    n_test : int, optional
        Out-of-sample units: the last rows, by default a third, 500 of 1500.
    n_covariates, n_graphs : int, default 20 and 200
    graph_seed : int, default 0
        Which library of graphs.
    bias : float, default 10
        Strength of selection; 0 is a randomised trial. Released settings are 10, 20 and 40.
    noise_sd : float, default 1
    effect : float, default 1
        Multiplies what depends on the graph; 0 is the null design.
    overlap : bool, default True
        False gives every unit its most likely graph.

    Returns
    -------
    CausalData
        Columns ``y, graph, x1, ...``, and the extra column ``test``. The treatment is of kind
        ``"structured"``: numbers of graphs, whose nodes and edges are in ``tables["graph_nodes"]``
        (graph, node, degree) and ``tables["graph_edges"]`` (graph, source, target; each once).
        ``truth`` has scope ``"sample"``: ``unit_response(graphs)`` is the mean outcome of every
        unit under the graphs of those numbers, ``dose_response(graphs)`` the mean over units, and
        ``propensity (n, n_graphs)`` the probability of each. The estimands are the mean outcome
        under a graph drawn at random, and under the best graph of each unit.

    Raises
    ------
    ArgumentError
        If a parameter is outside its range.

    References
    ----------
    Kaddour, Zhu, Liu, Kusner & Silva (2021), NeurIPS 34, section 5; Watts & Strogatz (1998), Nature
    393:440.

    Examples
    --------
    >>> import numpy as np
    >>> import causalkit as ck
    >>> data = ck.generators.graph_sw(0, n=60, n_test=20, n_graphs=5)
    >>> data.truth.unit_response(np.arange(5)).shape, data.truth.propensity.shape
    ((60, 5), (60, 5))
    """
    rng = as_rng(rng, "graph_sw")
    n_test = rows_for_test(n_test, n=check_count("n", n, least=4), default=n // 3)
    check_count("n_covariates", n_covariates, least=1)
    check_count("n_graphs", n_graphs, least=2)
    check_count("graph_seed", graph_seed, least=0)
    x = rng.uniform(-1.0, 1.0, (n, n_covariates))
    weights = rng.uniform(0.0, 1.0, (3, n_covariates))
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    score = bias * x**2 @ rng.uniform(0.0, 1.0, (n_graphs, n_covariates)).T
    graphs = small_world_graphs(int(graph_seed), int(n_graphs))
    scores = x @ weights.T * np.array([100.0, effect, effect])
    traits = np.stack(
        [np.ones(n_graphs), 0.2 * graphs.average_path**2, graphs.connectivity], axis=0
    )
    owner = np.repeat(np.arange(n_graphs), graphs.sizes)
    starts = np.concatenate([[0], np.cumsum(graphs.sizes)[:-1]])
    nodes = pd.DataFrame(
        {
            "graph": owner,
            "node": np.arange(owner.size) - starts[owner],
            "degree": graphs.degree_centrality,
        }
    )
    edges = pd.DataFrame(
        {"graph": graphs.owner, "source": graphs.edges[:, 0], "target": graphs.edges[:, 1]}
    )
    response = UnitResponse(GraphTraits(traits), scores)
    test = (np.arange(n) >= n - n_test).astype(np.int64)
    return _assembled(
        rng, x, score, response, nodes, edges, test, noise_sd=noise_sd, overlap=overlap
    )


@generator(
    "graph_tcga",
    version=1,
    estimands=_ESTIMANDS,
    cite="Kaddour, Zhu, Liu, Kusner & Silva (2021), NeurIPS (SIN), TCGA, on simulated data",
)
def graph_tcga(
    rng: np.random.Generator | int,
    *,
    n: int = 1000,
    n_test: int | None = None,
    n_genes: int = 200,
    n_graphs: int = 200,
    graph_seed: int = 0,
    bias: float = 0.3,
    noise_sd: float = 1.0,
    effect: float = 1.0,
    overlap: bool = True,
    molecules: str | None = None,
    molecules_checksum: str = "any",
    expression: str | None = None,
    checksum: str = "any",
) -> CausalData:
    r"""Treatments that are molecules, for patients who are known by their gene expression.

    With x the expression (in [0, 1] by gene, unit length by row), PCA₈ its first eight principal
    components, p the eight properties of a molecule and :math:`w_0` a unit vector of uniform
    numbers,

    .. math::

        P(T = k | x) &\propto \exp(bias \, W_k'x), \quad W_k \sim U[0, 1]^p \\
        Y &= 10 w_0'x + effect \cdot .01 \langle p, PCA_8(x) \rangle + N(0, 1).

    The sign of a component is that of its largest loading. The published size is 9659 patients,
    4000 genes and 10,000 molecules; ``propensity`` then takes 0.8 GB.

    Parameters
    ----------
    rng : Generator or int
    n, n_genes : int, default 1000 and 200
        Size of the simulated expression; ignored if ``expression`` is given.
    n_test : int, optional
        Out-of-sample patients: the last rows, by default 30 %.
    n_graphs, graph_seed : int, default 200 and 0
        Simulated molecules; ignored if ``molecules`` is given.
    bias : float, default 0.3
        Strength of selection; the released settings are .1 to .6.
    noise_sd : float, default 1
    effect : float, default 1
        Multiplies what depends on the molecule; 0 is the null design.
    overlap : bool, default True
        False gives every patient the most likely molecule.
    molecules, molecules_checksum : str, optional
        Folder of prepared molecules; see :func:`~causalkit.generators.molecules.load_molecules`.
    expression, checksum : str, optional
        Path of the real matrix; see :func:`~causalkit.generators.files.load_expression`.

    Returns
    -------
    CausalData
        As of :func:`graph_sw`; edges have a ``type``. The properties are the truth, and in no
        table.

    Raises
    ------
    ArgumentError
        If a parameter is outside its range, or a file is not what it should be.

    References
    ----------
    Kaddour, Zhu, Liu, Kusner & Silva (2021), NeurIPS 34, section 5 and appendix.
    """
    rng = as_rng(rng, "graph_tcga")
    check_count("n", n, least=20)
    check_count("n_genes", n_genes, least=10)
    check_count("n_graphs", n_graphs, least=2)
    check_count("graph_seed", graph_seed, least=0)
    x = expression_rows(rng, n, n_genes, expression, checksum)
    n = len(x)
    n_test = rows_for_test(n_test, n=n, default=3 * n // 10)
    found = (
        simulated_molecules(int(graph_seed), int(n_graphs))
        if molecules is None
        else load_molecules(molecules, checksum=molecules_checksum)
    )
    weights = rng.uniform(0.0, 1.0, (x.shape[1],))
    weights /= np.linalg.norm(weights)
    score = bias * x @ rng.uniform(0.0, 1.0, (len(found.properties), x.shape[1])).T
    scores = np.column_stack([10.0 * x @ weights, 0.01 * effect * components(x, N_PROPERTIES)])
    traits = np.vstack([np.ones(len(found.properties)), found.properties.T])
    response = UnitResponse(GraphTraits(traits), scores)
    test = (np.arange(n) >= n - n_test).astype(np.int64)
    return _assembled(
        rng, x, score, response, found.nodes, found.edges, test, noise_sd=noise_sd, overlap=overlap
    )


@dataclass(frozen=True, slots=True, eq=False)
class GraphTraits:
    """Traits ``(f, g)`` of graphs, looked up by their numbers."""

    traits: Floats

    def __call__(self, graphs: Any) -> Floats:
        """Traits ``(f, *shape)`` of graphs of any shape."""
        numbers = np.asarray(graphs)
        whole = numbers.astype(np.int64)
        top = self.traits.shape[1] - 1
        if (whole != numbers).any() or (whole.size and (whole.min() < 0 or whole.max() > top)):
            raise ArgumentError(f"graphs must be whole numbers from 0 to {top}, got {graphs!r}.")
        return np.asarray(self.traits[:, whole])


def components(x: Floats, k: int) -> Floats:
    """Scores ``(n, k)`` of the first principal components, the largest loading being positive."""
    centred = x - x.mean(axis=0)
    start = np.ones(min(centred.shape))
    left, size, right = svds(centred, k=k, v0=start)
    order = np.argsort(-size)
    largest = right[order, np.abs(right[order]).argmax(axis=1)]
    return np.asarray((left * size)[:, order] * np.sign(largest))


def _assembled(
    rng: np.random.Generator,
    x: Floats,
    score: Floats,
    response: UnitResponse,
    nodes: pd.DataFrame,
    edges: pd.DataFrame,
    test: Ints,
    *,
    noise_sd: float,
    overlap: bool,
) -> CausalData:
    """Data whose treatment is a graph drawn by the softmax of ``score (n, g)``."""
    n, n_graphs = score.shape
    uniform, noise = rng.random((n, 1)), noise_sd * rng.standard_normal(n)
    propensity = softmax(score, axis=1)
    drawn = (propensity.cumsum(axis=1) < uniform).sum(axis=1).clip(max=n_graphs - 1)
    graph = drawn if overlap else score.argmax(axis=1)
    y = response(graph[:, None])[:, 0] + noise
    names = [f"x{j + 1}" for j in range(x.shape[1])]
    frame = pd.DataFrame({"y": y, "graph": graph}).join(pd.DataFrame(x, columns=names))
    mean = MeanResponse(response)
    every = response(np.arange(n_graphs))
    certain = np.eye(n_graphs)[graph] if not overlap else propensity
    return CausalData.from_frame(
        frame.assign(test=test),
        outcome="y",
        treatment="graph",
        covariates=names,
        extra="test",
        kinds=("structured",),
        tables={"graph_nodes": nodes, "graph_edges": edges},
        truth=Truth(
            {
                "outcome[uniform]": float(every.mean()),
                "outcome[best]": float(every.max(axis=1).mean()),
            },
            dose_response=mean,
            unit_response=response,
            propensity=certain,
            scope="sample",
        ),
    )
