"""Training: gradients of parts, memory that runs out, losses that are not finite, order of data."""

import weakref

import numpy as np
import pytest
import torch

import causalkit as ck
from causalkit.data.images import ImageStore
from causalkit.errors import CausalKitWarning, TrainingError
from causalkit.images import training
from causalkit.images.batches import Images, Lens, Rows, batches
from causalkit.images.model import Mixture
from causalkit.images.networks import ConvEncoder
from causalkit.images.represent import represent
from causalkit.images.survey import survey
from causalkit.images.training import Recipe, Trial, train, turned

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def small():
    """A trial of 200 images of 16 pixels, and its parts."""
    data = ck.generators.image_rct(3, n_images=200, size=16, units_per_image=2)
    store = ImageStore.of(data)
    y, t = data.column("outcome"), data.column("treatment")
    bands = survey(store).bands(store.used())
    trial = Trial(Images.of(store), Lens(bands, "error", CPU), y, t, np.zeros((data.n, 0)))
    half = data.n // 2
    return trial, (Rows.of(store, np.arange(half)), Rows.of(store, np.arange(half, data.n)))


def recipe(**more):
    options = {"epochs": 2, "batch_size": 32, "learning_rate": 2e-3, "augment": True}
    return Recipe(**(options | more))


def fitted(small, *, seed=0, level="unit", **more):
    trial, parts = small
    model = Mixture(n_types=2, n_features=16, latent_level=level)
    torch.set_num_threads(1)
    return train(lambda: ConvEncoder(3, 8), model, trial, parts, recipe(**more), seed=seed)


def test_the_same_seed_gives_the_same_numbers(small):
    first, again, other = (fitted(small, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.theta, again.theta)
    assert first.score == again.score
    assert not torch.equal(first.theta, other.theta)


def test_training_raises_the_likelihood(small):
    found = fitted(small, epochs=6, augment=False)
    assert found.history[-1][0] > found.history[0][0]
    assert found.score == found.history[-1][1]


def test_seeds_of_torch_are_left_alone(small):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    fitted(small)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("level", ["unit", "image"])
def test_a_batch_in_parts_has_the_gradient_of_the_whole(small, level):
    trial, parts = small
    model = Mixture(n_types=2, n_features=16, latent_level=level)
    gradients = []
    for n_parts in (1, 4):
        torch.manual_seed(0)
        loop = training.Loop(
            ConvEncoder(3, 8),
            model,
            trial,
            parts[0],
            recipe(augment=False),
            0,
        )
        batch = next(iter(batches(trial.images, parts[0], size=32)))
        for part in training._split(batch, n_parts):
            loop._backward(part)
        gradients.append([loop.weights.grad, loop.scalars.grad])
        gradients[-1].extend(p.grad for p in loop.network.parameters())
    for whole, split in zip(*gradients, strict=True):
        torch.testing.assert_close(split, whole, rtol=1e-4, atol=1e-7)


def test_the_objective_of_batches_is_unbiased_for_that_of_all(small):
    """Gradients of the batches of one epoch average to the gradient of all images at once."""
    trial, parts = small
    model = Mixture(n_types=2, n_features=16)

    def gradient(size):
        torch.manual_seed(0)
        loop = training.Loop(
            ConvEncoder(3, 8),
            model,
            trial,
            parts[0],
            recipe(augment=False),
            0,
        )
        for batch in batches(trial.images, parts[0], size=size):
            loop._backward(batch)
        return loop.scalars.grad

    torch.testing.assert_close(gradient(25), gradient(100), rtol=1e-4, atol=1e-7)


class Greedy(ConvEncoder):
    """Asks for more memory than there is for more than eight images."""

    def forward(self, image):
        if self.training and image.shape[0] > 8:
            raise torch.cuda.OutOfMemoryError("out of memory")
        return super().forward(image)


def test_a_batch_that_does_not_fit_is_halved(small):
    trial, parts = small
    model = Mixture(n_types=2, n_features=16)
    with pytest.warns(CausalKitWarning, match="does not fit the device") as told:
        found = train(lambda: Greedy(3, 8), model, trial, parts, recipe(augment=False), seed=0)
    assert "in 4 parts" in str(told[-1].message)
    whole = fitted(small, augment=False)
    torch.testing.assert_close(found.theta, whole.theta, rtol=1e-3, atol=1e-4)


def test_memory_is_given_back_when_nothing_holds_the_batch_that_did_not_fit(small, monkeypatch):
    trial, parts = small
    met, alive = [], []

    class Watched(Greedy):
        def forward(self, image):
            met.append(weakref.ref(image))
            return super().forward(image)

    def freed():
        alive.append(met[-1]() is not None)

    monkeypatch.setattr(torch.cuda, "empty_cache", freed)
    model = Mixture(n_types=2, n_features=16)
    with pytest.warns(CausalKitWarning, match="does not fit the device"):
        train(lambda: Watched(3, 8), model, trial, parts, recipe(augment=False), seed=0)
    assert alive
    assert not any(alive)


def test_halving_ends(small):
    trial, parts = small
    model = Mixture(n_types=2, n_features=16)
    with pytest.warns(CausalKitWarning), pytest.raises(torch.cuda.OutOfMemoryError):
        train(
            lambda: Greedy(3, 8),
            model,
            trial,
            parts,
            recipe(batch_size=100),
            seed=0,
        )


def test_a_loss_that_is_not_finite_is_an_error_with_step_and_images(small):
    trial, parts = small
    outcome = trial.outcome.copy()
    outcome[0] = 1e30
    spoilt = Trial(trial.images, trial.lens, outcome, trial.treatment, trial.covariates)
    model = Mixture(n_types=2, n_features=16)
    with pytest.raises(
        TrainingError, match=r"not finite at step \d+ \(images \[.*extreme outcomes"
    ):
        train(lambda: ConvEncoder(3, 8), model, spoilt, parts, recipe(), seed=0)


def test_turns_are_the_same_for_all_frames_and_keep_pixels():
    images = torch.arange(2 * 3 * 2 * 4 * 4.0).reshape(2, 3, 2, 4, 4).repeat(40, 1, 1, 1, 1)
    found = turned(images, torch.Generator().manual_seed(0))
    torch.testing.assert_close(found.flatten(3).sort().values, images.flatten(3).sort().values)
    steps = found[:, 1:] - found[:, :-1]
    assert steps.std(dim=(2, 3, 4)).max() == 0.0
    kinds = {tuple(image.flatten().tolist()) for image in found[::2]}
    assert len(kinds) == 8


def test_features_come_in_ascending_order_of_images(small):
    trial, _ = small
    network = ConvEncoder(3, 8)
    some = represent(network, trial.lens, trial.images, np.array([5, 2, 9]), batch_size=2)
    whole = represent(network, trial.lens, trial.images, np.arange(10), batch_size=3)
    np.testing.assert_allclose(some, whole[[2, 5, 9]], rtol=1e-5, atol=1e-6)


def test_neighbours_in_a_batch_do_not_change_features(small):
    """Batch statistics would let the arms leak into each other."""
    trial, _ = small
    network = ConvEncoder(3, 8)
    network.train()
    pixels = trial.lens.pixels(trial.images.take(np.arange(6)))
    torch.testing.assert_close(network(pixels)[:2], network(pixels[:2]), rtol=1e-5, atol=1e-6)


def test_effects_and_noise_take_steps_ten_times_those_of_the_weights(small):
    """The first step of Adam is as long as the rate for every parameter; nothing decays."""
    trial, parts = small
    model = Mixture(n_types=2, n_features=16, likelihood="student_t")
    loop = training.Loop(ConvEncoder(3, 8), model, trial, parts[0], recipe(), 0)
    before = loop.weights.detach().clone(), loop.scalars.detach().clone()
    loop.step(next(iter(batches(trial.images, parts[0], size=32))))
    weights, scalars = (
        (after.detach() - old).abs()
        for after, old in zip((loop.weights, loop.scalars), before, strict=True)
    )
    rate = float(weights.median())
    torch.testing.assert_close(scalars, torch.full_like(scalars, 10.0 * rate), rtol=1e-3, atol=0)
