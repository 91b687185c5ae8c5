"""What a network answers, and how often it is right."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from dfnas.data.images import to_input
from dfnas.data.sources import Source
from dfnas.profiles import RunSettings
from dfnas.runtime import devices


def accuracy_on(network: torch.nn.Module, shown: Source, run: RunSettings, batch: int = 250) -> tuple[float, float]:
    """The shares of images that a network in eval mode gives their class, and the largest entry of their label."""
    logits = predict(network, shown.images, run, mean=shown.mean, std=shown.std, batch=batch)
    labels = shown.targets.argmax(1) if shown.targets.dim() == 2 else shown.targets
    return accuracy(logits, shown.classes), accuracy(logits, labels)


@torch.no_grad()
def predict(
    network: nn.Module,
    images: Tensor,
    run: RunSettings,
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    batch: int = 500,
) -> Tensor:
    """Logits float32 [N, K], on the CPU, of uint8 images [N, C, S, S], in eval mode."""
    where = devices.device(run)
    network = devices.place(network, where).eval()
    logits = []
    for part in images.split(batch):
        with devices.autocast(run, network):
            logits.append(network(to_input(part.to(where), mean, std)).float())
    return torch.cat(logits).cpu()


@torch.no_grad()
def recalibrate(network: nn.Module, inputs: Iterable[Tensor], run: RunSettings) -> None:
    """Replace a network's batch-norm statistics by the plain mean over batches of normalised inputs.

    A supernet's running statistics are those of all its paths mixed; a path that is judged by itself needs its own
    (SPOS paper, section 3.4). Every batch counts the same, whatever came before: the outcome depends on `inputs` alone.
    """
    layers = [layer for layer in network.eval().modules() if isinstance(layer, nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # torch's word for a cumulative average
        layer.train()
    for part in inputs:
        with devices.autocast(run, network):
            network(part)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
        layer.eval()


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """The fraction of images whose largest logit is the label's."""
    return float((logits.argmax(1) == labels).double().mean())
