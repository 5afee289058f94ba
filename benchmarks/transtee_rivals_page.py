"""The page of TransTEE beside other networks, from what ``transtee_rivals.py`` has kept."""

from typing import Any

import numpy as np
import torch
from scipy.stats import t as student
from transtee_summary import spread

Draws = list[dict[str, dict[str, float]]]
TUNED_ON = 1000
ENDS = (0.0005, 0.05)
GRID = f"among rates of {ENDS[0]:g} to {ENDS[1]:g} and decays of 0.01 and 1"
AT_END = " (an end of the grid)"
OURS, AUTO, RELEASE = "TransTEE", "TransTEE, lr=auto", "ReleasedTransTEE"
MEASURES = {
    "dosage": ("root MISE", "DPE", "PE"),
    "news": ("AMSE, all", "AMSE, test", "root MISE"),
    "texts": ("√PEHE", "ε_ATE"),
    "graphs": ("WPEHE@6", "WPEHE@6, a graph never seen"),
    "molecules": ("WPEHE@6",),
}
# How many times the error of a rival that of TransTEE may be, in the mean.
GOALS = {
    "dosage": ("T5", {"TARNet": 1.0, "DRNet": 1.0, "VCNet": 1.1}),
    "news": ("no worse than any", {"TARNet": 1.0, "DRNet": 1.0, "VCNet": 1.0}),
    "texts": ("no worse than any", {"TARNet": 1.0, "DragonNet": 1.0}),
    "graphs": ("T6", {"names": 1.0, "GNN + MLP": 1.0}),
    "molecules": ("no worse than any", {"names": 1.0, "GNN + MLP": 1.0, "GNN + MLP + level": 1.0}),
}
WORDS = {
    "dosage": "Three arms with a dose, 200 covariates, 1,500 rows, the effects of the last 300: "
    "`ck.generators.dosage(draw, n=1500)`. Goal T5: below TARNet and DRNet, and within 10 % of "
    "VCNet or below.",
    "news": "Word counts of 2,000 articles to learn from and 1,000 new ones, simulated by topics, "
    "and a dose: `ck.generators.news_like(draw)`. AMSE is of the average curve at the doses of new "
    "articles, with the true one over all articles or over these; root MISE of the curve of each. "
    "The release was not run: its recipe has 1,500 epochs, and one took 29 s.",
    "texts": "Sentences about a person: `ck.generators.text_concept(draw, n=1250, n_test=250, "
    'confounding="aggressive", sharpness=2.0, effect=1.5, target=0)`, whose emotion confounds; the '
    "effect of the concept on the probability that a reader hears anger. TransTEE reads word "
    "vectors in their order, the rivals their mean, a bag of words.",
    "graphs": "200 small-world graphs, 1,000 rows to learn from and 500 new units: "
    "`ck.generators.graph_sw(draw)`. `names` knows a graph by its name, and all of fewer than ten "
    "rows, or none, by one; `no effect` predicts none. TransTEE adds a linear part of the outcome "
    "whose slopes depend on the encoded graph and start at a ridge regression, both chosen on "
    "draws 1000 to 1002; `level` gives the rival one whose slopes do not depend on the graph, with "
    "the same start; no rate is tuned here. Goal T6: below `names` and below `GNN + MLP`, of all "
    "test units, those with graphs never seen included.",
    "molecules": "200 simulated molecules with types of bonds, which the rivals do not read, 200 "
    "genes of 1,050 patients to learn from and 450 new ones: `ck.generators.graph_tcga(draw, "
    "n=1500, effect=10.0)`, as effects of size 1 drown in its noise at this number of patients; "
    "networks as above. Outcomes are linear in the genes, with the eight properties of a molecule "
    "as weights of eight scores (how many TransTEE has was chosen on draws 1000 and 1001); with "
    "these scores instead of the genes it had 1.8 on draw 1000, so that it is the scores that it "
    "does not find among 200 tokens.",
}
# By which recipe the release is trained there.
RECIPES = {
    "dosage": '`recipe="tcga"`, all training rows for 200 epochs.',
    "texts": '`recipe="texts"`, 50 epochs, in each of which a thousand rows make one step of the '
    "optimiser: it was made for more.",
    "graphs": '`recipe="sw"`, a fifth of the training rows for its stopping rule; a graph is '
    "encoded once for all rows of a batch, which is faster than the code that was released.",
}


def column(draws: Draws, name: str, measure: str) -> np.ndarray:
    """Values by draw; NaN where there is none."""
    return np.array([one.get(name, {}).get(measure, np.nan) for one in draws])


def names(draws: Draws) -> list[str]:
    """Of all networks that some draw has, ours and the release first."""
    found = dict.fromkeys(name for one in draws for name in one)
    first = [name for name in (OURS, AUTO, RELEASE) if name in found]
    return list(dict.fromkeys([*first, *found]))


def having(draws: Draws, name: str) -> Draws:
    """Draws on which a network was run."""
    return [one for one in draws if name in one]


def table(part: str, draws: Draws) -> list[str]:
    lines = [
        f"| network | draws | {' | '.join(MEASURES[part])} | s/fit | epochs |",
        "|---|---:|" + "---:|" * (len(MEASURES[part]) + 2),
    ]
    for name in names(draws):
        some = having(draws, name)
        found = [column(some, name, measure) for measure in MEASURES[part]]
        found = [one[np.isfinite(one)] for one in found]
        cells = [spread(one) if one.size else "not finite" for one in found]
        for cost in ("seconds", "epochs"):
            known = column(some, name, cost)
            known = known[np.isfinite(known)]
            cells.append(f"{known.mean():.0f}" if known.size else "")
        lines.append(f"| {name} | {len(some)} | {' | '.join(cells)} |")
    return lines


def pairs(draws: Draws, name: str, measure: str, ours: str = OURS) -> tuple[np.ndarray, np.ndarray]:
    """Errors of TransTEE and of another, of draws on which both have one."""
    own, theirs = (column(draws, one, measure) for one in (ours, name))
    both = np.isfinite(own) & np.isfinite(theirs)
    return own[both], theirs[both]


def wins(part: str, draws: Draws) -> str:
    """In how many draws TransTEE has the smaller error, by rival and measure."""
    counts = []
    for name in names(draws):
        if name in (OURS, AUTO, "no effect"):
            continue
        found = []
        for by in MEASURES[part]:
            own, theirs = pairs(draws, name, by)
            found.append(f"{int((own < theirs).sum())} of {own.size} by {by}")
        counts.append(f"{name} in {', '.join(found)}")
    return f"TransTEE has the smaller error than {'; '.join(counts)}."


def difference(own: np.ndarray, theirs: np.ndarray) -> str:
    """Mean of paired differences, with its Monte-Carlo error."""
    gap = own - theirs
    error = f"{gap.std(ddof=1) / np.sqrt(gap.size):.3f}" if gap.size > 1 else "one draw"
    return f"{gap.mean():.3f} ({error})"


def verdict(part: str, draws: Draws, ours: str = OURS) -> str:
    """Whether means are as low as the goal asks, and how far those of the nearest rivals are."""
    goal, rivals = GOALS[part]
    if not all(rivals.keys() <= one.keys() for one in draws):
        return f"Goal ({goal}): not all of its rivals were run on all draws."
    missed, nearest = [], []
    for by in MEASURES[part]:
        rest = [name for name in names(draws) if name not in (OURS, AUTO)]
        others = {name: pairs(draws, name, by, ours) for name in rest}
        for name, most in rivals.items():
            own, theirs = others[name]
            if own.mean() > most * theirs.mean():
                ratio = own.mean() / theirs.mean()
                missed.append(f"by {by} beside {name}, {ratio:.2f} times its mean")
        # A network that was run on some draws only is not compared with means over more of them.
        shared = max(own.size for own, _ in others.values())
        all_there = {name: both for name, both in others.items() if both[0].size == shared}
        gaps = {name: own - theirs for name, (own, theirs) in all_there.items()}
        name = max(gaps, key=lambda one: float(gaps[one].mean()))
        nearest.append(f"{by} {difference(*others[name])} beside {name}")
    return (
        f"Goal ({goal}), by means: {'missed ' + '; '.join(missed) if missed else 'met'}. Mean of "
        f"{ours} minus the least of the others, draw by draw: {'; '.join(nearest)}."
    )


def beside_release(part: str, draws: Draws) -> str:
    """By which measures the error is smaller than that of the release, and the time of a fit."""
    some = having(draws, RELEASE)
    found: dict[str, list[str]] = {}
    for by in MEASURES[part]:
        own, theirs = pairs(some, RELEASE, by)
        if not own.size:
            found.setdefault("there is nothing to compare", []).append(by)
            continue
        words = f"{by}, {own.mean():.3f} for {theirs.mean():.3f}, gap {difference(own, theirs)}"
        found.setdefault(better(own - theirs), []).append(words)
    sides = "; ".join(f"{who} by {', and by '.join(words)}" for who, words in found.items())
    lost = int((~np.isfinite(column(some, RELEASE, MEASURES[part][0]))).sum())
    ours, theirs = (column(some, name, "seconds").mean() for name in (OURS, RELEASE))
    return (
        f"Beside the release, on {len(some)} draw{'s' if len(some) > 1 else ''}"
        f"{f', of which it diverged on {lost}' if lost else ''}: {sides}. Four networks of "
        f"TransTEE take {ours:.0f} s, and the one of the release {theirs:.0f} s, "
        f"{theirs / ours:.2g} times as long. The release has {RECIPES[part]}"
    )


def better(gap: np.ndarray) -> str:
    """Who is, by errors of TransTEE minus those of the release and Student's t at 5 %."""
    if gap.size < 2:
        return "one draw cannot tell who is better"
    error = gap.std(ddof=1) / np.sqrt(gap.size)
    if abs(gap.mean()) <= student.ppf(0.975, gap.size - 1) * error:
        return f"{gap.size} draws cannot tell who is better"
    return "TransTEE is better" if gap.mean() < 0.0 else "the release is better"


def page(kept: dict[str, Any]) -> str:
    lines = [
        "# TransTEE beside other networks: doses of arms, texts, and graphs",
        "",
        "Made by `python benchmarks/transtee_rivals.py`; four networks each and early stopping "
        "alike, but for `ReleasedTransTEE`, what Zhang et al. (2022) released: one network by the "
        "recipe of the design, not tuned. Means over draws, with their Monte-Carlo error, and "
        "medians; seconds of the processor, which had other work too, and epochs are means. Rows "
        "of a table need not be from one day. Who is better beside the release is told by "
        "Student's t of paired gaps, at 5 %.",
    ]
    for part, words in WORDS.items():
        draws = list(kept.get(part, {}).values())
        if not draws:
            continue
        lines += ["", f"## {part.capitalize()}", "", words, "", *table(part, draws)]
        lines += ["", wins(part, draws), "", verdict(part, draws)]
        if having(draws, AUTO):
            lines += ["", f'With `lr="auto"`: {verdict(part, having(draws, AUTO), AUTO)}']
        if part in RECIPES and having(draws, RELEASE):
            lines += ["", beside_release(part, draws)]
        if part in kept.get("tuned", {}):
            shown = "; ".join(
                f"{name}: rate {one['lr']:g}{AT_END if one['lr'] in ENDS else ''}, decay "
                f"{one['weight_decay']:g}"
                for name, one in kept["tuned"][part].items()
            )
            lines += ["", f"Chosen on draw {TUNED_ON} {GRID}: {shown}."]
    absent = [f"`{part}`" for part in WORDS if not kept.get(part)]
    if absent:
        lines += ["", f"Parts of the script that were not run: {', '.join(absent)}."]
    return "\n".join([*lines, "", f"torch {torch.__version__.split('+')[0]}, one thread.", ""])
