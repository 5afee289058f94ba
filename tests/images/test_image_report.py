"""The page for those who decide says what the results say, in words."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

import causalkit as ck
from causalkit.errors import StorageError


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


def test_it_shows_clusters_targeting_pixels_and_a_map_and_says_what_it_cannot(page, motif_fit):
    assert page.pictures == 4
    assert f"is worth {motif_fit.rate().estimate:.3f} over" in page.text
    assert "This is more than chance explains" in page.text
    for words in ("What the model looks at", "Where", "What this cannot say", "drawn by lot"):
        assert words in page.text
    share = np.mean(motif_fit.evaluation_.assigned == 0)
    assert f"{share:.0%}" in page.text


def test_a_page_that_cannot_be_written_is_named(motif_fit, motif_rct, tmp_path):
    with pytest.raises(StorageError, match=r"no/report\.html"):
        motif_fit.report(tmp_path / "no" / "report.html", motif_rct.blind())


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
