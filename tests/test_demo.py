"""The demonstration shows what the library gives, and ranks methods as theory does."""

import io
import re

import numpy as np
import pandas as pd
import pytest

from causalkit import demo, demo_doses, demo_images, demo_parts
from causalkit.errors import MissingDependencyError
from causalkit.results import EffectResult, table


def effect(value: float, error: float) -> EffectResult:
    """A result with a given estimate and standard error."""
    return EffectResult(
        terms=("d",),
        estimates=np.array([value]),
        vcov=np.array([[error**2]]),
        estimand="ate",
        estimator="made up",
        outcome="y",
        treatment=("d",),
        n=100,
        inference="none",
    )


def test_the_table_shows_estimate_interval_and_error_to_three_digits_of_the_standard_error():
    shown = table({"one": effect(1.25, 0.0500), "two": effect(1.0625, 0.0500)})
    grid = demo._grid(shown, truth=1.0)
    # ± 1.95996 × 0.05: only the second interval contains 1.
    assert grid.header == ("", "estimate", "std. error", "95% interval", "error", "covers")
    assert grid.rows == (
        ("one", "1.2500", "0.0500", "[1.1520, 1.3480]", "0.2500", "no"),
        ("two", "1.0625", "0.0500", "[0.9645, 1.1605]", "0.0625", "yes"),
    )


def test_without_a_truth_there_are_no_columns_about_it():
    assert demo._grid(table({"one": effect(1.25, 0.05)})).header[-1] == "95% interval"


def absent(name: str, *, extra: str, needed_by: str) -> None:
    """What ``require`` does where a package is not installed."""
    raise MissingDependencyError(f"{needed_by} needs {name} from {extra}")


def test_a_missing_plot_package_is_named_before_anything_is_computed(monkeypatch, tmp_path):
    steps: list[str] = []
    monkeypatch.setattr(demo, "require", absent)
    with pytest.raises(MissingDependencyError, match="plots"):
        demo.run_demo(tmp_path / "out", echo=steps.append, progress=steps.append)
    assert not steps
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("chapter_of", "topic", "part"),
    [
        (demo_doses.known_curve, "doses", "simulated doses"),
        (demo_images.effects_by_image, "images", "images of places"),
    ],
)
def test_a_chapter_says_why_it_is_left_out_without_torch(monkeypatch, chapter_of, topic, part):
    steps: list[str] = []
    monkeypatch.setattr(demo_parts, "require", absent)
    chapter = chapter_of(steps.append)
    assert chapter.text.endswith(f"Left out: the chapter on {topic} needs torch from deep")
    assert steps == [f"{part}: left out, torch is not installed"]
    assert not chapter.files


def test_the_chapter_on_images_finds_clusters_and_draws_one_of_them():
    chapter = demo_images.effects_by_image(print)
    table = pd.read_csv(io.StringIO(chapter.files["images_clusters.csv"]))
    error = (table["estimate"] - table["truth"]).abs()
    assert (error < 3.5 * table["std_error"]).all()
    assert table["truth"].diff().iloc[1] > 1.5
    assert max(map(len, chapter.text.splitlines())) <= 80
    (figure,) = [section for section in chapter.sections if type(section).__name__ == "Figure"]
    assert len(figure.drawing.images) == 2


@pytest.mark.slow
def test_the_demo_ranks_the_methods_and_writes_one_page_that_needs_no_other(tmp_path):
    shown: list[str] = []
    steps: list[str] = []
    report = demo.run_demo(tmp_path / "out", echo=shown.append, progress=steps.append)
    page = report.read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") >= 8
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    text = "\n".join(shown)
    assert max(map(len, text.splitlines())) <= 80
    # Our within regression beside the published 0.0800 (0.0227).
    assert re.search(r"^fixed effects +0\.0800 +0\.0227 ", text, flags=re.MULTILINE)
    assert len(steps) >= 10

    tidy = pd.read_csv(report.parent / "simulated.csv").set_index("model")
    error = (tidy["estimate"] - 1.0).abs()
    pooled, within, means, basis = (error[name] for name in demo.METHODS)
    # Fuhr & Papies (2024), figure 4, cell C u-shaped: both are far off, Mundlak terms are not.
    assert min(pooled, within) > 4.0 * basis
    assert means < min(pooled, within)
    assert "one-sided non-compliance" in text.replace("\n", " ")
    invalid = pd.read_csv(report.parent / "simulated_instrument.csv").set_index("model")
    covers = (invalid["conf_low"] <= 1.0) & (invalid["conf_high"] >= 1.0)
    assert covers["InvalidIV (debiased)"]
    # The direct effect misleads these by about two, twenty standard errors.
    assert not covers[["2SLS", "PLIV", "LATE (IIVM)"]].any()
    # Four standard errors: a false alarm once in 1.6e4 seeds if the estimator is right.
    assert basis < 4.0 * tidy["std_error"].iloc[-1]
    doses = pd.read_csv(report.parent / "simulated_doses.csv")
    error = np.sqrt(np.mean((doses["estimate"] - doses["truth"]) ** 2))
    assert error < 0.25 * doses["truth"].std()
    assert "An outcome along a dose, where the curve is known" in text
