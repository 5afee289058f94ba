"""Sizes of the network and its parameters, in a fixed order."""

import math
from dataclasses import dataclass, replace

from causalkit.transtee.baseline_shapes import Baseline
from causalkit.transtee.layout import Layout, Parameter, linear, norm

N_WAVES = 8
ACTION_SD = 0.5
# Length of a covariate's token at first, for a value of one. Where tokens begin small the network
# learns the simple before the intricate; norms in the encoder would undo that.
TOKEN_SIZE = 1.0
N_ROUNDS = 3
MOST_ROWS = 4096
# Of the covariates, in the linear part of the outcome under structured treatments.
N_SCORES = 8


@dataclass(frozen=True, slots=True)
class TableShape:
    """What the covariates of one row consist of.

    Attributes
    ----------
    n_numeric : int
    levels : tuple of int
        Levels of each categorical covariate; one more row stands for unknown.
    native_missing : bool
        Whether a numeric covariate may be missing, and then has a token of its own for that.
    sequences : tuple of (length, features)
        Of each sequence or text.
    node_features : int
        Of a graph for every row; 0 if there is none.
    edge_types : int
        Of its edges; 0 if they have none.
    """

    n_numeric: int
    levels: tuple[int, ...] = ()
    native_missing: bool = False
    sequences: tuple[tuple[int, int], ...] = ()
    node_features: int = 0
    edge_types: int = 0

    @property
    def n_columns(self) -> int:
        """Tokens from the table."""
        return self.n_numeric + len(self.levels)


@dataclass(frozen=True, slots=True)
class ActionShape:
    """What an action consists of.

    Attributes
    ----------
    n_arms : int
        Distinct arms over all slots; a further row stands for "nothing".
    dosed : tuple of bool
        Which arms take a dose.
    n_slots : int
        Arms that may be active at once.
    item_features : int
        Features of a structured treatment; 0 if there is none.
    item_kind : {"", "vector", "sequence", "graph"}
    item_steps : int
        Of the longest sequence.
    edge_types : int
        Of the edges of graphs; 0 if they have none.
    """

    n_arms: int = 0
    dosed: tuple[bool, ...] = ()
    n_slots: int = 0
    item_features: int = 0
    item_kind: str = ""
    item_steps: int = 0
    edge_types: int = 0

    @property
    def has_null_dose(self) -> bool:
        """Whether some arms of a category take a dose and others none.

        Of several treatments each has a slot, and those without a dose have nothing to stand in.
        """
        return self.n_slots == 1 and any(self.dosed) and not all(self.dosed)

    @property
    def n_tokens(self) -> int:
        """Tokens per action."""
        return self.n_slots + bool(self.item_features)


@dataclass(frozen=True, slots=True)
class NetShape:
    """Sizes of the network; with ``baseline`` it is one without attention, of this width.

    ``own_items`` and ``own_sequence`` leave out the blocks that a module of the user replaces. A
    memory that is to forget the treatment is normed: it can do so only where it is not linear.
    """

    table: TableShape
    actions: ActionShape
    width: int = 32
    n_heads: int = 4
    n_encoder_layers: int = 1
    n_decoder_layers: int = 1
    width_ff: int = 64
    bottleneck: int = 0
    dropout: float = 0.0
    baseline: Baseline | None = None
    own_items: bool = False
    own_sequence: bool = False
    normed_memory: bool = False

    def rows_at_once(self, n_members: int, n_nodes: int, n_actions: int, budget: int) -> int:
        """Rows whose largest tensors fit a budget of bytes; a handful of each kind live at once."""
        tokens = self.bottleneck or self.table.n_columns
        tokens += sum(length for length, _ in self.table.sequences) + n_nodes
        wide = self.width_ff + 4 * self.width
        row = tokens * (wide + self.n_heads * tokens)
        row += self.table.edge_types * n_nodes * (self.width + n_nodes)
        copies = 1 if self.baseline is None else self.baseline.n_copies(self.actions)
        row += n_actions * copies * self.actions.n_tokens * (wide + self.n_heads * tokens)
        return min(max(budget // (8 * n_members * row), 1), MOST_ROWS)

    def layout(self) -> Layout:
        """Every block of parameters, in a fixed order."""
        d = self.width
        if self.baseline is not None:
            return self.baseline.layout(self.table, self.actions, d)
        actions = replace(self.actions, item_kind="") if self.own_items else self.actions
        blocks = _covariate_blocks(self) | _action_blocks(actions, d)
        for layer in range(self.n_encoder_layers):
            blocks |= _attention_blocks(f"encoder{layer}.attention", d)
            blocks |= _feed_forward_blocks(f"encoder{layer}.feed", d, self.width_ff)
        if self.normed_memory:
            blocks |= norm("memory", d)
        for layer in range(self.n_decoder_layers):
            for part in ("within", "across"):
                name = f"decoder{layer}.{part}"
                blocks |= norm(f"{name}.norm", d) | _attention_blocks(name, d)
            name = f"decoder{layer}.feed"
            blocks |= norm(f"{name}.norm", d) | _feed_forward_blocks(name, d, self.width_ff)
        blocks |= norm("head.norm", d) | linear("head.out", d, 1)
        if self.actions.item_features and self.table.n_numeric:
            blocks |= _linear_blocks(self.table.n_numeric, d)
        return Layout(blocks)


def _linear_blocks(p: int, d: int) -> dict[str, Parameter]:
    """Of the linear part: one slope of each covariate, and a few scores that treatments weigh.

    A slope of each covariate for every direction of the encoded treatment would be p·d numbers that
    are learned one by one: of 200 genes, networks would learn the noise.
    """
    rank = min(p, N_SCORES)
    return {
        "linear.level": Parameter((p,)),
        "linear.scores": Parameter((p, rank), "normal", 1.0 / math.sqrt(p), decays=True),
        **linear("linear.weights", d, rank, sd=0.0),
    }


def _covariate_blocks(shape: NetShape) -> dict[str, Parameter]:
    """Tokens of the table, and of the steps of sequences."""
    blocks: dict[str, Parameter] = {}
    table, d, p = shape.table, shape.width, shape.table.n_numeric
    sd = TOKEN_SIZE / math.sqrt(d)
    if shape.bottleneck:
        total = p * (1 + table.native_missing) + sum(levels + 1 for levels in table.levels)
        blocks |= linear("table.reduce", total, shape.bottleneck * d, sd=sd)
        blocks |= norm("table.reduce.norm", total)
    else:
        if p:
            blocks["table.weight"] = Parameter((p, d), "normal", sd)
            blocks["table.bias"] = Parameter((p, d), "normal", sd)
        if p and table.native_missing:
            blocks["table.missing"] = Parameter((p, d), "normal", sd)
        for column, levels in enumerate(table.levels):
            blocks[f"table.level{column}"] = Parameter((levels + 1, d), "normal", sd)
    if table.node_features:
        blocks |= _graph_blocks("graph", table.node_features, table.edge_types, d)
        blocks |= norm("graph.norm", d, start=sd)
    if shape.own_sequence:
        return blocks | norm("own.norm", d, start=sd)
    for index, (length, features) in enumerate(table.sequences):
        blocks |= linear(f"sequence{index}", features, d, sd=sd)
        # A step is what it is before it is where it is: with random places at first, networks learn
        # each word anew at every place, and on texts err by a fifth more.
        blocks[f"sequence{index}.position"] = Parameter((length, d))
    return blocks


def _action_blocks(actions: ActionShape, d: int) -> dict[str, Parameter]:
    blocks: dict[str, Parameter] = {}
    if actions.n_slots:
        blocks["arm"] = Parameter((actions.n_arms + 1, d), "normal", ACTION_SD)
    if any(actions.dosed):
        blocks |= linear("dose.in", 1 + 2 * N_WAVES, d) | linear("dose.out", d, d)
        blocks["dose.scale"] = Parameter((actions.n_arms + 1, d), scale=1.0)
    if actions.has_null_dose:
        blocks["dose.null"] = Parameter((d,))
    if actions.item_kind in ("vector", "sequence"):
        blocks |= linear("item.in", actions.item_features, d) | linear("item.out", d, d)
        if actions.item_kind == "sequence":
            blocks["item.position"] = Parameter((actions.item_steps, d), "normal", ACTION_SD)
    elif actions.item_kind == "graph":
        blocks |= _graph_blocks("item", actions.item_features, actions.edge_types, d)
        blocks |= linear("item.out", d, d)
    return blocks


def _graph_blocks(name: str, n_features: int, n_types: int, d: int) -> dict[str, Parameter]:
    """Features of nodes, and rounds of sums over their neighbours, by types of edges if any."""
    blocks = linear(f"{name}.in", n_features, d)
    for step in range(N_ROUNDS):
        blocks |= linear(f"{name}.own{step}", d, d) | linear(f"{name}.near{step}", d, d)
        if n_types:
            blocks[f"{name}.type{step}"] = Parameter((n_types, d), "normal", ACTION_SD)
    return blocks


def _attention_blocks(name: str, d: int) -> dict[str, Parameter]:
    # Keys and values have no bias: that of keys cancels in the softmax, and its gradient would be
    # rounding alone, which Adam makes large; that of values adds to the one of the output.
    return (
        linear(f"{name}.query", d, d)
        | linear(f"{name}.memory", d, 2 * d, bias=False)
        | linear(f"{name}.out", d, d)
    )


def _feed_forward_blocks(name: str, d: int, width_ff: int) -> dict[str, Parameter]:
    return linear(f"{name}.in", d, width_ff) | linear(f"{name}.out", width_ff, d)
