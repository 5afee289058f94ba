"""Training: stacks, splits, leaks, stopping, recovery, interruption and resumption."""

import time
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from transtee_designs import SMALL, arms_data, arms_frame, scales_of, weighted

import causalkit as ck
from causalkit.errors import CausalKitWarning, StorageError, TrainingError
from causalkit.transtee.coding import code_data, coding_of
from causalkit.transtee.optimiser import AdamW
from causalkit.transtee.plan import Plan
from causalkit.transtee.split import split_rows, strata_of
from causalkit.transtee.training import State, train


def flat(fit):
    return torch.cat([stack.flat for stack in fit.model_.stacks])


def test_networks_trained_together_are_those_trained_alone():
    datasets = [arms_data(seed=seed) for seed in range(4)]
    arguments = SMALL | {"patience": 1, "lr": 2e-2, "max_epochs": 40}
    together = ck.TransTEE.fit_many(datasets, **arguments)
    stopped = [fit.diagnostics_["epochs trained"][0] for fit in together]
    assert len(set(stopped)) > 1, "members must stop at different epochs for this to be a test"
    for seed, (data, fit) in enumerate(zip(datasets, together, strict=True)):
        alone = ck.TransTEE(**(arguments | {"random_state": seed})).fit(data)
        assert alone.diagnostics_["epochs trained"] == fit.diagnostics_["epochs trained"]
        # To the last bit: training makes much of a last digit that is another.
        assert torch.equal(flat(alone), flat(fit))
        np.testing.assert_array_equal(alone.effect(data).effect, fit.effect(data).effect)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("regularizer", [None, "ptr"])
def test_two_threads_train_the_networks_that_one_trains(regularizer):
    # Three members on two threads: shares of one and of two; they stop at different epochs.
    sizes = {"n_ensemble": 3, "dropout": 0.1, "patience": 2, "lr": 2e-2, "max_epochs": 30}
    estimator = ck.TransTEE(**(SMALL | sizes | {"regularizer": regularizer}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CausalKitWarning)
        two = flat(clone(estimator).fit(arms_data()))
        assert torch.get_num_threads() == 2
        torch.set_num_threads(1)
        one = clone(estimator).fit(arms_data())
    # With a regulariser all of them train to the end.
    assert regularizer or len(set(one.diagnostics_["epochs trained"])) > 1
    assert torch.equal(two, flat(one))


@pytest.mark.usefixtures("two_threads")
def test_one_network_is_the_same_with_two_threads():
    data = ck.generators.ihdp_published(0, replication=1).blind()
    estimator = ck.TransTEE(n_ensemble=1, max_epochs=2, random_state=0)
    two = flat(clone(estimator).fit(data))
    torch.set_num_threads(1)
    assert torch.equal(two, flat(estimator.fit(data)))


def test_the_order_of_data_sets_changes_nothing():
    datasets = [arms_data(seed=seed) for seed in range(3)]
    estimators = [ck.TransTEE(**(SMALL | {"random_state": s})) for s in (5, 6, 7)]
    there = ck.TransTEE.fit_many(datasets, estimators=estimators)
    back = [ck.TransTEE(**(SMALL | {"random_state": s})) for s in (7, 6, 5)]
    ck.TransTEE.fit_many(datasets[::-1], estimators=back)
    torch.testing.assert_close(flat(there[0]), flat(back[2]), atol=1e-5, rtol=1e-4)


def test_the_same_seed_gives_the_same_network_and_leaves_torch_as_it_was():
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    fits = [ck.TransTEE(**(SMALL | {"dropout": 0.1})).fit(arms_data()) for _ in range(2)]
    other = ck.TransTEE(**(SMALL | {"random_state": 1, "dropout": 0.1})).fit(arms_data())
    assert torch.equal(flat(fits[0]), flat(fits[1]))
    assert not torch.equal(flat(fits[0]), flat(other))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_second_fit_knows_nothing_of_the_first(doses):
    # In the release some weights went on from one replication to the next.
    again = ck.TransTEE(**SMALL).fit(doses).fit(arms_data(seed=1))
    fresh = ck.TransTEE(**SMALL).fit(arms_data(seed=1))
    assert torch.equal(flat(again), flat(fresh))
    assert again.diagnostics_ == fresh.diagnostics_
    assert again.history_.equals(fresh.history_)


def test_best_weights_are_those_with_the_smallest_validation_loss(arms_fit):
    history = arms_fit.history_
    best = history.loc[history["validation_loss"].idxmin()]
    assert arms_fit.diagnostics_["best epoch"] == [int(best["epoch"]) + 1]
    assert arms_fit.diagnostics_["validation loss"][0] == pytest.approx(best["validation_loss"])


def test_training_stops_when_patience_is_over():
    fit = ck.TransTEE(**(SMALL | {"max_epochs": 400, "patience": 2, "lr": 0.05})).fit(arms_data())
    trained, best = fit.diagnostics_["epochs trained"][0], fit.diagnostics_["best epoch"][0]
    assert trained == best + 2 < 400


def test_outcomes_and_covariates_of_validation_rows_leave_the_scales_alone():
    frame = arms_frame()
    data = arms_data()
    fit = ck.TransTEE(**SMALL).fit(data)
    valid = fit.model_.stacks[0].members[0].valid
    planted = frame.copy()
    planted.loc[valid, ["a", "y"]] += 1e3
    again = ck.TransTEE(**SMALL).fit(
        ck.CausalData.from_frame(planted, outcome="y", treatment="t", covariates=["a", "b", "c"])
    )
    assert np.array_equal(again.model_.stacks[0].members[0].valid, valid)
    for name in ("centre", "spread", "y_centre", "y_spread"):
        left, right = (getattr(one.model_.stacks[0].scales, name) for one in (fit, again))
        assert torch.equal(left, right)


def test_the_range_of_doses_is_that_of_the_training_rows(doses):
    coding = coding_of(doses)
    coded = code_data(coding, doses)
    order = np.argsort(coded.actions.doses[:, 0])
    rows = order[10:-10]
    scales = scales_of(coded, rows)
    inside = coded.actions.doses[rows, 0]
    assert scales.low[0, 0] == pytest.approx(inside.min())
    assert scales.width[0, 0] == pytest.approx(np.ptp(inside), rel=1e-6)


def test_the_truth_of_simulated_data_is_never_looked_at():
    data = ck.generators.dose_synthetic(1, n=200)
    left, right = (ck.TransTEE(**SMALL).fit(one) for one in (data, data.blind()))
    assert torch.equal(flat(left), flat(right))


@pytest.mark.parametrize("fraction", [0.1, 0.25])
def test_validation_rows_are_shared_out_among_the_arms(fraction):
    rng = np.random.default_rng(0)
    arms = np.repeat([0, 1, 2], [150, 40, 11])[:, None]
    strata = strata_of(arms, rng.random((201, 1)))
    train, valid = split_rows(strata, fraction, 3)
    assert valid.size == round(fraction * 201)
    assert np.array_equal(np.sort(np.concatenate([train, valid])), np.arange(201))
    counts = np.bincount(strata[valid], minlength=strata.max() + 1)
    assert (np.abs(counts - fraction * np.bincount(strata)) < 1.0).all()


def test_rows_of_a_cluster_stay_on_one_side():
    frame = arms_frame().assign(place=np.repeat(np.arange(24), 10))
    data = ck.CausalData.from_frame(
        frame, outcome="y", treatment="t", covariates=["a", "b", "c"], cluster="place"
    )
    member = ck.TransTEE(**SMALL).fit(data).model_.stacks[0].members[0]
    sides = [set(frame["place"].iloc[rows]) for rows in (member.train, member.valid)]
    assert not sides[0] & sides[1]
    assert len(sides[1]) == 5


class Breaks:
    """An objective whose gradient is not finite in one member, at chosen calls."""

    apart = False

    def __init__(self, at):
        self.at, self.calls = at, 0

    def kept(self, members):
        return self

    def part(self, members):
        return self.kept(members)

    def joined(self, parts):
        pass

    def undone(self):
        pass

    def start_epoch(self, epoch, progress):
        pass

    def gradient(self, flat, rows):
        loss = ((flat - 1.0) ** 2).sum(dim=1)
        gradient = 2.0 * (flat - 1.0)
        if self.calls in self.at:
            gradient[1] = float("nan")
        self.calls += 1
        return loss, gradient

    def validation(self, flat):
        return ((flat - 1.0) ** 2).sum(dim=1)

    def largest_outcome(self):
        return 42.0


def trained(at):
    rows = [np.arange(20), np.arange(20)]
    plan = Plan(lr=0.05, batch_size=10, max_epochs=30, patience=30)
    start = State.of(torch.zeros(2, 3))
    return train(start, Breaks(at), rows, [0, 1], plan, torch.zeros(3))


class Fills(Breaks):
    """An objective that fits into memory only with batches of a given size at most."""

    def __init__(self, most):
        super().__init__(at=())
        self.most, self.seen = most, []

    def gradient(self, flat, rows):
        flat += 1.0  # what an epoch that came to nothing must not leave behind
        if self.calls % 3 == 2 and rows.shape[1] > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        flat -= 1.0
        self.seen.append(rows.shape[1])
        return super().gradient(flat, rows)


def filled(most, size=10):
    objective, sizes = Fills(most), []
    plan = Plan(lr=0.05, batch_size=size, max_epochs=30, patience=30)
    rows = [np.arange(40), np.arange(40)]
    start = State.of(torch.zeros(2, 3))

    def save(state, _):
        sizes.append(state.batch_size)

    state = train(start, objective, rows, [0, 1], plan, torch.zeros(3), save=save)
    # What is kept of the state says so too, or training would go on with batches too large.
    assert set(sizes) == {0 if most >= size else size // 2}
    return objective, state


def test_out_of_memory_halves_the_batch_once_and_says_so():
    with pytest.warns(CausalKitWarning, match="out of memory with batches of 10 rows; training"):
        objective, state = filled(most=5)
    whole, plain = filled(most=10, size=5)
    # The epoch that failed left nothing: what follows is training in small batches from the start.
    assert objective.seen[2:] == whole.seen
    torch.testing.assert_close(state.best, plain.best)
    with (
        pytest.warns(CausalKitWarning, match="goes on with 5"),
        pytest.raises(TrainingError, match="batches of 5 rows, after they were halved"),
    ):
        filled(most=4)


def test_a_loss_that_is_not_finite_goes_back_and_halves_the_learning_rate():
    broken, whole = trained(at={5}), trained(at=set())
    assert broken.lr_scale.tolist() == [1.0, 0.5]
    assert torch.isfinite(broken.best).all()
    assert torch.equal(broken.best[0], whole.best[0]), "the other member is as if nothing happened"
    assert not torch.equal(broken.best[1], whole.best[1])


def test_a_loss_that_is_not_finite_again_says_where():
    said = r"network 1 is not finite at epoch 3, batch 2.*halved.*42, largest gradient norm"
    with pytest.raises(TrainingError, match=said):
        trained(at={5, 7})


class Waits(Breaks):
    """Two members on threads of their own; the first is interrupted, the second would go on."""

    apart = True

    def __init__(self, members=(0, 1), steps=None):
        self.members, self.steps = members, [] if steps is None else steps

    def kept(self, members):
        return Waits([self.members[m] for m in members], self.steps)

    def gradient(self, flat, rows):
        if self.members == [0]:
            raise KeyboardInterrupt
        time.sleep(0.01)
        self.steps.append(1)
        return ((flat - 1.0) ** 2).sum(dim=1), 2.0 * (flat - 1.0)


@pytest.mark.usefixtures("two_threads")
def test_an_interruption_ends_the_other_threads_within_a_batch():
    objective = Waits()
    rows, plan = [np.arange(2000)] * 2, Plan(batch_size=1, max_epochs=2)
    state = train(State.of(torch.zeros(2, 3)), objective, rows, [0, 1], plan, torch.zeros(3))
    assert state.partial
    assert len(objective.steps) < 200
    assert torch.get_num_threads() == 2


def test_adamw_is_that_of_torch():
    g = torch.Generator().manual_seed(0)
    start = torch.randn(1, 9, generator=g)
    gradients = torch.randn(5, 1, 9, generator=g)
    theirs = torch.nn.Parameter(start.clone())
    peer = torch.optim.AdamW([theirs], lr=1e-2, weight_decay=0.1)
    mine, state = start.clone(), AdamW.of(start)
    for gradient in gradients:
        theirs.grad = gradient.clone()
        peer.step()
        state.update(mine, gradient, lr=1e-2, decay=torch.full((9,), 0.1))
    torch.testing.assert_close(mine, theirs.detach(), atol=1e-7, rtol=1e-6)


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
@pytest.mark.parametrize("regularizer", [None, "ptr"])
def test_interrupted_and_resumed_is_as_if_never_interrupted(tmp_path, regularizer):
    arguments = SMALL | {"n_ensemble": 2, "regularizer": regularizer}
    whole = ck.TransTEE(**arguments).fit(arms_data())

    def stop(text):
        if text.startswith("epoch 5/"):
            raise KeyboardInterrupt

    with pytest.warns(CausalKitWarning, match="interrupted"):
        part = ck.TransTEE(**arguments, checkpoint=tmp_path, progress=stop).fit(arms_data())
    assert part.partial_
    assert part.history_["epoch"].max() < 6
    again = ck.TransTEE(**arguments, checkpoint=tmp_path).fit(arms_data())
    assert not again.partial_
    torch.testing.assert_close(flat(again), flat(whole), atol=0, rtol=0)
    pd.testing.assert_frame_equal(again.history_, whole.history_)


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    ck.TransTEE(**SMALL, checkpoint=tmp_path).fit(arms_data())
    with pytest.raises(StorageError, match="other arguments or data"):
        ck.TransTEE(**(SMALL | {"lr": 1e-3}), checkpoint=tmp_path).fit(arms_data())
    with pytest.raises(StorageError, match="other arguments or data"):
        ck.TransTEE(**SMALL, checkpoint=tmp_path).fit(arms_data(seed=9))


def test_weights_of_rows_count():
    frame = arms_frame().assign(w=1.0)
    frame.loc[frame["c"] > 0, "w"] = 1e-6
    frame.loc[frame["c"] > 0, "y"] = 50.0
    data = weighted(frame)
    fit = ck.TransTEE(**(SMALL | {"max_epochs": 40, "outcome": "gaussian"})).fit(data)
    seen = fit.predict(data, treatment=frame["t"].to_numpy())[(frame["c"] < -0.3).to_numpy()]
    assert np.abs(seen).max() < 20.0
