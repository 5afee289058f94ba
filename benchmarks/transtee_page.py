"""The page that ``benchmarks/transtee.py`` writes from what it measured."""

import numpy as np

GOAL_IHDP = 5.0
GOAL_CURVES = 20.0
GOAL_BYTES = 2 * 2**30
GOAL_TOGETHER = 30.0
GOAL_SHARE = 0.25


def page(records: list[dict]) -> str:
    """The latest measurement of each part, as a page."""
    latest = {(r["part"], r.get("individual"), r.get("precision")): r for r in records}
    of = {part: [r for key, r in latest.items() if key[0] == part] for part in SECTIONS}
    text = [
        "# How fast TransTEE is, and how much memory it takes",
        "",
        "Made by `python benchmarks/transtee.py`, which measures the released recipe, written anew",
        "in `benchmarks/transtee_released.py`, and causalkit in one run. Seconds are of the clock",
        "unless they are said to be of the processor. The machine did nothing else meanwhile.",
        "",
    ]
    for part, section in SECTIONS.items():
        text += section(of[part]) if of[part] else []
    if not of["together"]:
        text += ["## GPU", "", "Not measured: no CUDA device was there.", ""]
    where = records[-1]
    threads = ", ".join(f"{part} {rows[-1]['threads']}" for part, rows in of.items() if rows)
    text.append(
        f"Measured on {where['cores']} cores ({where['cpu']}), threads: {threads}, "
        f"Python {where['versions']['python']}, torch {where['torch']}."
    )
    return "\n".join([*text, ""])


def verdict(met: bool) -> str:  # noqa: FBT001
    return "met" if met else "missed"


def _ihdp_section(rows: list[dict]) -> list[str]:
    r = rows[-1]
    ours = np.array(r["ours_errors"])
    text = [
        "## Ten replications of binary IHDP",
        "",
        f"{'The published' if r['published_splits'] else 'Our'} splits, 672 training rows. "
        f"`python benchmarks/transtee.py ihdp{' --full' if r['whole'] else ''} --threads "
        f"{r['threads']}{' --splits FILE' if r['published_splits'] else ''}`. "
        "`TransTEE.fit_many` trains all ten together, four networks each, with early stopping; the "
        "released recipe is "
        "1,500 epochs for each"
        + (
            ", run whole."
            if r["whole"]
            else ", of which some of the first replication were timed and taken up to all."
        ),
        "",
        "| | seconds | of the processor | median √PEHE | worst √PEHE | diverged |",
        "|---|---:|---:|---:|---:|---:|",
        f"| causalkit | {r['ours_seconds']:.0f} | {r['ours_processor_s']:.0f} | "
        f"{np.median(ours):.3f} | {ours.max():.2f} | 0 |",
    ]
    theirs = np.array(r.get("released_errors", []), dtype=float)
    errors, compared = "| | ", "Errors are compared where the recipe is run whole."
    if theirs.size:
        finite = theirs[np.isfinite(theirs)]
        median = np.median(np.where(np.isfinite(theirs), theirs, np.inf))
        errors = f"{median:.3f} | {finite.max():.2f} | {theirs.size - finite.size}"
        compared = (
            f"Goal a median √PEHE no worse than that of the recipe: "
            f"{verdict(np.median(ours) <= median)}, at {np.median(ours) / median:.2f} times it. "
            "A diverged fit counts as infinite in a median, and not in the worst."
        )
    return [
        *text,
        f"| released | {r['released_seconds']:.0f} | {r['released_processor_s']:.0f} | {errors} |",
        "",
        f"Ratio of seconds {r['ratio_seconds']:.1f} on {r['cores']} cores, both with "
        f"{r['threads']} thread(s) of torch's; goal at least {GOAL_IHDP:g}: "
        f"{verdict(r['ratio_seconds'] >= GOAL_IHDP)}. Threads train networks of ours side by side, "
        "and gain nothing in operations as small as those of the recipe. Epochs of the networks: "
        f"{min(r['epochs'])} to {max(r['epochs'])}. {compared}",
        "",
    ]


def _alone_section(rows: list[dict]) -> list[str]:
    r = rows[-1]
    return [
        "## Together and alone",
        "",
        f"{r['networks']} networks trained in one stack and one by one, 20 epochs: effects differ "
        f"by at most {r['largest_gap_sd']:.1e} standard deviations of the outcome. Seconds of the "
        f"processor: {r['together_processor_s']:.1f} together, {r['apart_processor_s']:.1f} apart.",
        "",
    ]


def _curves_section(rows: list[dict]) -> list[str]:
    r = rows[-1]
    return [
        "## Dose curves",
        "",
        f"1,000 rows at 100 doses, {r['covariates']} covariates, width {r['width']}: one block of "
        f"queries {r['block_processor_s']:.2f} s of the processor, a pass for each dose "
        f"{r['passes_processor_s']:.2f} s, {r['ratio']:.1f} times as long (largest difference "
        f"{r['largest_gap']:.0e}). Goal at least {GOAL_CURVES:g}: "
        f"{verdict(r['ratio'] >= GOAL_CURVES)}. The released network of width "
        f"{r['released_width']}, a pass for each dose: {r['released_processor_s']:.2f} s.",
        "",
    ]


def _memory_section(rows: list[dict]) -> list[str]:
    return [
        "## Memory of curves",
        "",
        "| rows | doses | curve of every row | seconds | peak above the data, MiB | result, MiB |",
        "|---:|---:|---|---:|---:|---:|",
        *(
            f"| {r['rows']:,} | {r['doses']} | {'kept' if r['individual'] else 'averaged'} | "
            f"{r['seconds']:.0f} | {r['peak_bytes'] / 2**20:.0f} | "
            f"{r['result_bytes'] / 2**20:.0f} |"
            for r in rows
        ),
        "",
        f"Goal: at most {GOAL_BYTES / 2**30:g} GiB, "
        f"{verdict(max(r['peak_bytes'] for r in rows) <= GOAL_BYTES)}.",
        "",
    ]


def _together_section(rows: list[dict]) -> list[str]:
    r = rows[-1]
    return [
        "## GPU",
        "",
        f"{r['gpu']}, 30 epochs, data of IHDP's shape: one replication {r['one_s']:.1f} s, a "
        f"hundred together "
        f"{r['hundred_s']:.1f} s, {r['ratio']:.1f} times as long. Goal at most {GOAL_TOGETHER:g}: "
        f"{verdict(r['ratio'] <= GOAL_TOGETHER)}. With encoder and decoder compiled: "
        f"{r['compiled_s']:.1f} s; effects of one replication differ by at most "
        f"{r['compiled_gap_sd']:.1g} sd (goal .001).",
        "",
    ]


def _throughput_section(rows: list[dict]) -> list[str]:
    return [
        f"Width 128, batches of 4,096; goal at least {GOAL_SHARE:g} of 20 TFLOP/s:",
        "",
        "| precision | rows per second | TFLOP/s | share of 20 TFLOP/s | share of the peak |",
        "|---|---:|---:|---:|---:|",
        *(
            f"| {r['precision']} | {r['rows_per_s']:,.0f} | {r['flops'] / 1e12:.2f} | "
            f"{r['share']:.2f} | {r['share_of_peak']:.3f} |"
            for r in rows
        ),
        "",
    ]


SECTIONS = {
    "ihdp": _ihdp_section,
    "alone": _alone_section,
    "curves": _curves_section,
    "memory": _memory_section,
    "together": _together_section,
    "throughput": _throughput_section,
}
