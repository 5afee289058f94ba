"""Networks: shapes, sizes, what is pooled, and what the order and dates of frames do."""

import numpy as np
import pytest
import torch
from torch import nn

from causalkit import ImageEncoder, embed_images, generators
from causalkit.errors import ArgumentError
from causalkit.images.networks import (
    ConvEncoder,
    FilterEncoder,
    QueryPooling,
    RandomConv,
    SequenceEncoder,
    date_waves,
    over_time,
    pooled,
)
from causalkit.images.pretrained import Crops, Resized

torch.set_num_threads(1)
RULES = ("transformer", "concat", "difference", "variance", "mean", "last")
YEARS = torch.tensor([0.0, 1.0, 1.5, 4.0])


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def random_conv(n_filters=6, size=3, *, centred=True, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return RandomConv(3, n_filters, size, generator, centred=centred)


def sequence(temporal, **more):
    torch.manual_seed(0)
    return SequenceEncoder(ConvEncoder(3, 8), temporal, YEARS, **more).eval()


def count(network):
    return sum(values.numel() for values in network.parameters())


@pytest.mark.parametrize("sides", [(1, 1), (5, 9), (32, 32)])
def test_the_vector_of_an_image_has_twice_the_width_whatever_its_size(sides):
    network = ConvEncoder(4, 16)
    assert network(drawn(2, 4, *sides)).shape == (2, network.n_features) == (2, 32)


def test_the_trained_encoder_has_fifteen_thousand_weights():
    """5 by 5 by 3 to 16, 3 by 3 by 16 to 32, 3 by 3 by 32 to 32, biases, and group norms."""
    layers = (75 * 16 + 16) + (9 * 16 * 32 + 32) + (9 * 32 * 32 + 32)
    assert count(ConvEncoder(3, 32)) == layers + 2 * (16 + 32 + 32) == 15_264


def test_one_layer_finds_the_best_match_of_each_filter_and_its_mean():
    network, images = FilterEncoder(3, 2, 5), drawn(4, 3, 9, 11)
    weight = network.filters.weight.detach().numpy()
    patches = np.lib.stride_tricks.sliding_window_view(images.numpy(), (3, 5, 5), axis=(1, 2, 3))
    answers = np.einsum("byxcij,fcij->bfyx", patches[:, 0], weight, optimize=True)
    answers += network.filters.bias.detach().numpy()[:, None, None]
    expected = np.concatenate([answers.max(axis=(2, 3)), answers.mean(axis=(2, 3))], axis=1)
    np.testing.assert_allclose(network(images).detach(), expected, atol=1e-5)
    assert network.n_features == 4
    with pytest.raises(ArgumentError, match=r"smaller than filters of 5.*ImageEncoder.filters"):
        network(drawn(1, 3, 4, 9))


def test_pooling_keeps_a_small_peak_and_the_mean():
    answers = torch.zeros(1, 2, 10, 10)
    answers[0, 1, 3, 7] = 50.0
    torch.testing.assert_close(pooled(answers), torch.tensor([[0.0, 50.0, 0.0, 0.5]]))


def test_random_filters_are_those_of_their_seed_and_are_not_trained():
    network = random_conv()
    image = drawn(2, 3, 8, 8)
    torch.testing.assert_close(network(image), random_conv()(image))
    assert not torch.allclose(network(image), random_conv(seed=1)(image))
    assert network(image).shape == (2, network.n_features) == (2, 2 * 6 + 3)
    assert count(network) == 0
    torch.testing.assert_close(network.filters.flatten(1).norm(dim=1), torch.ones(6))


def test_centred_filters_answer_to_patterns_and_band_means_to_brightness():
    image = drawn(2, 3, 8, 8)
    step = random_conv()(image + 2.0) - random_conv()(image)
    torch.testing.assert_close(step[:, :12], torch.zeros(2, 12), atol=1e-5, rtol=0)
    torch.testing.assert_close(step[:, 12:], torch.full((2, 3), 2.0))
    free = random_conv(centred=False)
    assert (free(image + 2.0) - free(image))[:, :12].abs().max() > 0.5


def test_a_filter_meets_no_pixel_beyond_the_edge():
    """Of a uniform image all places answer alike: there is no padding of zeros."""
    network = random_conv(centred=False)
    found = network(torch.ones(1, 3, 7, 9))[0]
    torch.testing.assert_close(found[:6], found[6:12])
    torch.testing.assert_close(found[:6], network.filters.sum(dim=(1, 2, 3)))


def test_images_smaller_than_a_filter_are_refused_by_name():
    images = generators.image_rct(0, n_images=4, size=8).arrays["image"]
    with pytest.raises(ArgumentError, match="of 4 by 4 pixels are smaller than filters of 5"):
        embed_images(images, ImageEncoder.random(), crop_sizes=(4, 8))


def test_crops_are_about_the_centre_and_each_has_its_encoder():
    image = drawn(2, 3, 9, 9)
    inner, whole = random_conv(seed=1), random_conv(seed=2)
    found = Crops([inner, whole], (4, 9))(image)
    expected = torch.cat([inner(image[..., 2:6, 2:6]), whole(image)], dim=1)
    torch.testing.assert_close(found, expected)


def test_resizing_keeps_uniform_images_uniform():
    network = Resized(random_conv(), 5)
    torch.testing.assert_close(
        network(torch.full((1, 3, 12, 7), 0.5)), random_conv()(torch.full((1, 3, 5, 5), 0.5))
    )


@pytest.mark.parametrize("temporal", RULES)
def test_the_vector_of_a_sequence_has_the_length_that_it_says(temporal):
    network = sequence(temporal)
    width = {"concat": 4, "difference": 2, "variance": 2}.get(temporal, 1) * 16
    assert network(drawn(2, 4, 3, 8, 8)).shape == (2, network.n_features) == (2, width)


@pytest.mark.parametrize("temporal", RULES)
def test_only_means_and_variances_forget_the_order_of_frames(temporal):
    network, film = sequence(temporal), drawn(2, 4, 3, 8, 8)
    same = torch.allclose(network(film), network(film.flip(1)), atol=1e-5)
    assert same == (temporal in ("mean", "variance"))


def test_rules_over_time_are_their_formulas():
    found, years = drawn(3, 4, 5), YEARS.numpy()
    values = found.numpy()
    steps = np.diff(values, axis=1) / np.diff(years)[:, None]
    mean = values.mean(axis=1)
    expected = {
        "last": values[:, 3],
        "concat": values.reshape(3, 20),
        "mean": mean,
        "variance": np.hstack([mean, values.var(axis=1, ddof=1)]),
        "difference": np.hstack([mean, steps.mean(axis=1)]),
    }
    for rule, wanted in expected.items():
        np.testing.assert_allclose(over_time(found, rule, YEARS), wanted, atol=1e-5)


def test_only_the_transformer_adds_weights_over_time():
    frame = count(ConvEncoder(3, 8))
    for rule in RULES:
        assert (count(sequence(rule)) > frame) == (rule == "transformer")
    # Two blocks of attention with four maps of 16 by 16, two layers to and from 32, two norms of
    # 16, and the query.
    attention, layers = 4 * (16 * 16 + 16), 2 * 16 * 32 + 32 + 16
    assert count(QueryPooling(16)) == 2 * attention + layers + 2 * 2 * 16 + 16


def test_the_transformer_reads_dates_and_not_places_in_the_sequence():
    torch.manual_seed(0)
    pool, found = QueryPooling(8).eval(), drawn(2, 4, 8)
    turned = torch.tensor([2, 0, 3, 1])
    first = pool(found, YEARS)
    torch.testing.assert_close(pool(found[:, turned], YEARS[turned]), first, atol=1e-5, rtol=0)
    assert not torch.allclose(pool(found, 2.0 * YEARS), first, atol=1e-3)


def test_dates_are_waves_of_a_season_to_six_decades():
    waves = date_waves(YEARS, 7)
    assert waves.shape == (4, 7)
    torch.testing.assert_close(date_waves(YEARS + 0.25, 7)[:, :2], waves[:, :2], atol=1e-4, rtol=0)
    half = date_waves(YEARS + 32.0, 8)[:, -2:]
    torch.testing.assert_close(half, -date_waves(YEARS, 8)[:, -2:], atol=1e-4, rtol=0)


@pytest.mark.parametrize("temporal", ["difference", "transformer"])
def test_frames_in_parts_and_recomputed_give_the_same_vectors_and_gradients(temporal):
    film, gradients = drawn(3, 4, 3, 8, 8), []
    for more in ({}, {"frame_chunk": 5}, {"frame_chunk": 5, "recompute": True}):
        network = sequence(temporal, **more).train()
        found = network(film)
        (found**2).sum().backward()
        gradients.append([found.detach(), *(p.grad for p in network.parameters())])
    for other in gradients[1:]:
        torch.testing.assert_close(other, gradients[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("temporal", ["difference", "variance"])
def test_change_needs_two_frames(temporal):
    single = YEARS[:1]
    with pytest.raises(ArgumentError, match=rf"temporal='{temporal}' needs two frames .* have 1"):
        SequenceEncoder(ConvEncoder(3, 8), temporal, single)
    one = SequenceEncoder(ConvEncoder(3, 8), "mean", single)
    assert torch.isfinite(one(drawn(2, 1, 3, 8, 8))).all()


def test_frames_are_called_a_chunk_at_a_time():
    class Watched(nn.Module):
        n_features = 1
        sizes: list[int] = []  # noqa: RUF012

        def forward(self, image):
            self.sizes.append(len(image))
            return image.mean(dim=(1, 2, 3))[:, None]

    SequenceEncoder(Watched(), "mean", YEARS, frame_chunk=5)(drawn(3, 4, 3, 2, 2))
    assert Watched.sizes == [5, 5, 2]
