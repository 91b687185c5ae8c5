"""The batch-norm distance: how far statistics of what enters a teacher's layers are from the running ones."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from dfnas.data.images import to_input
from dfnas.data.teachers import Teacher
from dfnas.kernels import dispatch
from dfnas.kernels.batch_norm import batch_norm
from dfnas.kernels.dispatch import accumulator
from dfnas.profiles import RunSettings
from dfnas.runtime import devices


class Moments(torch.autograd.Function):
    """Per-channel mean and biased variance over (N, H, W), in fp32, with the gradient in closed form.

    d mean / dx = 1/n and d variance / dx = 2 (x - mean) / n: one pass over x, where autograd's takes several.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        variance, mean = torch.var_mean(x.float(), (0, 2, 3), correction=0)
        ctx.save_for_backward(x, mean)
        return mean, variance

    @staticmethod
    def backward(ctx: Any, grad_mean: Tensor, grad_variance: Tensor) -> Tensor:  # type: ignore[override]
        x, mean = ctx.saved_tensors
        count = x.numel() // x.shape[1]
        slope = (2 / count) * grad_variance
        offset = grad_mean / count - slope * mean
        return (x * slope[:, None, None] + offset[:, None, None]).to(x.dtype)


class BatchNormDistance:
    """How far the statistics of what enters each batch-norm layer are from the running ones (equation `eq-bn`).

    A context: inside it the network's BatchNorm2d layers carry hooks, or, on a GPU, measure while they normalise
    (`dfnas.synthesis.moments.fused_batch_norm`); afterwards the network is as it was. After
    `start()` and a forward pass, `total()` is sum_l w_l (||v_l - running_var_l||_2 + ||m_l - running_mean_l||_2), where
    w_l is `first` for the first layer in the order of `modules()` and 1 elsewhere.
    """

    def __init__(self, network: nn.Module, first: float = 1.0) -> None:
        self.network = network
        self.layers = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
        self.first = first
        self.distances: list[Tensor] = []
        self.stack = ExitStack()

    def __enter__(self) -> "BatchNormDistance":
        where = next((value.device for value in self.network.parameters()), torch.device("cpu"))
        if dispatch.wanted(where):
            fused = self.stack.enter_context(fused_batch_norm(self.network, self.first))
            self.distances = fused.values
            return self
        for index, layer in enumerate(self.layers):
            weight = self.first if index == 0 else 1.0
            self.stack.callback(layer.register_forward_pre_hook(self._hook(weight)).remove)
        return self

    def __exit__(self, *exception: object) -> None:
        self.stack.close()
        self.distances.clear()

    def _hook(self, weight: float) -> Callable[[nn.BatchNorm2d, Any], None]:
        def hook(layer: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
            mean_target, variance_target = layer.running_mean, layer.running_var
            if mean_target is None or variance_target is None:
                return  # a layer without running statistics remembers nothing
            mean, variance = Moments.apply(inputs[0])
            distance = torch.linalg.vector_norm(variance - variance_target.float())
            self.distances.append(weight * (distance + torch.linalg.vector_norm(mean - mean_target.float())))

        return hook

    def start(self) -> None:
        """Forget what earlier forward passes left."""
        self.distances.clear()

    def total(self) -> Tensor:
        """The distance of the forward passes since `start`."""
        return torch.stack(self.distances).sum()


@torch.no_grad()
def layer_moments(teacher: Teacher, images: Tensor, run: RunSettings) -> list[dict[str, Tensor]]:
    """What each batch-norm layer sees of uint8 images [N, C, s, s], and what it remembers.

    A dictionary a layer: `mean` and `variance` of the batch, `running_mean` and `running_var`, each [channels].
    """
    layers = [layer for layer in teacher.network.modules() if isinstance(layer, nn.BatchNorm2d)]
    seen: list[dict[str, Tensor]] = []

    def hook(layer: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
        mean, variance = Moments.apply(inputs[0])
        running = {"running_mean": layer.running_mean, "running_var": layer.running_var}
        seen.append({"mean": mean, "variance": variance, **{k: v.clone() for k, v in running.items() if v is not None}})

    with ExitStack() as stack:
        for layer in layers:
            stack.callback(layer.register_forward_pre_hook(hook).remove)
        inputs = to_input(images.to(devices.device(run)), teacher.mean, teacher.std)
        devices.place(teacher.network, devices.device(run)).eval()(inputs)
    return seen


class Distances:
    """What the layers measured in the forward passes since `start`: one value a call of a layer, in that order."""

    def __init__(self) -> None:
        self.values: list[Tensor] = []

    def start(self) -> None:
        """Forget what earlier forward passes left."""
        self.values.clear()

    def total(self) -> Tensor:
        """The weighted sum of the distances, a scalar in fp32 that carries gradients."""
        return torch.stack(self.values).sum()


@contextmanager
def fused_batch_norm(network: nn.Module, first: float = 1.0) -> Iterator[Distances]:
    """Inside, every BatchNorm2d in eval mode also measures its input, in the same pass (`batch_norm`).

    Yields a `Distances`: ||v - running_var||_2 + ||m - running_mean||_2 of each layer, times `first` for the first in
    the order of `modules()`. Outputs and gradients are the network's own, to rounding. A layer that computes something
    else (in training mode, or of a class with a forward of its own) keeps its forward, and is measured apart; one
    without running statistics remembers nothing, and is left out. Afterwards, and after an exception, the network is
    as it was.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    distances = Distances()
    with ExitStack() as stack:
        for index, layer in enumerate(layers):
            stack.callback(_put_back, layer, vars(layer).get("forward"))
            layer.forward = _fused_forward(layer, first if index == 0 else 1.0, distances)  # type: ignore[method-assign]
        yield distances


def _put_back(layer: nn.Module, forward: Any) -> None:
    del layer.forward
    if forward is not None:
        layer.forward = forward


def _fused_forward(layer: nn.BatchNorm2d, weight: float, distances: Distances) -> Any:
    own = layer.forward
    plain = "forward" not in vars(layer) and type(layer).forward is nn.BatchNorm2d.forward

    def forward(x: Tensor) -> Tensor:
        mean, variance = layer.running_mean, layer.running_var
        if mean is None or variance is None:
            return own(x)
        if layer.training or not plain:
            apart = mean.to(accumulator(x.dtype)).clone(), variance.to(accumulator(x.dtype)).clone()
            distances.values.append(weight * batch_norm(x, *apart)[1])
            return own(x)
        y, distance = batch_norm(x, mean, variance, layer.weight, layer.bias, layer.eps)
        distances.values.append(weight * distance)
        return y

    return forward
