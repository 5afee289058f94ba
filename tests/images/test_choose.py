"""The number of clusters: the smallest whose places tell about as much as those of the best."""

import numpy as np
import pytest
import torch

import causalkit as ck
from causalkit.images import choose, represent
from causalkit.images.choose import _compared, _error_of_mean
from causalkit.images.mixture import Sample, log_likelihood, parts_of, type_log_probs
from causalkit.images.model import Mixture

ROWS = np.arange(100)
# Mean 0; its standard error over these rows is .1005.
NOISE = np.where(ROWS % 2 == 0, 1.0, -1.0)


def chosen(gains, inactive=(0, 0, 0), groups=ROWS):
    """Number of clusters that is taken, of fits whose places tell so much, row by row."""
    numbered = {k + 1: gain for k, gain in enumerate(gains)}
    rare = {k: inactive[k - 1] for k in numbered}
    table = _compared(dict.fromkeys(numbered, 0.0), numbered, rare, groups)
    return int(table.loc[table["chosen"], "n_clusters"].item())


@pytest.mark.parametrize(("gain", "number"), [(0.05, 1), (0.16, 1), (0.17, 2), (0.5, 2)])
def test_a_larger_number_has_to_gain_more_than_chance_would(gain, number):
    assert chosen([np.zeros(100), gain + NOISE]) == number


def test_gains_are_compared_row_by_row():
    """Rows differ far more from each other than fits do on any one of them."""
    hard = 20.0 * NOISE
    assert chosen([hard, hard + 0.05]) == 2


def test_the_smallest_of_those_that_will_do_is_taken():
    assert chosen([np.zeros(100), 1.0 + NOISE, 1.05 + 1.5 * NOISE]) == 2


def test_numbers_with_types_that_hardly_occur_are_passed_over():
    gains = [np.zeros(100), 1.0 + NOISE, 3.0 + NOISE]
    assert chosen(gains) == 3
    rare = (0, 0, 1)
    # Nor do they set the bar: two clusters gain ten errors on one, whatever three gain on two.
    assert chosen(gains, rare) == 2
    assert chosen([np.zeros(100), 0.05 + NOISE, 3.0 + NOISE], rare) == 1


def test_gains_of_rows_that_hang_together_count_as_one():
    """By pairs of opposites the gains are the same throughout; by halves there are but two."""
    gains = [np.zeros(100), 0.05 + NOISE]
    assert chosen(gains) == 1
    assert chosen(gains, groups=ROWS // 2) == 2
    halves = [np.zeros(100), 0.3 + np.repeat([-1.0, 1.0], 50)]
    assert chosen(halves) == 2
    assert chosen(halves, groups=ROWS // 50) == 1


def test_the_error_of_a_mean_is_that_of_group_means_where_groups_are_alike():
    values = np.random.default_rng(0).normal(size=(20, 5)) + np.arange(20)[:, None]
    error = values.mean(axis=1).std(ddof=1) / np.sqrt(20)
    assert _error_of_mean(values.ravel(), np.repeat(np.arange(20), 5)) == pytest.approx(error)
    alone = values.std(ddof=1) / 10.0
    assert _error_of_mean(values.ravel(), ROWS) == pytest.approx(alone)


def test_one_group_alone_is_no_ground_for_more_clusters():
    assert chosen([np.zeros(100), 5.0 + NOISE], groups=np.zeros(100, dtype=int)) == 1


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
def test_every_look_at_the_images_has_the_precision_that_was_asked_for(monkeypatch):
    looked = []

    def represent_all(*given, precision, **more):
        looked.append(precision)
        return whole(*given, precision=precision, **more)

    whole = represent.represent_all
    monkeypatch.setattr(represent, "represent_all", represent_all)
    fast = {"epochs": 1, "n_restarts": 1, "inference": "map", "n_ensemble": 1, "random_state": 0}
    arguments = fast | {"n_clusters": "auto", "max_clusters": 2, "precision": "bf16"}
    data = ck.generators.image_rct(3, n_images=520, size=8).blind()
    ck.ImageEffectClusters(encoder=ck.ImageEncoder.cnn(width=8), **arguments).fit(data)
    # By number of clusters: both parts, and the shares of types; then the reference and the rest.
    assert len(looked) >= 7
    assert set(looked) == {torch.bfloat16}


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
def test_only_the_number_that_is_kept_gets_its_posterior(monkeypatch):
    fitted = []

    def member_on(features, parts, design, model, plan, **more):
        fitted.append((model.n_types, plan.inference))
        return real(features, parts, design, model, plan, **more)

    real = choose.member_on
    monkeypatch.setattr(choose, "member_on", member_on)
    data = ck.generators.embedding_rct(0, n=800).blind()

    def fit(n_clusters):
        few = {"likelihood": "normal", "n_restarts": 1, "n_draws": 40, "random_state": 0}
        return ck.EmbeddingEffectClusters(n_clusters=n_clusters, max_clusters=3, **few).fit(data)

    auto = fit("auto")
    number = auto.n_clusters_
    assert [k for k, how in fitted if how != "map"] == [number]
    given = fit(number)
    np.testing.assert_array_equal(
        auto.members_[0].posterior.draws, given.members_[0].posterior.draws
    )
    assert auto.members_[0].score == given.members_[0].score


def picked(n_seeds, **design):
    """Numbers of clusters chosen among three."""
    numbers = []
    for seed in range(n_seeds):
        data = ck.generators.embedding_rct(seed, **design).blind()
        fit = ck.EmbeddingEffectClusters(
            n_clusters="auto", max_clusters=3, inference="map", n_ensemble=1, random_state=seed
        )
        numbers.append(fit.fit(data).n_clusters_)
    return numbers


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
def test_fewer_groups_than_folds_will_do():
    data = ck.generators.embedding_rct(0, n=800)
    frame = data.frame.assign(town=np.arange(800) % 8)
    towns = ck.CausalData.from_frame(
        frame, outcome="y", treatment="t", covariates=["E1", "E2"], cluster="town"
    )
    fit = ck.EmbeddingEffectClusters(
        n_clusters="auto",
        max_clusters=2,
        split=(0.3, 0.2, 0.5),
        inference="map",
        n_ensemble=1,
        random_state=0,
    ).fit(towns)
    assert fit.choice_["std_error"].iloc[0] > 0.0


def test_two_types_are_two_clusters():
    assert picked(3, n=800) == [2, 2, 2]


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
def test_skewed_noise_is_no_reason_for_clusters():
    """More types always fit its density better: by that three were taken in both."""
    assert picked(2, n=2000, tau=(1.0, 1.0), noise="exponential") == [1, 1]


def theta(model, *, weight, bias):
    """Two types one apart, and how their probabilities hang on the one feature."""
    found = torch.zeros(1, model.size, dtype=torch.float64)
    parts = parts_of(model, found)  # views
    parts["gap"] += 1.0
    parts["type_weight"] += weight
    parts["type_bias"] += bias
    return found


def test_whoever_does_not_know_the_places_has_mean_probabilities():
    model = Mixture(n_types=2, n_features=1)
    features = torch.tensor([[-1.0], [0.5], [2.0]], dtype=torch.float64)
    outcome = torch.tensor([0.3, -0.2, 1.1], dtype=torch.float64)
    sample = Sample(features, torch.arange(3), outcome, torch.ones(3), torch.zeros(3, 0))
    steep = theta(model, weight=3.0, bias=0.0)
    mean = type_log_probs(model, steep, features)[0].exp().mean(dim=0)
    sure = [theta(model, weight=0.0, bias=sign * 80.0) for sign in (-1.0, 1.0)]
    by_type = torch.cat([log_likelihood(model, one, sample) for one in sure]).exp()
    expected = (mean[:, None] * by_type).sum(dim=0).log()
    found = log_likelihood(model, steep, sample, blind=True)[0]
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(found, log_likelihood(model, steep, sample)[0], atol=0.1)
