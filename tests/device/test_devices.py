"""Fits on a GPU are those on the processor; and no tensor is on the wrong device, GPU or not."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from device_cases import CASES

torch = pytest.importorskip("torch", reason="networks need torch")

HERE = Path(__file__).parent


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("name", list(CASES))
def test_a_gpu_gives_the_numbers_of_the_processor(name, tmp_path):
    CASES[name]("cuda", tmp_path)


@pytest.mark.skipif(
    not (shutil.which("c++") and shutil.which("ninja")),
    reason="no compiler, or no ninja, to build the pretended accelerator with",
)
def test_no_tensor_is_on_the_wrong_device(tmp_path):
    # Sparse products, of which structured treatments with graphs are made, it does not have.
    names = [name for name in CASES if name != "structured"]
    asked = [sys.executable, str(HERE / "pretend_accelerator.py"), str(tmp_path), *names]
    done = subprocess.run(asked, capture_output=True, text=True, cwd=HERE.parents[1], check=False)
    assert done.returncode == 0, done.stderr[-3000:]
