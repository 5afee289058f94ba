"""What a user does not ask for is not loaded: measured in a fresh interpreter."""

import json
import subprocess
import sys

# Packages behind an extra, and whatever would make `import causalkit` slow.
OPTIONAL = (
    *("torch", "pymc", "arviz", "econml", "matplotlib"),
    *("dask", "distributed", "zarr", "duckdb", "polars"),
)
SLOW = ("numpy", "pandas", "scipy", "sklearn", "xarray", "pyarrow", "lightgbm", "formulaic")

FIT = """
import numpy as np, pandas as pd, causalkit as ck
rng = np.random.default_rng(0)
unit, time = np.repeat(np.arange(20), 4), np.tile(np.arange(4), 20)
frame = pd.DataFrame({"unit": unit, "time": time, **{c: rng.normal(size=80) for c in "ydx"}})
data = ck.CausalData.from_frame(
    frame, outcome="y", treatment="d", covariates="x", unit="unit", time="time")
result = ck.PanelDML(learner="linear", n_folds=2, random_state=0).fit(data).estimate()
result.summary(), result.tidy()
"""


def loaded(code: str) -> set[str]:
    """Top-level names in ``sys.modules`` after running ``code`` in a new interpreter."""
    report = "\nimport json, sys; print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code + report],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_root_loads_nothing_heavy():
    assert loaded("import causalkit").isdisjoint(OPTIONAL + SLOW)


def test_reading_the_version_and_info_loads_nothing_heavy():
    assert loaded("import causalkit as ck; ck.__version__; ck.info(); dir(ck)").isdisjoint(
        OPTIONAL + SLOW
    )


def test_a_data_set_a_linear_fit_and_its_summary_load_no_optional_package_and_no_boosting():
    assert loaded(FIT).isdisjoint((*OPTIONAL, "lightgbm"))


def test_the_command_line_shows_its_help_without_loading_any_numbers():
    code = "import sys; from causalkit.cli import main; main(['--help'], standalone_mode=False)"
    assert loaded(code).isdisjoint(OPTIONAL + SLOW)
