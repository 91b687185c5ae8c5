"""The losses with soft labels at their worked values, in the form that a CPU takes."""

import pytest
import torch

from dfnas.kernels import soft_cross_entropy
from kernels import agreement


def test_losses_at_their_worked_values():
    student, teacher = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[3.0, 2.0, 1.0]])
    for temperature, cross_entropy, divergence in ((1, 1.982816, 1.150421), (3, 1.208046, 0.145469)):
        entropy = soft_cross_entropy.soft_cross_entropy(student, teacher, temperature)
        assert float(entropy) == pytest.approx(cross_entropy, abs=1e-6)
        assert float(soft_cross_entropy.kl_divergence(student, teacher, temperature)) == pytest.approx(
            divergence, abs=1e-6
        )


@pytest.mark.parametrize("loss", [soft_cross_entropy.soft_cross_entropy, soft_cross_entropy.kl_divergence])
def test_the_gradient_is_the_difference_of_two_softmaxes(loss):
    """Equation `eq-kernel-soft`."""
    student, teacher = agreement.logits(8, 10, torch.float64)
    (gradient,) = torch.autograd.grad(loss(student.requires_grad_(), teacher, 4.0), student)
    expected = ((student / 4).softmax(1) - (teacher / 4).softmax(1)) / (8 * 4)
    assert torch.allclose(gradient, expected, rtol=0, atol=1e-12)


def test_half_precision_computes_in_single_precision():
    student, teacher = agreement.logits(33, 100, torch.bfloat16)
    for loss in (soft_cross_entropy.soft_cross_entropy, soft_cross_entropy.kl_divergence):
        ours, exact = loss(student, teacher), loss(student.double(), teacher.double())
        assert ours.dtype == torch.float32
        assert float(ours) == pytest.approx(float(exact), rel=1e-5)


def test_targets_are_constants():
    student, teacher = (z.requires_grad_() for z in agreement.logits(8, 10))
    soft_cross_entropy.kl_divergence(student, teacher).backward()
    assert teacher.grad is None
    assert float(student.grad.sum(1).abs().max()) < 1e-7  # a constant added to all logits changes nothing
