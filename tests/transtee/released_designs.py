"""Small data of every kind that a released recipe is for."""

import causalkit as ck

FEW = {"max_epochs": 3, "random_state": 0}


def dosage():
    return ck.generators.dosage(0, n=60, n_genes=20).blind()


def texts():
    return ck.generators.text_concept(0, n=700, n_test=50, dimension=8, target=0).blind()


def graphs():
    return ck.generators.graph_sw(0, n=150, n_test=20, n_graphs=6).blind()


def with_graphs(data, nodes, edges):
    """The same rows, to which graphs are what these tables say."""
    return ck.CausalData.from_frame(
        data.frame,
        outcome="y",
        treatment="graph",
        kinds=("structured",),
        covariates=list(data.roles.covariates),
        tables={"graph_nodes": nodes, "graph_edges": edges},
    )
