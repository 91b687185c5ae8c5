"""The Triton kernels of the losses with soft labels, run on a CPU: their values, and the bytes that they move."""

import pytest
import torch

from dfnas.kernels import dispatch, soft_cross_entropy
from dfnas.training import losses
from kernels import agreement


@pytest.mark.parametrize("divergence", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (1, 10), (257, 10), (5, 1000), (3, 1025)])
def test_kernels_equal_the_reference(shape, divergence):
    agreement.check(agreement.soft_cross_entropy_pairs(1.0, divergence, *shape))
    agreement.check(agreement.soft_cross_entropy_pairs(3.0, divergence, *shape))


def test_rows_may_lie_apart_and_logits_may_be_large():
    agreement.check(agreement.soft_cross_entropy_pairs(2.0, True, 7, 12, strided=True))
    agreement.check(agreement.soft_cross_entropy_pairs(1.0, True, 7, 12, spread=1e4), relative=1e-4)
    student, teacher = agreement.logits(9, 20)
    parts = student[:, 3:15], teacher[:, 3:15]
    ours, theirs = soft_cross_entropy.soft_cross_entropy(*parts), soft_cross_entropy.reference(*parts)
    assert float(ours) == pytest.approx(float(theirs), rel=1e-6)


def test_students_are_trained_with_the_kernel(count, monkeypatch):
    found = []
    for kernels in ("triton", "auto"):
        monkeypatch.setenv(dispatch.VARIABLE, kernels)
        student, teacher = agreement.logits(9, 10)
        loss = losses.soft_loss(4.0)(student.requires_grad_(), teacher)
        found.append((loss, *torch.autograd.grad(loss, student)))
    assert [name for name, _ in count.launches] == ["_rows", "_finish"]
    agreement.check(zip(*found, strict=True))


def test_half_precision_computes_in_single_precision():
    agreement.check(agreement.soft_cross_entropy_pairs(1.0, True, 33, 100, dtype=torch.float16), 2e-3, 1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("gradient", [False, True])
def test_bytes_are_those_of_the_model(count, dtype, gradient):
    student, teacher = agreement.logits(300, 10, dtype)
    soft_cross_entropy.kl_divergence(student.requires_grad_(gradient), teacher)
    assert count.traffic == soft_cross_entropy.forward_bytes(student, teacher, gradient)
    assert count.times_read(student)["_rows"] == count.times_read(teacher)["_rows"] == 1
