"""Sections of the image page from what ``image_checks.py`` and ``image_choice.py`` have kept."""

import json
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

KEPT = Path(__file__).parent / "results"
TAU = np.array([-0.5, 1.5])
Z = 1.96
Records = list[dict[str, Any]]


def told(text: str) -> list[str]:
    """A paragraph."""
    return textwrap.wrap(text, width=100, break_long_words=False, break_on_hyphens=False)


def columns(records: Records, *names: str) -> tuple[np.ndarray, ...]:
    """Entries of the records by name, one row per record."""
    return tuple(np.array([record[name] for record in records], dtype=float) for name in names)


def line(
    what: str,
    values: Sequence[float] | np.ndarray,
    goal: str = "",
    fine: Callable[[float], bool] | None = None,
    *,
    worst: Callable[[Any], Any] = max,
) -> str:
    """Mean and worst over data sets, and in how many of them the goal holds."""
    held = f"{sum(map(fine, values))} of {len(values)}" if fine else ""
    mean = np.mean(values)
    return f"| {what} | {len(values)} | {mean:.2f} | {worst(values):.2f} | {goal} | {held} |"


HEAD = [
    "| measured | data sets | mean | worst | goal | data sets that meet it |",
    "|---|---:|---:|---:|---|---:|",
]


def posterior(nuts: Records, vi: Records) -> list[str]:
    """The full-rank Gaussian beside the sampler, and beside the truth."""
    full, sampled = ([record[name] for record in nuts] for name in ("full_rank", "nuts"))
    (mean, sd), (mean_of_draws, sd_of_draws) = (columns(of, "mean", "sd") for of in (full, sampled))
    gaps = np.abs((mean - mean_of_draws) / sd_of_draws).max(axis=1)
    ratio = sd / sd_of_draws
    # Of the two effects of a data set, the ratio that is further from one.
    furthest = ratio[np.arange(len(ratio)), np.abs(np.log(ratio)).argmax(axis=1)]
    rhat, ess, diverged = columns(nuts, "max_rhat", "min_ess_bulk", "divergences")
    low, high, center, width = columns(vi, "low", "high", "mean", "sd")
    typical = width.mean(axis=0)
    covered = ((low <= TAU) & (high >= TAU)).mean(axis=0)
    bias, spread = (center - TAU).mean(axis=0), (center - TAU).std(axis=0, ddof=1)
    error = spread / np.sqrt(len(vi))
    fine = "met" if ((covered >= 0.85) & (np.abs(bias) <= 0.06)).all() else "missed"
    one = nuts[0]
    return [
        "### Posterior of the mixture",
        "",
        *told(
            "Trials of `embedding_rct` whose 800 training rows have four given features; normal "
            "likelihood. The full-rank Gaussian beside NUTS on the same rows, the worse of both "
            "effects:"
        ),
        "",
        *HEAD,
        line("distance of means, in posterior sd", gaps, "at most .5", lambda v: v <= 0.5),
        line(
            "sd by the Gaussian over sd by NUTS",
            furthest,
            ".7 to 1.4",
            lambda v: 0.7 <= v <= 1.4,
            worst=lambda values: max(values, key=lambda v: abs(np.log(v))),
        ),
        "",
        *told(
            f"NUTS ran {one['n_chains']} short chains of {one['n_draws']} draws: R-hat is at "
            f"most {rhat.max():.3f}, and above the 1.01 asked for in {int((rhat > 1.01).sum())} of "
            f"{len(nuts)}; the bulk effective sample size is at least {ess.min():.0f} (400 asked "
            f"for); {int(diverged.sum())} draws diverged."
        ),
        "",
        *told(
            f"Against the truth, {len(vi)} data sets: 95 % intervals of the Gaussian hold the two "
            f"effects in {covered[0]:.3f} and {covered[1]:.3f} (goal .85 to 1), and its means are "
            f"off by {bias[0]:+.3f} ({error[0]:.3f}) and {bias[1]:+.3f} ({error[1]:.3f}) on "
            f"average, with Monte-Carlo errors in brackets (goal .06 either way): {fine}. Its "
            f"standard deviations are {typical[0]:.3f} and {typical[1]:.3f} on average; the means "
            f"spread by {spread[0]:.3f} and {spread[1]:.3f}."
        ),
        "",
    ]


# A side has four squares of 8 pixels; a motif of 8 that begins at one of 25 pixels touches one of
# them where it begins with a square, at four, and else two.
CHANCE = ((4 * 1 + 21 * 2) / 25 / 4) ** 2
DESIGNS = {"motif": "motif alone", "decoys": "five decoys"}


def salience(records: Records) -> list[str]:
    """Where derivative and costliest square lie, by trained and by random weights."""
    lines = [
        "### Salience",
        "",
        "1,200 images of which 480 evaluate; 15 epochs where the motif is all that stands out, 30",
        "where five decoys as strong as it are in every image (`image_rct(decoys=5)`). Shares are",
        "of the evaluation images with a motif; for random weights, the mean over five networks.",
        "",
        *HEAD,
    ]
    for design, words in DESIGNS.items():
        own = [record for record in records if record["design"] == design]
        for at in ("mode", "posterior"):
            names = ("peak", "noisy", "mass", "square")
            peak, noisy, mass, square = columns([record[at] for record in own], *names)
            for what, values, goal in (
                ("largest derivative on the motif", peak, 0.9),
                ("the same with `noise=1`", noisy, 0.9),
                ("share of the gradient on the motif", mass, 0.15),
                ("costliest square overlaps the motif", square, 0.95),
            ):
                lines.append(
                    line(
                        f"{words}, {at}: {what}",
                        values,
                        f"at least {goal:.2f}".replace("0.", "."),
                        lambda v, goal=goal: v >= goal,
                        worst=min,
                    )
                )
        for name, what in (
            ("peak", "largest derivative"),
            ("noisy", "the same with `noise=1`"),
            ("square", "costliest square"),
        ):
            blank = [np.mean([each[name] for each in record["random"]]) for record in own]
            lines.append(
                line(f"{words}, random weights: {what}", blank, "at most .20", lambda v: v <= 0.2)
            )
    return [*lines, "", *_salience_words(records), ""]


def _salience_words(records: Records) -> list[str]:
    missed, noisy = (
        {at: sum(record[at][what] < 0.9 for record in records) for at in ("mode", "posterior")}
        for what in ("peak", "noisy")
    )
    squares = [record[at]["square"] for record in records for at in ("mode", "posterior")]
    most = max(
        each["peak"] for record in records if record["design"] == "decoys"
        for each in record["random"]
    )  # fmt: skip
    return [
        *told(
            "The goal for the largest derivative is missed in "
            f"{missed['mode']} of {len(records)} fits at the mode and in {missed['posterior']} of "
            f"{len(records)} at the posterior: a single pixel is a poor witness. Averaged over "
            f"copies of the image with noise it is missed in {noisy['mode']} and "
            f"{noisy['posterior']} (20 copies, noise of one standard deviation of each band: "
            "chosen among .3, .6 and 1 on seeds 100 to 109). The costliest square is the better "
            f"one, on the motif in {np.mean(squares):.3f} of the images, and in "
            f"{min(squares):.2f} for the worst fit."
        ),
        "",
        *told(
            "Random weights miss a lone motif's goal, as it is all that stands out and maxima over "
            "places seek contrast whatever the weights; with decoys the derivative meets it "
            f"(largest of a single network {most:.2f}). The goal for the square is hard on chance: "
            f"one drawn at random overlaps the motif in {CHANCE:.2f} of the images."
        ),
    ]


def transport(records: Records, small: Records) -> list[str]:
    """Share of places that count as unlike those of training."""
    same, shifted = columns(records, "same", "shifted")
    held = int((shifted > 0.5).sum())
    few, k = columns(small, "same", "evaluated")
    # Above 99 are places beyond all but the farthest hundredth of the k evaluation images.
    promised = np.mean((np.floor(0.01 * k - 1e-9) + 1) / (k + 1))
    error = few.std(ddof=1) / np.sqrt(few.size)
    words = (
        f"Up to .05 counts as about .01. The goal for the changed band is met in {held} of "
        f"{len(shifted)} data sets, with {shifted.min():.3f} the least share. Support is of the "
        "encoder's features, or of mean and standard deviation of each band if these lie further "
        "out: features alone, which learned to tell a pattern, see little of a band that is "
        "changed as a whole."
    )
    of_few = (
        f"How far is usual is told by the evaluation images, which nothing was learned from. In "
        f"{few.size} trials of 260 sequences, {k.mean():.0f} of them for evaluation, "
        f"{few.mean():.3f} ({error:.3f}) of 1,000 other places of the same design were above 99; "
        f"{promised:.3f} is the most to expect."
    )
    return [
        "### Transport",
        "",
        *told(
            "600 new images for each fit on 1,200 (motif alone): of the same design, and with the "
            "first band multiplied by 1.5, plus 1. Shares that count as unlike the trial's images:"
        ),
        "",
        *HEAD,
        line("same design", same, "about .01", lambda v: v <= 0.05),
        line("first band changed", shifted, "above .5", lambda v: v > 0.5, worst=min),
        "",
        *told(words),
        "",
        *told(of_few),
        "",
    ]


def units(records: Records) -> list[str]:
    """Coverage of honest effects where units share images."""
    lines = [
        "### Units that share images",
        "",
        *told(
            'Trials of `image_rct(design="shared")`: 1 + Poisson(5) units at each of 500 images, '
            "200 of which evaluate, treatment drawn by image in nine of ten, and a shock to each "
            "village. The features are given (brightness, and the type with noise). Coverage of "
            "the honest effects of the clusters by their 95 % intervals, with the standard errors "
            "of the default, clustered by image, and with those of independent units (goal .95; "
            "Monte-Carlo errors in brackets):"
        ),
        "",
        "| sd of the shock | effects | clustered by image | as if independent | "
        "spread of the errors | mean SE by image | mean SE if independent |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for shock in sorted({record["shock"] for record in records}):
        own = [record for record in records if record["shock"] == shock]
        names = ("estimate", "truth", "low", "high", "std_error", "alone")
        estimate, truth, low, high, error, alone = columns(own, *names)
        held = (low <= truth) & (truth <= high)
        bare = np.abs(estimate - truth) <= Z * alone
        # The two effects of a trial are not independent: the error is that over trials.
        shares = [
            f"{of.mean():.3f} ({of.mean(axis=1).std(ddof=1) / np.sqrt(len(own)):.3f})"
            for of in (held, bare)
        ]
        lines.append(
            f"| {shock:g} | {held.size} | {shares[0]} | {shares[1]} | "
            f"{(estimate - truth).std(ddof=1):.3f} | {error.mean():.3f} | {alone.mean():.3f} |"
        )
    return [*lines, ""]


def choice(counts: dict[str, dict[str, int]]) -> list[str]:
    """In how many data sets the number of clusters is the number of types."""
    lines = [
        "## How many clusters",
        "",
        'Data sets in which `n_clusters="auto"` takes the number of types',
        "(`python benchmarks/image_choice.py`): with four features that are given and one to four",
        "clusters (units), and from pixels by the default encoder with one to three (images).",
        "",
        "| design | data sets | right | taken: number of clusters (data sets) |",
        "|---|---:|---:|---|",
    ]
    for case, found in counts.items():
        right = found.get("2" if case.startswith("two") else "1", 0)
        taken = ", ".join(f"{number} ({times})" for number, times in found.items())
        lines.append(f"| {case} | {sum(found.values())} | {right} | {taken} |")
    few = min(sum(found.values()) for case, found in counts.items() if "images" in case)
    return [
        *lines,
        "",
        *told(
            f"From pixels, where one choice takes minutes, designs have {few} data sets or more: "
            "not enough to say how often it is right."
        ),
        "",
        *told(
            "Compared is what knowing the place adds to the predictive density: out of fold with "
            "features that are given, on the selection rows alone from pixels. By the density "
            "itself, within one standard error on the selection rows as first specified, seeds 0 "
            "to 9 gave three for two in four of ten with normal noise, and more than one for one "
            "in all ten with skewed noise, with given features: more types always fit its shape "
            "better."
        ),
        "",
    ]


def sections() -> list[str]:
    """Lines of all sections, from the kept records."""
    checks = json.loads((KEPT / "image_checks.json").read_text(encoding="utf-8"))
    counts = json.loads((KEPT / "image_choice.json").read_text(encoding="utf-8"))
    return [
        "## Posterior, salience, transport and shared images",
        "",
        "Records by `python benchmarks/image_checks.py`, over data sets that differ in all draws.",
        "",
        *posterior(checks["nuts"], checks["vi"]),
        *salience(checks["salience"]),
        *transport(checks["transport"], checks["small"]),
        *units(checks["units"]),
        *choice(counts),
    ]
