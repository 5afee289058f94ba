"""Numbers that others give for the designs of ``transtee_evidence.py``, beside those of TransTEE.

Tables of the paper itself could not be had but for one cell, which a user of the released code
quotes. Runs of the released code are single ones, of its own recipe.
"""

from typing import Any

AFTER = (
    "By the recipe of their own (first table), DRNet and VCNet come nearer to the numbers of the "
    "released code than trained as TransTEE is; TransTEE is below either.",
    "Beside other networks on doses of arms, texts, articles, graphs and molecules: "
    "[transtee_rivals.md](transtee_rivals.md).",
)


def elsewhere(kept: dict[str, Any]) -> list[str]:
    """Lines of the section."""
    out, ate = kept["t3"]["TransTEE"]["out"], kept["t3"]["TransTEE"]["eps_ate"]
    binary = f"{out['mean']:.3f} ({out['mcse']:.3f}), {out['median']:.3f}, {ate['mean']:.3f}"
    small = kept["t4"]["500 rows"]["all"]
    shifted = kept["t2"]["1.9 to 2.0"]["all"]
    released = "released code: TransTEE; VCNet; DRNet; TARNet"
    rows = [
        (
            "binary IHDP, replications 1 to 100, linear T-learner: √PEHE, median, ε_ATE",
            "2.476 (0.392), 1.127, 0.296",
            binary,
        ),
        (
            "binary IHDP, 1,000 replications, as others' tables quote them: √PEHE and ε_ATE of "
            "TARNet; CFR; the best",
            "0.95, 0.28; 0.76, 0.27; 0.60, 0.25",
            binary,
        ),
        (
            f"IHDP continuous, h = 1, split 0, {released}",
            "0.115; 0.308; 1.165; 1.167",
            f"{kept['t1']['h = 1']['errors'][0]:.3f}",
        ),
        (
            f"IHDP continuous, 1.9 to 2.0, split 0, {released}",
            "0.291; not finite; 3.82; 5.91",
            f"{kept['t2']['1.9 to 2.0']['errors'][0]:.3f}",
        ),
        (
            f"synthetic, 500 rows, one data set, {released}",
            "0.022; 0.038; 0.052; 0.054",
            f"{small['mean']:.3f} ({small['mcse']:.3f}), 20 data sets",
        ),
        (
            "IHDP continuous, extrapolation with h = 2, 100 splits, the paper's Table 2 as quoted",
            "0.275 (0.150)",
            f"{shifted['mean']:.3f} ({shifted['mcse']:.3f}), 20 splits",
        ),
    ]
    return [
        "",
        "## Beside numbers of others",
        "",
        "Not in the same run, nor always on the same replications; for orientation.",
        "",
        "| what | theirs | TransTEE here |",
        "|---|---|---|",
        *(f"| {what} | {theirs} | {ours} |" for what, theirs, ours in rows),
        *(line for text in AFTER for line in ("", text)),
    ]
