"""Which device a name stands for, where there is no GPU."""

import pytest

from causalkit.device import resolve_device
from causalkit.errors import ArgumentError

torch = pytest.importorskip("torch", reason="devices are those of torch")


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.usefixtures("no_gpu")
def test_auto_falls_back_to_the_processor():
    assert resolve_device("auto") == torch.device("cpu")


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_a_device_that_is_absent_is_refused_with_those_present(device):
    with pytest.raises(ArgumentError, match=f"device='{device}' is not here; present: cpu"):
        resolve_device(device)


def test_auto_takes_the_gpu_that_is_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert resolve_device("auto") == torch.device("cuda")
