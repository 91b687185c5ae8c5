"""The closed form of the losses with soft labels on a CPU."""

import pytest
import torch

from dfnas.kernels import soft_cross_entropy
from dfnas.synthesis import inversion
from dfnas.training import losses
from kernels import agreement


@pytest.mark.parametrize("loss", [soft_cross_entropy.soft_cross_entropy, soft_cross_entropy.kl_divergence])
def test_closed_form_has_the_gradient_of_finite_differences(loss):
    student, teacher = agreement.logits(4, 6, torch.float64)
    assert torch.autograd.gradcheck(lambda z: loss(z, teacher, 2.5), (student.requires_grad_(),))


@pytest.mark.parametrize("divergence", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (1, 10), (257, 10), (5, 1000)])
def test_closed_form_equals_the_reference(shape, divergence):
    agreement.check(agreement.soft_cross_entropy_pairs(3.0, divergence, *shape))


def test_losses_at_their_worked_values():
    student, teacher = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[3.0, 2.0, 1.0]])
    for temperature, cross_entropy, divergence in ((1, 1.982816, 1.150421), (3, 1.208046, 0.145469)):
        entropy = soft_cross_entropy.soft_cross_entropy(student, teacher, temperature)
        assert float(entropy) == pytest.approx(cross_entropy, abs=1e-6)
        assert float(soft_cross_entropy.kl_divergence(student, teacher, temperature)) == pytest.approx(
            divergence, abs=1e-6
        )


def test_they_are_the_losses_of_synthesis_and_of_training():
    student, teacher = agreement.logits(8, 10)
    ours, theirs = soft_cross_entropy.soft_cross_entropy(student, teacher), inversion.label_loss(student, teacher)
    assert float(ours) == pytest.approx(float(theirs), rel=1e-6)
    ours, theirs = soft_cross_entropy.kl_divergence(student, teacher, 4.0), losses.soft_loss(4.0)(student, teacher)
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)


def test_targets_are_constants():
    student, teacher = (z.requires_grad_() for z in agreement.logits(8, 10))
    soft_cross_entropy.kl_divergence(student, teacher).backward()
    assert teacher.grad is None
    assert float(student.grad.sum(1).abs().max()) < 1e-7  # a constant added to all logits changes nothing
