"""The losses of classifiers: against classes and against a teacher's logits."""

import functools
from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from dfnas.data.sources import Source
from dfnas.kernels.soft_cross_entropy import kl_divergence

Loss = Callable[[Any, Tensor], Tensor]  # (what the network gives, targets) -> scalar


def loss_for(source: Source, temperature: float = 1.0, smoothing: float = 0.0) -> Loss:
    """The divergence from soft labels, or the cross-entropy with classes, as the source has them."""
    return soft_loss(temperature) if source.soft else hard_loss(smoothing)


def hard_loss(smoothing: float = 0.0) -> Loss:
    """Cross-entropy with integer classes [N]."""
    return lambda logits, labels: F.cross_entropy(logits.float(), labels, label_smoothing=smoothing)


def soft_loss(temperature: float = 1.0) -> Loss:
    """KL divergence from softmax(targets / T) to softmax(logits / T), batch mean; targets are logits [N, K].

    Both sides are divided by T and there is no factor T^2 (as in the authors' code), so T also scales the gradient.
    """
    return functools.partial(kl_divergence, temperature=temperature)


def auxiliary_loss(loss: Loss, weight: float) -> Loss:
    """`loss` of a network that answers with (logits, logits of its auxiliary head) while it is trained."""
    return lambda outputs, targets: loss(outputs[0], targets) + weight * loss(outputs[1], targets)
