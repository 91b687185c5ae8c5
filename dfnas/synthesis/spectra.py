"""What is known of any photograph: its power falls with the square of the frequency (Field, 1987)."""

from typing import Any

import torch
from torch import Tensor, nn


class SpectrumDistance:
    """How far a batch is from natural images, where a network keeps no statistics: takes `BatchNormDistance`'s place.

    A context: inside it the network measures what it is shown. After `start()` and a forward pass, `total()` is
    ||log p - log q||_2 + ||m||_2: p is the batch's mean power in each ring of the Fourier plane, q falls as
    1 / frequency^2 and sums to 1, the variance of normalised images, m is the batch's mean by channel, theirs is 0.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network, self.distances = network, list[Tensor]()
        self.layers: list[Any] = []

    def __enter__(self) -> "SpectrumDistance":
        self.handle = self.network.register_forward_pre_hook(self._measure)
        return self

    def __exit__(self, *exception: object) -> None:
        self.handle.remove()
        self.distances.clear()

    def _measure(self, network: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.distances.append(spectrum_distance(inputs[0]))

    def start(self) -> None:
        """Forget what earlier forward passes left."""
        self.distances.clear()

    def total(self) -> Tensor:
        """The distance of the forward passes since `start`, a scalar in fp32 that carries gradients."""
        return torch.stack(self.distances).sum()


def spectrum_distance(images: Tensor) -> Tensor:
    """The distance of normalised images [N, C, S, S] from a 1/f spectrum of variance 1, a scalar; see the class."""
    images, side = images.float(), images.shape[-1]
    mean = images.mean((0, 2, 3))
    frequency = torch.fft.fftfreq(side, 1 / side, device=images.device)
    radius = torch.hypot(frequency[:, None], frequency[None, :]).round().long().clamp(max=side // 2)
    power = torch.fft.fft2(images - mean[:, None, None], norm="forward").abs().square().mean((0, 1))
    natural = torch.where(radius > 0, 1 / radius.clamp(min=1) ** 2, 0.0)
    natural = natural / natural.sum()
    rings = torch.zeros(2, side // 2 + 1, device=images.device)
    rings = rings.index_add(1, radius.flatten(), torch.stack([power, natural]).flatten(1))[:, 1:]
    ours, theirs = (rings + 1e-6).log()
    return torch.linalg.vector_norm(ours - theirs) + torch.linalg.vector_norm(mean)
