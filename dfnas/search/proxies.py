"""Scores of networks that nothing was trained for: what they compute at their initial weights says how good they are.

SynFlow (Tanaka et al., 2020), and NASWOT and jacov (Mellor et al., 2021, and its first version of 2020).
"""

import copy

import torch
from torch import Tensor, nn

from dfnas.data import sources
from dfnas.data.images import to_input
from dfnas.data.origins import Origin
from dfnas.data.teachers import Teacher
from dfnas.profiles import Settings

NAMES = ("synflow", "naswot", "jacov")
BATCH = 64  # images that are looked at
NOTHING = -1e9  # the score of a network that answers all images alike


def inputs_of(origin: Origin, settings: Settings, teacher: Teacher, side: int) -> Tensor:
    """The first `BATCH` images of a source, as a network sees them at `side`."""
    with origin.guarded():
        source = origin.load(settings, teacher)
        batch = sources.judged(source.select(torch.arange(min(BATCH, len(source)))), settings, side)
    return to_input(batch.images[:], batch.mean, batch.std)


def scores(network: nn.Module, inputs: Tensor) -> dict[str, float]:
    """The scores of an untrained network on normalised images [N, C, S, S], by name; more is better."""
    return {"synflow": synflow(network, inputs), "naswot": naswot(network, inputs), "jacov": jacov(network, inputs)}


def synflow(network: nn.Module, inputs: Tensor) -> float:
    """The logarithm of the sum over weights of |weight x gradient|, of the summed answers to an image of ones.

    Weights are taken at their absolute values, in float64, in which products over many layers do not overflow; batch
    norms are as they were made, and let everything through. Of the images only the shape is used.
    """
    network = copy.deepcopy(network).double().eval()
    weights = [weight for weight in network.parameters() if weight.dim() > 1]
    with torch.no_grad():
        for weight in weights:
            weight.abs_()
    answers = network(torch.ones_like(inputs[:1], dtype=torch.float64))
    gradients = torch.autograd.grad(answers.sum(), weights, allow_unused=True)  # of what leads nowhere there is none
    parts = [(w.detach() * g).abs().sum() for w, g in zip(weights, gradients, strict=True) if g is not None]
    return float(torch.stack(parts).sum().log())


@torch.no_grad()
def naswot(network: nn.Module, inputs: Tensor) -> float:
    """The log-determinant of the matrix [N, N] of how many ReLUs two images have in the same state, on or off."""
    kernel = torch.zeros(len(inputs), len(inputs), dtype=torch.float64, device=inputs.device)

    def add(layer: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        on = (given[0] > 0).flatten(1).double()
        kernel.add_(on @ on.T + (1 - on) @ (1 - on).T)

    hooks = [layer.register_forward_hook(add) for layer in network.modules() if isinstance(layer, nn.ReLU)]
    network.train()(inputs)
    for hook in hooks:
        hook.remove()
    sign, value = torch.linalg.slogdet(kernel)
    return float(value) if sign > 0 and torch.isfinite(value) else NOTHING


def jacov(network: nn.Module, inputs: Tensor) -> float:
    """How little the gradients of the summed answers by each image have in common: -sum(log v + 1 / v).

    The v are the eigenvalues of the gradients' correlations [N, N], with 1e-5 added.
    """
    given = inputs.clone().requires_grad_(True)
    (gradients,) = torch.autograd.grad(network.train()(given).sum(), given, allow_unused=True)
    if gradients is None or not bool((gradients.flatten(1).std(1) > 0).all()):
        return NOTHING
    values = torch.linalg.eigvalsh(gradients.flatten(1).double().corrcoef()) + 1e-5
    return -float((values.log() + 1 / values).sum())
