"""What a network answers, and how often it is right."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from dfnas.data.images import to_input
from dfnas.data.sources import Images, Source, regions
from dfnas.data.teachers import Teacher
from dfnas.profiles import RunSettings, Settings
from dfnas.runtime import devices


@torch.no_grad()
def predict(network: nn.Module, source: Source, run: RunSettings, batch: int = 500) -> Tensor:
    """Logits float32 [N, K], on the CPU, of a source's images as they are, in eval mode."""
    where = devices.device(run)
    network = devices.place(network, where).eval()
    logits = []
    for part in source.images.split(batch):
        with devices.autocast(run, network):
            logits.append(network(to_input(part.to(where), source.mean, source.std)).float())
    return torch.cat(logits).cpu()


def answers(teacher: Teacher, images: Images, run: RunSettings, batch: int = 500) -> Tensor:
    """A teacher's logits float32 [N, K], on the CPU, of uint8 images [N, C, S, S] under its own normalisation."""
    unlabelled = torch.empty(0)
    return predict(teacher.network, Source(images, unlabelled, unlabelled, teacher.mean, teacher.std), run, batch)


def features(teacher: Teacher, images: Images, run: RunSettings) -> Tensor:
    """What a teacher's last linear layer reads, float32 [N, D], on the CPU; of a network without one, its logits."""
    parts: list[Tensor] = []
    layers = [layer for layer in teacher.network.modules() if isinstance(layer, nn.Linear)][-1:]
    handles = [layer.register_forward_pre_hook(lambda _, read: parts.append(read[0].float().cpu())) for layer in layers]
    logits = answers(teacher, images, run)
    for handle in handles:
        handle.remove()
    return torch.cat(parts) if parts else logits


def relabelled(source: Source, teacher: Teacher, settings: Settings) -> Source:
    """The same images with a teacher's logits of their central regions, under its normalisation."""
    return source.under(teacher).labelled(answers(teacher, regions(source, settings), settings.run))


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """The fraction of images whose largest logit is the label's."""
    return float((logits.argmax(1) == labels.cpu()).double().mean())


def accuracy_on(network: nn.Module, source: Source, run: RunSettings, batch: int = 250) -> tuple[float, float]:
    """The shares of images that a network in eval mode gives their class, and the largest entry of their label."""
    logits = predict(network, source, run, batch)
    labels = source.targets.argmax(1) if source.soft else source.targets
    return accuracy(logits, source.classes), accuracy(logits, labels)


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
