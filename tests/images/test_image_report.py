"""The page for those who decide says what the results say, in words."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

import causalkit as ck
from causalkit.errors import ArgumentError, ExtrapolationWarning, StorageError
from causalkit.images.report import _opening, _told


class Words(HTMLParser):
    """Text between the tags, and the number of pictures."""

    def __init__(self, page):
        super().__init__()
        self.said, self.pictures = [], 0
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.pictures += tag == "img"

    def handle_data(self, data):
        self.said.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.said))


@pytest.fixture(scope="module")
def page(motif_fit, motif_rct, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    assert motif_fit.report(path, motif_rct.blind(), title="Cash in Kalangala") == path
    return Words(path.read_text(encoding="utf-8"))


def test_effects_of_clusters_and_of_all_are_those_of_the_results(page, motif_fit):
    for row in (motif_fit.estimate("ate").tidy().iloc[0], *motif_fit.cluster_effects().iloc):
        assert f"{row['estimate']:.2f} (95% interval [{row['conf_low']:.2f}" in page.text
    assert "it raises it" in page.text
    assert "Cash in Kalangala" in page.text


def test_the_first_sentence_names_both_arms(motif_rct, motif_fit):
    arms = pd.Categorical(np.where(motif_rct.frame["t"] == 1, "cash", "none"), ["none", "cash"])
    data = motif_rct.blind().assign(t=arms)
    said = _opening(motif_fit.estimate("ate"), motif_fit, data)
    assert "in the trial, t 'cash' instead of 'none' changes y by" in said
    assert "in the trial, t changes y by" in _opening(
        motif_fit.estimate("ate"), motif_fit, motif_rct.blind()
    )


def test_it_shows_clusters_targeting_pixels_and_a_map_and_says_what_it_cannot(page, motif_fit):
    assert page.pictures == 4
    assert f"is worth {motif_fit.rate().estimate:.3f} over" in page.text
    assert "This is more than chance explains" in page.text
    for words in ("What the model looks at", "Where", "What this cannot say", "drawn by lot"):
        assert words in page.text
    share = np.mean(motif_fit.evaluation_.assigned == 0)
    assert f"{share:.0%}" in page.text


def test_bands_to_show_reach_every_picture_of_images(motif_fit, motif_rct, tmp_path):
    with pytest.raises(ArgumentError, match="rgb must name one or three of the bands"):
        motif_fit.report(tmp_path / "report.html", motif_rct.blind(), rgb="swir")


def test_a_page_that_cannot_be_written_is_named(motif_fit, motif_rct, tmp_path):
    with pytest.raises(StorageError, match=r"no/report\.html"):
        motif_fit.report(tmp_path / "no" / "report.html", motif_rct.blind())


def test_a_full_disk_leaves_the_page_that_was_there(motif_fit, motif_rct, tmp_path, full_disk):
    path = tmp_path / "report.html"
    path.write_text("of yesterday", encoding="utf-8")
    with pytest.raises(StorageError, match=r"report\.html: No space left"):
        motif_fit.report(path, motif_rct.blind())
    assert path.read_text(encoding="utf-8") == "of yesterday"
    assert list(tmp_path.iterdir()) == [path]


def test_the_average_by_the_model_is_first_that_of_places_like_those_of_the_trial(
    motif_fit, motif_rct, tmp_path
):
    arrays = motif_rct.arrays.copy(deep=True)
    arrays["image"][:7] += 100.0
    with pytest.warns(ExtrapolationWarning):
        places = motif_fit.transport(arrays["image"][:60])
    with pytest.warns(ExtrapolationWarning):
        path = motif_fit.report(
            tmp_path / "report.html", motif_rct.blind(), target=arrays["image"][:60]
        )
    text = Words(path.read_text(encoding="utf-8")).text
    like, whole = _told(places.average(over="supported")), _told(places.average())
    outside = int(places.places["extrapolating"].sum())
    where = text[text.index("Predicted by the model for the places asked about") :]
    assert f"over the {60 - outside} of 60 that look like those" in where
    assert where.index(like) < where.index(f"Over all, with {outside} for which")
    assert f"should not be relied on: {whole}" in where


@pytest.mark.slow
def test_of_effects_alike_it_says_that_chance_may_explain_them(tmp_path):
    rct = ck.generators.image_rct(3, n_images=1200, tau=(0.5, 0.5))
    fit = ck.ImageEffectClusters(epochs=3, n_restarts=1, random_state=0).fit(rct.blind())
    path = fit.report(tmp_path / "report.html", rct.blind())
    assert "Chance may explain it" in Words(path.read_text(encoding="utf-8")).text


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
def test_a_fit_without_uncertainty_has_a_report_without_a_map(tmp_path):
    rct = ck.generators.image_rct(0, n_images=600, size=8)
    fit = ck.ImageEffectClusters(
        encoder="random", inference="map", n_ensemble=1, n_clusters=2, random_state=0
    ).fit(rct.blind())
    page = Words(fit.report(tmp_path / "report.html", rct.blind()).read_text(encoding="utf-8"))
    assert "There is no map: " in page.text


def one_type_fit(rct):
    return ck.ImageEffectClusters(
        encoder="random", n_clusters=1, n_components=4, n_restarts=1, n_draws=50, random_state=0
    ).fit(rct)


def test_of_one_type_it_says_that_no_difference_by_place_was_found(tmp_path):
    rct = ck.generators.image_rct(3, n_images=600, size=8, tau=(0.5, 0.5)).blind()
    fit = one_type_fit(rct)
    page = Words(fit.report(tmp_path / "report.html", rct).read_text(encoding="utf-8"))
    assert "No difference in effects by place was found" in page.text
    assert "no place comes before another" in page.text
    for nonsense in ("nan", "1 types", "AUTOC", "Rests on the model"):
        assert nonsense not in page.text
    drawn = fit.transport(rct).plot()
    assert len(drawn.get_figure().axes) == 1  # no bar of colours that mean nothing


def test_what_speaks_against_the_model_leads_and_stands_below_its_pictures(
    motif_fit, motif_rct, tmp_path, monkeypatch
):
    facts = motif_fit.diagnostics_
    against = facts | {
        "selection_score": facts["selection_score_by_arm"] - 1.0,
        "control_residuals": {"skew": 3.0, "kurtosis": 9.0},
        "agreement": {"predicted": 1.0, "honest": 0.0, "std_error": 0.1},
        "balance": facts["balance"] | {"p_value": 0.005},
    }
    monkeypatch.setattr(motif_fit, "diagnostics_", against)
    # No ranking: scores in another order.
    found = motif_fit.evaluation_
    mixed = np.random.default_rng(0).permutation(found.score)
    monkeypatch.setattr(motif_fit, "evaluation_", replace(found, score=mixed))
    path = motif_fit.report(tmp_path / "report.html", motif_rct.blind())
    page = Words(path.read_text(encoding="utf-8"))
    lead = page.text[: page.text.index("Effects by type of place")]
    for words in ("by heart", "far from those of all", "not those that were measured", "lot would"):
        assert words in lead
    # Types, salience and map.
    assert page.text.count("Rests on the model, and differences between places") == 3


def test_where_nothing_speaks_against_the_model_nothing_is_said(page):
    assert "Before reading on" not in page.text
    assert "Rests on the model, and" not in page.text
