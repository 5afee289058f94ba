"""What the evidence says of the other networks on doses, each at the rate of its own."""

from typing import Any

import numpy as np
from transtee_summary import spread

SETTINGS: dict[str, dict[str, float]] = {
    "h = 1": {},
    "1.9 to 2.0": {"h_train": 1.9, "h_test": 2.0},
}
RANGES = SETTINGS | {
    "h = 5": {"h_train": 5.0, "h_test": 5.0},
    "4.75 to 5.0": {"h_train": 4.75, "h_test": 5.0},
}
N_SHIFT = 10
N_OTHERS = {"500 rows": 20, "5,000 rows": 5}
N_OTHERS = {"500 rows": 20, "5,000 rows": 5}


def beside(kept: dict[str, Any]) -> list[str]:
    """The sections of all parts that are kept."""
    lines = []
    if {"t1", "t2", "shift", "recipes"} <= kept.keys():
        lines += under_shift(kept)
    if {"ranges", "settings"} <= kept.keys():
        wide = [setting for setting in RANGES if setting not in SETTINGS]
        ours = {setting: kept["settings"][f"{setting}|None"] for setting in wide}
        lines += [
            "",
            f"The same on the first {N_SHIFT} splits of the two other ranges, without a "
            "regulariser and with rates of least validation loss.",
            *table(
                {"TransTEE": ours} | at_rates(kept["ranges"], wide), dict.fromkeys(wide, N_SHIFT)
            ),
        ]
    if {"synthetic", "t4"} <= kept.keys():
        counts = " and ".join(f"the first {count} of {rows}" for rows, count in N_OTHERS.items())
        rows = {"TransTEE": kept["t4"]} | at_rates(kept["synthetic"], list(N_OTHERS))
        lines += [
            "",
            f"The same on the synthetic design, {counts}; networks that were run on both.",
            *table(rows, N_OTHERS),
        ]
    return lines


def under_shift(kept: dict[str, Any]) -> list[str]:
    """AMSE of all networks where doses of the test lie in the range of training, and beyond."""
    recipes = {
        f"{name}, recipe of its own": {
            setting: found[name] for setting, found in kept["recipes"].items()
        }
        for name in kept["recipes"]["h = 1"]
    }
    rows = {"TransTEE": kept["t1"] | kept["t2"]}
    rows |= at_rates(kept["shift"] | recipes, list(SETTINGS))
    return [
        "",
        f"Beside other networks, first {N_SHIFT} splits, population `all`; each has four networks "
        "and early stopping, TransTEE its defaults and others the rate, from .0005 on, of least "
        "validation loss; but those by their own recipe "
        "(`benchmarks/transtee_released_rivals.py`: one network, covariates and outcomes as they "
        "are, SGD, 1,500 epochs, small first weights), which have the rate of least error, chosen "
        "in their favour. `a to b`: training doses in [b - a, b], those of the test in [0, b]. "
        "Mean (Monte-Carlo error), median.",
        *table(rows, dict.fromkeys(SETTINGS, N_SHIFT)),
    ]


def at_rates(found: dict[str, Any], designs: list[str]) -> dict[str, Any]:
    """Networks that have all designs, named with their rates."""
    named = {}
    for name, one in found.items():
        if one.keys() >= set(designs):
            rates = " and ".join(f"{one[design]['rate']:g}" for design in designs)
            named[f"{name}, rates {rates}"] = one
    return named


def table(rows: dict[str, Any], counts: dict[str, int]) -> list[str]:
    """Errors of networks on the first data sets of designs, those of TransTEE in the first row."""
    cells = {
        name: [np.array(one[design]["errors"][:count]) for design, count in counts.items()]
        for name, one in rows.items()
    }
    return [
        "",
        f"| network | {' | '.join(counts)} | larger than TransTEE's in |",
        "|---|" + "---:|" * (len(counts) + 1),
        *(
            f"| {name} | {' | '.join(spread(values) for values in found)} | "
            + ", ".join(
                str(int((values > own).sum()))
                for values, own in zip(found, cells["TransTEE"], strict=True)
            )
            + " |"
            for name, found in cells.items()
        ),
    ]
