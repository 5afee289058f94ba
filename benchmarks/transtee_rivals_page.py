"""The page of TransTEE beside other networks, from what ``transtee_rivals.py`` has kept."""

from typing import Any

import numpy as np
import torch
from transtee_summary import spread

Draws = list[dict[str, dict[str, float]]]
TUNED_ON = 1000
MEASURES = {
    "dosage": ("root MISE", "DPE", "PE"),
    "news": ("AMSE, all", "AMSE, test", "root MISE"),
    "texts": ("√PEHE", "ε_ATE"),
    "graphs": ("WPEHE@6", "WPEHE@6, a graph never seen"),
}
# How many times the error of a rival that of TransTEE may be, in the mean.
GOALS = {
    "dosage": ("T5", {"TARNet": 1.0, "DRNet": 1.0, "VCNet": 1.1}),
    "news": ("no worse than any", {"TARNet": 1.0, "DRNet": 1.0, "VCNet": 1.0}),
    "texts": ("no worse than any", {"TARNet": 1.0, "DragonNet": 1.0}),
    "graphs": ("T6", {"names": 1.0, "GNN + MLP": 1.0}),
}
WORDS = {
    "dosage": "Three arms with a dose, 200 covariates, 1,500 rows, the effects of the last 300: "
    "`ck.generators.dosage(draw, n=1500)`. Goal T5: below TARNet and DRNet, and within 10 % of "
    "VCNet or below.",
    "news": "Word counts of 2,000 articles to learn from and 1,000 new ones, simulated by topics, "
    "and a dose: `ck.generators.news_like(draw)`. AMSE is of the average curve at the doses of new "
    "articles, with the true one over all articles or over these; root MISE of the curve of each.",
    "texts": "Sentences about a person: `ck.generators.text_concept(draw, n=1250, n_test=250, "
    'confounding="aggressive", sharpness=2.0, effect=1.5, target=0)`, whose emotion confounds; the '
    "effect of the concept on the probability that a reader hears anger. TransTEE reads word "
    "vectors in their order, the rivals their mean, a bag of words.",
    "graphs": "200 small-world graphs, 1,000 rows to learn from and 500 new units: "
    "`ck.generators.graph_sw(draw)`. `names` knows a graph by its name, and all of fewer than ten "
    "rows, or none, by one; `no effect` predicts none. TransTEE adds a linear part of the outcome "
    "whose slopes depend on the encoded graph, which was chosen on draws 1000 to 1002; `level` "
    "gives the rival one whose slopes do not. Goal T6: below `names` and below `GNN + MLP`, of all "
    "test units, those with graphs never seen included.",
}


def column(draws: Draws, name: str, measure: str) -> np.ndarray:
    """Values by draw; NaN where there is none."""
    return np.array([one[name].get(measure, np.nan) for one in draws])


def table(part: str, draws: Draws) -> list[str]:
    lines = [
        f"| network | draws | {' | '.join(MEASURES[part])} | s/fit | epochs |",
        "|---|---:|" + "---:|" * (len(MEASURES[part]) + 2),
    ]
    for name in draws[0]:
        cells = [spread(column(draws, name, measure)) for measure in MEASURES[part]]
        for cost in ("seconds", "epochs"):
            known = column(draws, name, cost)
            known = known[np.isfinite(known)]
            cells.append(f"{known.mean():.0f}" if known.size else "")
        lines.append(f"| {name} | {len(draws)} | {' | '.join(cells)} |")
    return lines


def wins(part: str, draws: Draws) -> str:
    """In how many draws TransTEE has the smaller error, by rival and measure."""
    counts = []
    for name in draws[0]:
        if name in ("TransTEE", "no effect"):
            continue
        found = [
            f"{int((column(draws, 'TransTEE', by) < column(draws, name, by)).sum())} by {by}"
            for by in MEASURES[part]
        ]
        counts.append(f"{name} in {', '.join(found)}")
    return f"Of {len(draws)} draws TransTEE has the smaller error than {'; '.join(counts)}."


def difference(own: np.ndarray, theirs: np.ndarray) -> str:
    """Mean of paired differences, with its Monte-Carlo error."""
    gap = own - theirs
    return f"{gap.mean():.3f} ({gap.std(ddof=1) / np.sqrt(gap.size):.3f})"


def verdict(part: str, draws: Draws) -> str:
    """Whether means are as low as the goal asks, and how far those of the nearest rivals are."""
    goal, rivals = GOALS[part]
    missed, nearest = [], []
    for by in MEASURES[part]:
        own = column(draws, "TransTEE", by)
        others = {name: column(draws, name, by) for name in draws[0] if name != "TransTEE"}
        for name, most in rivals.items():
            if own.mean() > most * others[name].mean():
                ratio = own.mean() / others[name].mean()
                missed.append(f"by {by} beside {name}, {ratio:.2f} times its mean")
        name = min(others, key=lambda one: others[one].mean())
        nearest.append(f"{by} {difference(own, others[name])} beside {name}")
    return (
        f"Goal ({goal}), by means: {'missed ' + '; '.join(missed) if missed else 'met'}. Mean of "
        f"TransTEE minus the least of the others, draw by draw: {'; '.join(nearest)}."
    )


def page(kept: dict[str, Any]) -> str:
    lines = [
        "# TransTEE beside other networks: doses of arms, texts, and graphs",
        "",
        "Made by `python benchmarks/transtee_rivals.py`; four networks each and early stopping "
        "alike. Means over draws, with their Monte-Carlo error, and medians; seconds of the "
        "processor, which had other work too, and epochs are means.",
    ]
    for part, words in WORDS.items():
        draws = list(kept.get(part, {}).values())
        if not draws:
            continue
        lines += ["", f"## {part.capitalize()}", "", words, "", *table(part, draws)]
        lines += ["", wins(part, draws), "", verdict(part, draws)]
        if part in kept.get("tuned", {}):
            shown = "; ".join(
                f"{name}: rate {one['lr']:g}, decay {one['weight_decay']:g}"
                for name, one in kept["tuned"][part].items()
            )
            lines += ["", f"Chosen on draw {TUNED_ON}: {shown}."]
    absent = [f"`{part}`" for part in WORDS if not kept.get(part)]
    if absent:
        lines += ["", f"Parts of the script that were not run: {', '.join(absent)}."]
    return "\n".join([*lines, "", f"torch {torch.__version__.split('+')[0]}, one thread.", ""])
