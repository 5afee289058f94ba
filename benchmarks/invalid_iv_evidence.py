"""InvalidIV beside other estimators on real data; writes docs/evidence/invalid_iv.md.

    python benchmarks/invalid_iv_evidence.py            # 401k, card, study: a minute or two
    python benchmarks/invalid_iv_evidence.py card       # one part
    python benchmarks/invalid_iv_evidence.py study --results DIR    # of studies run elsewhere

Every finished part is kept in ``benchmarks/results/invalid_iv_evidence.json``; the page is written
from all that are there. The part ``study`` summarises what has been run of the three studies.
"""

import argparse
import json
import math
import textwrap
import time
import warnings
from pathlib import Path
from typing import Any

import causalkit as ck
from causalkit.study.summary import summarise

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "evidence" / "invalid_iv.md"
KEPT = Path(__file__).parent / "results" / "invalid_iv_evidence.json"
# What all designs of a study have in common, and the kind of its nuisances where it has one.
STUDIES = {
    "invalid_iv": ("", "linear"),
    "invalid_iv_one_sided": ("one-sided, ", "linear"),
    "invalid_iv_coverage": ("", "linear"),
}
MEASURES = {"bias": 3, "median_bias": 3, "se_ratio": 2, "coverage": 3, "mean_cpu_s": 2}
LEAST_RUNS = 10  # of a row of the page
COLUMNS = ("nuisance", "n", "weak", "interaction", "effect", "estimator")
COLUMNS += ("measure", "value", "mcse", "n_ok", "n_failed")

ASSUMES = {
    "OLS": "nothing unmeasured confounds; linear",
    "2SLS": "exclusion; linear",
    "LIML": "exclusion; linear",
    "AIPW, given L": "nothing unmeasured confounds, given L",
    "AIPW, given L and Z": "nothing unmeasured confounds, given L and Z",
    "PLIV": "exclusion; constant effect",
    "LATE (IIVM)": "exclusion, monotonicity",
    "GENIUS, constant effect": "I1 to I4; constant effect, linear nuisances",
    "InvalidIV (parametric)": "I1 to I4; one of M1 to M4 among linear and logistic models",
    "InvalidIV (debiased)": "I1 to I4; one of M1 to M4 learned well",
    "InvalidIV (selective, minimax)": "I1 to I4; one of M1 to M4 learned well by some candidates",
}


def college() -> ck.CausalData:
    """Card's data with schooling of more than 12 years as treatment, and age for experience."""
    data = years()
    beyond = (data.frame["educ"] > 12).astype(int)
    return data.assign(college=beyond).with_roles(treatment="college", kinds=("binary",))


def years() -> ck.CausalData:
    """Card's data with age in place of experience, which moves with schooling."""
    data = ck.load_dataset("card")
    kept = [name for name in data.roles.covariates if name not in ("exper", "expersq")]
    return data.with_roles(covariates=("age", *kept))


def measured(data: ck.CausalData, **arguments: Any) -> dict[str, Any]:
    """A fit, its strength and weak-robust set, and everything beside it."""
    started = time.process_time()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        est = ck.InvalidIV(random_state=0, **arguments).fit(data)
        compared = est.compare()
    kept = [w for w in said if issubclass(w.category, ck.errors.CausalKitWarning)]
    rows = []
    for name, row in zip(compared.names, compared.results, strict=True):
        low, high = row.conf_int()
        rows.append([name, row.estimand, row.estimate, row.std_error, low, high, row.n])
    weighted = est.estimate("variance-weighted")
    return {
        "rows": rows,
        "weighted": [weighted.estimate, weighted.std_error],
        "strength": str(est.strength()),
        "anderson_rubin": str(est.anderson_rubin()),
        "sensitivity": str(est.sensitivity()) if est.fit_.used.any() else "",
        "warnings": list(dict.fromkeys(f"{w.category.__name__}: {w.message}" for w in kept)),
        "missing": [note for note in compared.notes if "not available" in note],
        "n": len(data),
        "seconds": time.process_time() - started,
    }


def plans() -> dict[str, Any]:
    """401(k): the candidates of the page and the notebook."""
    return measured(ck.load_dataset("401k"), learners=["linear", "lasso", "boosting"])


def card() -> dict[str, Any]:
    """Card: college, and years of schooling."""
    few = {"method": "debiased", "learners": "ridge"}
    return {"college": measured(college(), **few), "years": measured(years(), **few)}


def study(results: Path) -> dict[str, Any]:
    """Bias and coverage in what has been run of the studies."""
    found = {}
    for name in STUDIES:
        folder = results / name
        if not folder.exists():
            continue
        study_file = ck.Study.from_toml(ROOT / "studies" / f"{name}.toml")
        table = summarise(study_file.with_options(out=str(results)).results())
        enough = table["n_ok"] + table["n_failed"] >= LEAST_RUNS
        kept = table[table["measure"].isin(MEASURES) & enough]
        columns = [name for name in COLUMNS if name in kept]
        found[name] = json.loads(kept[columns].to_json(orient="records"))
    return found


PARTS = ("401k", "card", "study")


def page(kept: dict[str, Any]) -> str:
    """The evidence page from the parts that have been measured."""
    text = [
        "# InvalidIV beside other estimators",
        "",
        "Made by `python benchmarks/invalid_iv_evidence.py`; each table says which line of code",
        "gives it. I1 to I4 and M1 to M4 are those of [the page](../invalid_iv.md).",
        "",
    ]
    if "401k" in kept:
        text += [
            "## 401(k) participation and net financial assets",
            "",
            "Thousand dollars, 9,275 households. Nobody who is not eligible participates: the",
            "rows of InvalidIV rest on no unmeasured confounding among the eligible, and on no",
            "exclusion restriction; those of 2SLS, PLIV and LATE the other way round.",
            "",
            *_code('ck.load_dataset("401k")', 'learners=["linear", "lasso", "boosting"]'),
            *_section(kept["401k"]),
            "Recomputed by other packages in `tests/data/test_examples.py`: difference by",
            "eligibility 18.86; adjusted for quadratics in income and age 9.41; 2SLS of",
            "participation with them 13.66 (1.98), with age² and income linear, as printed by",
            "Abadie (2003), 9.419 (2.152). The 2SLS row above has income and age linear.",
            "",
        ]
    for key, heading, words in (
        ("college", "College and wages", "Log wage on more than 12 years of schooling"),
        ("years", "Years of schooling and wages", "Log wage on years of schooling"),
    ):
        if "card" in kept:
            text += [
                f"## {heading}",
                "",
                f"{words}, 3,010 men (Card 1995); the instrument is a four-year college nearby.",
                "Covariates are age, race and places. Age takes the place of experience, which",
                "moves with schooling; at a given age a year at school is a year less at work, so",
                "that least squares gives less than the published 0.0747. Strength first.",
                "",
                *_code(f"{key}()", 'method="debiased", learners="ridge"'),
                *_section(kept["card"][key]),
            ]
    if kept.get("study"):
        text += _study_section(kept["study"])
    return "\n".join(text)


def _code(data: str, arguments: str) -> list[str]:
    source = "" if data.startswith("ck.") else "  # of benchmarks/invalid_iv_evidence.py"
    return [
        "```python",
        f"data = {data}{source}",
        f"est = ck.InvalidIV({arguments}, random_state=0).fit(data)",
        "est.compare(), est.strength(), est.anderson_rubin(), est.sensitivity()",
        "```",
        "",
    ]


def _section(found: dict[str, Any]) -> list[str]:
    lines = [found["strength"], "", *(f"> {line}\n" for line in found["warnings"])]
    lines += [
        "| estimator | estimand | estimate | SE | 95 % interval | rows | assumes |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    for name, estimand, value, error, low, high, n in found["rows"]:
        places = 3 if abs(error) < 1 else 2
        lines.append(
            f"| {name} | {estimand} | {value:.{places}f} | {error:.{places}f} | "
            f"[{low:.{places}f}, {high:.{places}f}] | {n:,} | {ASSUMES.get(name, '')} |"
        )
    value, error = found["weighted"]
    lines += ["", f"Variance-weighted effect: {value:.3f} ({error:.3f}). {found['anderson_rubin']}"]
    lines += ["", found["sensitivity"], ""] if found["sensitivity"] else [""]
    lines += [f"* {note}" for note in found["missing"]]
    return [*lines, "", f"{found['seconds']:.0f} seconds of the processor.", ""]


def _study_section(found: dict[str, Any]) -> list[str]:
    lines = [
        "## Where the truth is known",
        "",
        "`causalkit sim run studies/invalid_iv.toml`, and so `studies/invalid_iv_one_sided.toml`",
        "and `studies/invalid_iv_coverage.toml`, whose rows give their size. 2,000 rows unless the",
        "table says otherwise; average effect 1 (0 in the null design), direct effect of the",
        "instrument 0.7, five folds, `calibrate=True`. Monte-Carlo errors in parentheses.",
        "`interaction = 0.5` breaks assumption I3 on purpose, and OLS and 2SLS are biased by",
        "design.",
        "",
        "A method that finds no average effect, as it should where the variance hardly moves,",
        "counts as failed; what is left there is a selection. The studies ask for more runs than",
        "there were of the costly methods (`--only`, `--max-reps`); the third column says how",
        f"many, and fewer than {LEAST_RUNS} are not shown.",
        "",
        *_coverage(found),
        "| design | estimator | runs (failed) | bias | median bias | SE / SD | coverage | CPU s |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name in found:
        lines += _study_rows(found[name], name)
    return [*lines, ""]


def _coverage(found: dict[str, Any]) -> list[str]:
    """What the runs say of the intervals of InvalidIV, with the error that so few runs leave."""
    low, kept = [], 0
    for name, records in found.items():
        for record in records:
            if record["measure"] != "coverage" or record["estimator"] in ("OLS", "2SLS"):
                continue
            kept += 1
            band = 3.0 * math.sqrt(0.95 * 0.05 / record["n_ok"])
            if abs(record["value"] - 0.95) > band:
                design = _design(record, name)
                low.append(f"{design}, {record['estimator']}: {record['value']:.3f}")
    words = "; ".join(low) if low else "none"
    text = (
        f"Of {kept} coverages of InvalidIV these differ from .95 by more than 3 of the Monte-Carlo "
        f"errors that .95 would have in so many runs: {words}. Where runs are few such a band is "
        "wide (±.12 with 30 runs), and being inside it says little."
    )
    return [*textwrap.wrap(text, 92), ""]


def _design(record: dict[str, Any], study_name: str) -> str:
    """Name of the design of a record, by what differs from the plain one."""
    prefix, design = STUDIES[study_name]
    if record.get("effect") == "null":
        return f"{prefix}null"
    for name, plain in (("nuisance", "linear"), ("weak", 0.0), ("interaction", 0.0)):
        value = record.get(name)
        if value not in (None, plain):
            design = value if isinstance(value, str) else f"{name} = {value:g}"
    size = record.get("n")
    return f"{prefix}{design}" if size is None else f"{prefix}{design}, {size:,.0f} rows"


def _study_rows(records: list[dict[str, Any]], study_name: str) -> list[str]:
    cells: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for record in records:
        key = (_design(record, study_name), record["estimator"])
        cells.setdefault(key, {})[record["measure"]] = record
    lines = []
    for (design, estimator), measures in cells.items():
        shown = []
        for measure, places in MEASURES.items():
            found = measures.get(measure)
            if found is None or found["value"] is None:
                shown.append("")
                continue
            error = "" if found["mcse"] is None else f" ({found['mcse']:.{places}f})"
            shown.append(f"{found['value']:.{places}f}{error if measure != 'mean_cpu_s' else ''}")
        some = next(iter(measures.values()))
        runs = f"{some['n_ok'] + some['n_failed']} ({some['n_failed']})"
        lines.append(f"| {design} | {estimator} | {runs} | {' | '.join(shown)} |")
    return lines


def main() -> None:
    """Measure the parts named on the command line and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("parts", nargs="*", default=PARTS, metavar="part")
    parser.add_argument("--results", type=Path, default=ROOT / "results", metavar="DIR")
    arguments = parser.parse_args()
    measure = {"401k": plans, "card": card, "study": lambda: study(arguments.results)}
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    for part in arguments.parts:
        kept[part] = measure[part]()
        KEPT.parent.mkdir(exist_ok=True)
        KEPT.write_text(json.dumps(kept, indent=1, default=float) + "\n")
        PAGE.write_text(page(kept))
        print(f"{part}: done", flush=True)


if __name__ == "__main__":
    main()
