"""Settings of torch that users have, and what they find afterwards; memory; precision."""

import contextlib

import numpy as np
import pandas as pd
import pytest
import torch
from transtee_designs import SMALL, arms_data, weighted_arms

import causalkit as ck
from causalkit.device import deterministic_algorithms
from causalkit.transtee import crossfit, objective
from causalkit.transtee.regulariser import _centred_kernel

SHORT = SMALL | {"max_epochs": 2}
MATMUL = torch.backends.cuda.matmul


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """The switches of a GPU are there without one."""
    precision = torch.get_float32_matmul_precision()
    newer = getattr(MATMUL, "fp32_precision", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    yield
    torch.set_float32_matmul_precision(precision)
    if newer is not None:
        MATMUL.fp32_precision = newer


@pytest.mark.parametrize("warn_only", [True, False])
def test_deterministic_algorithms_only_warn_afterwards_if_they_did_before(warn_only):
    torch.use_deterministic_algorithms(True, warn_only=warn_only)
    try:
        for wanted in (True, False):
            with deterministic_algorithms(wanted):
                assert torch.is_deterministic_algorithms_warn_only_enabled() is (
                    warn_only and not wanted
                )
            assert torch.are_deterministic_algorithms_enabled()
            assert torch.is_deterministic_algorithms_warn_only_enabled() is warn_only
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_the_precision_of_products_is_that_of_before(precision):
    torch.set_float32_matmul_precision(precision)
    for wanted in (True, False):
        with deterministic_algorithms(wanted):
            assert MATMUL.allow_tf32 is not wanted
        assert torch.get_float32_matmul_precision() == precision


@pytest.mark.skipif(not hasattr(MATMUL, "fp32_precision"), reason="torch before 2.9")
@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.parametrize("older", ["highest", "high"])
@pytest.mark.parametrize("newer", ["tf32", "ieee"])
def test_the_newer_switch_of_torch_may_disagree_with_the_older(older, newer):
    torch.set_float32_matmul_precision(older)
    MATMUL.fp32_precision = newer
    for wanted in (True, False):
        with deterministic_algorithms(wanted):
            assert MATMUL.allow_tf32 is not wanted
        assert MATMUL.fp32_precision == newer
    MATMUL.fp32_precision = "ieee" if older == "highest" else "tf32"
    assert torch.get_float32_matmul_precision() == older


@pytest.mark.skipif(not hasattr(MATMUL, "fp32_precision"), reason="torch before 2.9")
def test_a_processor_knows_nothing_of_the_switches_of_a_gpu(arms):
    before = MATMUL.fp32_precision
    MATMUL.fp32_precision = "tf32"
    try:
        ck.TransTEE(**SHORT).fit(arms)
        assert MATMUL.fp32_precision == "tf32"
    finally:
        MATMUL.fp32_precision = before


def test_training_needs_gradients_and_turns_them_on(arms):
    expected = ck.TransTEE(**SHORT).fit(arms).effect(arms)["effect"]
    with torch.no_grad():
        found = ck.TransTEE(**SHORT).fit(arms).effect(arms)["effect"]
        assert not torch.is_grad_enabled()
    np.testing.assert_array_equal(found, expected)


@contextlib.contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
@pytest.mark.parametrize("arguments", [{}, {"regularizer": "ptr"}, {"dropout": 0.2}])
def test_defaults_of_torch_change_nothing(arguments):
    data = arms_data()
    expected = ck.TransTEE(**SHORT, **arguments).fit(data).effect(data)["effect"]
    with default_dtype(torch.float64):
        found = ck.TransTEE(**SHORT, **arguments).fit(data).effect(data)["effect"]
    np.testing.assert_array_equal(found, expected)
    # A device on which nothing can be computed.
    with torch.device("meta"):
        found = ck.TransTEE(**SHORT, **arguments, device="cpu").fit(data).effect(data)["effect"]
    np.testing.assert_array_equal(found, expected)


def test_averages_are_estimated_by_deterministic_kernels_too(arms, monkeypatch):
    seen = []

    def spy(*arguments, **named):
        seen.append(torch.are_deterministic_algorithms_enabled())
        return real(*arguments, **named)

    real = crossfit.fit_ensembles
    monkeypatch.setattr(crossfit, "fit_ensembles", spy)
    ck.TransTEE(**SHORT, deterministic=True).fit(arms).estimate()
    assert seen == [True]
    assert not torch.are_deterministic_algorithms_enabled()


def alike(members, rows):
    """Equal weights of rows and of their pairs."""
    each = torch.full((members, rows), 1.0 / rows)
    return each, each[:, :, None] * each[:, None]


def test_the_bandwidth_is_the_lower_median():
    values = torch.randn(3, 6, 2, generator=torch.Generator().manual_seed(0))
    square = torch.cdist(values, values) ** 2
    middle = square.flatten(1).median(dim=1).values[:, None, None]
    kernel = (-square / (2.0 * middle)).exp()
    centring = torch.eye(6) - 1.0 / 6.0
    found = _centred_kernel(values, *alike(3, 6))
    torch.testing.assert_close(found, centring @ kernel @ centring)


def test_no_median_by_rows_and_no_running_sum_of_floats_is_taken(monkeypatch):
    cumsum = torch.Tensor.cumsum

    def refuse(*_, **__):
        raise RuntimeError("median CUDA with indices output does not have a deterministic kernel")

    def whole(values, *arguments, **more):
        if values.is_floating_point():
            raise RuntimeError("cumsum_cuda_kernel does not have a deterministic implementation")
        return cumsum(values, *arguments, **more)

    monkeypatch.setattr(torch.Tensor, "median", refuse)
    monkeypatch.setattr(torch.Tensor, "cumsum", whole)
    _centred_kernel(torch.eye(4)[None], *alike(1, 4))


@pytest.mark.filterwarnings("ignore::causalkit.errors.CausalKitWarning")
def test_dependence_is_measured_in_single_precision(monkeypatch):
    rng = np.random.default_rng(0)
    names = [f"m{k}" for k in range(8)]
    vectors = pd.DataFrame(rng.standard_normal((8, 2)), columns=["f1", "f2"]).assign(mol=names)
    rows = pd.DataFrame({"mol": rng.choice(names, 120), "age": rng.standard_normal(120)})
    data = ck.CausalData.from_frame(
        rows.assign(y=rows["age"] + rng.standard_normal(120)),
        outcome="y",
        treatment="mol",
        kinds=("structured",),
        covariates="age",
        tables={"mol_vectors": vectors},
    )
    seen = set()

    def spy(*values):
        seen.update(one.dtype for one in values)
        return real(*values)

    real = objective.hsic
    monkeypatch.setattr(objective, "hsic", spy)
    ck.TransTEE(**SHORT, regularizer="tr", precision="bf16").fit(data)
    assert seen == {torch.float32}


def test_doubles_are_made_on_the_processor(arms, monkeypatch):
    # As where a device has no double precision, such as MPS.
    copied, cpu, double = [], torch.Tensor.cpu, torch.Tensor.double

    def kept(self):
        copied.append(cpu(self))
        return copied[-1]

    def checked(self):
        assert any(self is one for one in copied)
        return double(self)

    monkeypatch.setattr(torch.Tensor, "cpu", kept)
    monkeypatch.setattr(torch.Tensor, "double", checked)
    ck.TransTEE(**SHORT).fit(arms)


def test_validation_in_pieces_is_validation_at_once(monkeypatch):
    def losses(data):
        return ck.TransTEE(**SHORT).fit(data).history_["validation_loss"]

    for data in (arms_data(), weighted_arms()):
        whole = losses(data)
        sizes, real = [], objective.NetObjective._forward

        def spy(self, flat, rows, drop, sizes=sizes, real=real):
            if not torch.is_grad_enabled():
                sizes.append(rows.shape[1])
            return real(self, flat, rows, drop)

        with monkeypatch.context() as patch:
            patch.setattr(objective, "MEMBER_BUDGET", 2**15)
            patch.setattr(objective.NetObjective, "_forward", spy)
            pieces = losses(data)
        assert max(sizes) < 48
        np.testing.assert_allclose(pieces, whole, rtol=1e-5)
