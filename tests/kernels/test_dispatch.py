"""Which implementation runs, and what is refused in one line."""

import os
import subprocess
import sys

import pytest
import torch

from dfnas.errors import UserError
from dfnas.kernels import batch_norm, dispatch, total_variation

WITHOUT_TRITON = """
import sys
sys.modules["triton"] = None  # as if it were not installed
import torch
from dfnas.synthesis import inversion
from dfnas.kernels import dispatch, image_update, mixed_sum, soft_cross_entropy, total_variation
x = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]], requires_grad=True)
sum(total_variation.total_variation(x)).backward()
print(dispatch.choose(x), x.grad is not None)
"""


def test_a_cpu_takes_the_closed_form_and_the_reference_when_asked(monkeypatch):
    x = torch.rand(1, 2, 3, 3)
    monkeypatch.delenv(dispatch.VARIABLE, raising=False)
    assert dispatch.choose(x) == "closed"
    monkeypatch.setenv(dispatch.VARIABLE, "reference")
    assert dispatch.choose(x) == "reference"
    monkeypatch.setattr(total_variation.TotalVariation, "apply", None)  # it is never asked
    total_variation.total_variation(x)


def test_another_value_is_refused(monkeypatch):
    monkeypatch.setenv(dispatch.VARIABLE, "cuda")
    with pytest.raises(UserError, match="DFNAS_KERNELS is 'cuda'; it may be auto, reference, triton"):
        dispatch.choose(torch.rand(1))


def test_triton_on_a_cpu_needs_its_interpreter(monkeypatch):
    monkeypatch.setenv(dispatch.VARIABLE, "triton")
    monkeypatch.setattr(dispatch, "interpreted", lambda: False)
    with pytest.raises(UserError, match="TRITON_INTERPRET=1" if dispatch.triton else "not installed"):
        dispatch.choose(torch.rand(1))


def test_double_precision_and_empty_tensors_take_the_closed_form(monkeypatch):
    monkeypatch.setenv(dispatch.VARIABLE, "triton" if dispatch.triton else "auto")
    assert dispatch.choose(torch.rand(2, dtype=torch.float64)) == "closed"
    assert dispatch.choose(torch.rand(0)) == "closed"


def test_a_gpu_takes_triton(monkeypatch):
    class OnGPU:
        dtype, is_cuda, device = torch.float16, True, torch.device("cuda")

        def numel(self):
            return 1

    monkeypatch.delenv(dispatch.VARIABLE, raising=False)
    assert dispatch.choose(OnGPU()) == ("triton" if dispatch.triton else "closed")
    monkeypatch.setattr(dispatch, "triton", None)
    assert dispatch.choose(OnGPU()) == "closed"
    monkeypatch.setenv(dispatch.VARIABLE, "triton")
    with pytest.raises(UserError, match="not installed"):
        dispatch.choose(OnGPU())


def test_without_triton_everything_imports_and_computes():
    environment = {name: value for name, value in os.environ.items() if name != dispatch.VARIABLE}
    run = subprocess.run([sys.executable, "-c", WITHOUT_TRITON], env=environment, capture_output=True, text=True)
    assert run.stdout.split() == ["closed", "True"], run.stderr


def test_an_empty_batch_is_no_special_case():
    y, _ = batch_norm.batch_norm(torch.rand(0, 3, 4, 4), torch.zeros(3), torch.ones(3))
    assert y.shape == (0, 3, 4, 4)
