"""The discrete DARTS network (Liu et al., 2019, section 3 and appendix A), for CIFAR, ImageNet and digits alike."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dfnas.errors import UserError
from dfnas.models.chain import Norm, every
from dfnas.models.darts_genotype import (
    DARTS_V1,
    DARTS_V2,
    EDGES,
    NODES,
    PRIMITIVES,
    Edge,
    Genotype,
    Layer,
    Size,
    discretise,
    from_text,
    random_genotype,
    to_text,
)

__all__ = [
    "DARTS_V1",
    "DARTS_V2",
    "EDGES",
    "NODES",
    "PRIMITIVES",
    "AuxiliaryHead",
    "Cell",
    "FactorizedReduce",
    "Genotype",
    "Layer",
    "Network",
    "Size",
    "Stem",
    "discretise",
    "from_text",
    "operation",
    "preprocess",
    "random_genotype",
    "to_text",
]


class FactorizedReduce(nn.Module):
    """Halves the side without losing pixels: half of the channels from even, half from odd rows and columns."""

    def __init__(self, channels_in: int, channels_out: int, norm: Norm) -> None:
        super().__init__()
        self.relu = nn.ReLU()  # a module: scores of untrained networks look for these
        self.stride = 2 if channels_in < 8 else 1
        self.even = nn.Conv2d(channels_in, channels_out // 2, 1, 2 // self.stride, bias=False)
        self.odd = nn.Conv2d(channels_in, channels_out // 2, 1, 2 // self.stride, bias=False)
        self.norm = norm(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(x)
        x = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))  # the shifted half needs a last row and column
        halves = self.even(every(x, self.stride)), self.odd(every(x[:, :, 1:, 1:], self.stride))
        return self.norm(torch.cat(halves, 1))


def _separable(channels: int, kernel: int, stride: int, dilation: int, norm: Norm) -> list[nn.Module]:
    padding = dilation * (kernel // 2)
    return [
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
        norm(channels),
    ]


def operation(name: str, channels: int, stride: int, norm: Norm) -> nn.Module:
    """One of PRIMITIVES other than "none" as a module, [N, C, S, S] -> [N, C, S / stride, S / stride]."""
    kind, _, kernel = name.rpartition("_")
    size = int(kernel[0]) if kernel[0].isdigit() else 0
    if kind == "max_pool":
        return nn.MaxPool2d(3, stride, 1)
    if kind == "avg_pool":
        return nn.AvgPool2d(3, stride, 1, count_include_pad=False)
    if kind == "sep_conv":
        first = _separable(channels, size, stride, 1, norm)
        return nn.Sequential(*first, *_separable(channels, size, 1, 1, norm))
    if kind == "dil_conv":
        return nn.Sequential(*_separable(channels, size, stride, 2, norm))
    return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels, norm)


def preprocess(channels_in: int, channels_out: int, reduce: bool, norm: Norm) -> nn.Module:
    """Brings an input of a cell to the cell's channels, and to its side where the cell before it reduced."""
    if reduce:
        return FactorizedReduce(channels_in, channels_out, norm)
    return nn.Sequential(nn.ReLU(), nn.Conv2d(channels_in, channels_out, 1, bias=False), norm(channels_out))


class Stem(nn.Module):
    """Images to the two inputs of the first cell: one 3x3 convolution, or for ImageNet three of stride 2."""

    def __init__(self, size: Size, image_channels: int, norm: Norm) -> None:
        super().__init__()
        if size.stem == "cifar":
            widths, strides = [image_channels, 3 * size.channels], [1]
        else:
            widths, strides = [image_channels, size.channels // 2, size.channels, size.channels], [2, 2, 2]
        layers: list[nn.Module] = []
        for (width_in, width_out), stride in zip(pairwise(widths), strides, strict=True):
            layers += [nn.ReLU()] if layers else []
            layers += [nn.Conv2d(width_in, width_out, 3, stride, 1, bias=False), norm(width_out)]
        self.first = nn.Sequential(*layers[:5])
        self.second = nn.Sequential(*layers[5:])  # nothing for CIFAR: both inputs are the same

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = self.first(images)
        return x, self.second(x)


class Cell(nn.Module):
    """A cell of a genotype: each node adds two operations, the output stacks the four nodes' channels."""

    def __init__(self, edges: tuple[Edge, ...], layer: Layer, norm: Norm) -> None:
        super().__init__()
        self.before = preprocess(layer.channels_before, layer.channels, layer.follows_reduction, norm)
        self.last = preprocess(layer.channels_last, layer.channels, False, norm)
        self.predecessors = [predecessor for _, predecessor in edges]
        self.operations = nn.ModuleList(
            operation(name, layer.channels, 2 if layer.reduction and predecessor < 2 else 1, norm)
            for name, predecessor in edges
        )

    def forward(self, before: Tensor, last: Tensor, keep: Tensor | None) -> Tensor:
        """`keep`: probability of keeping a path, or None where all are kept."""
        states = [self.before(before), self.last(last)]
        edges = list(zip(self.operations, self.predecessors, strict=True))
        for one, other in zip(edges[::2], edges[1::2], strict=True):
            paths = [_drop(module(states[source]), module, keep) for module, source in (one, other)]
            states.append(paths[0] + paths[1])
        return torch.cat(states[2:], 1)


def _drop(x: Tensor, module: nn.Module, keep: Tensor | None) -> Tensor:
    """Drop a path in some samples (Larsson et al., 2017), scale the others to keep the mean; never an identity."""
    if keep is None or isinstance(module, nn.Identity):
        return x
    kept = torch.rand(len(x), 1, 1, 1, device=x.device) < keep
    return x * (kept / keep).to(x.dtype)


class AuxiliaryHead(nn.Module):
    """A second classifier, two thirds of the way, for training only (DARTS, appendix A.2).

    It pools to 2x2 with windows of 5/8 of the side: 5 at stride 3 on CIFAR's 8x8 maps and 5 at stride 2 on ImageNet's
    7x7, as published, and the like elsewhere. ImageNet's has no second batch normalisation.
    """

    def __init__(self, channels: int, classes: int, stem: str) -> None:
        super().__init__()
        self.reduce = nn.Sequential(nn.Conv2d(channels, 128, 1, bias=False), nn.BatchNorm2d(128), nn.ReLU())
        norm = nn.BatchNorm2d(768) if stem == "cifar" else nn.Identity()
        self.features = nn.Sequential(nn.Conv2d(128, 768, 2, bias=False), norm, nn.ReLU())
        self.linear = nn.Linear(768, classes)

    def forward(self, x: Tensor) -> Tensor:
        sides = x.shape[2:]
        if min(sides) < 2:
            raise UserError(f"the auxiliary head needs maps of at least 2x2, not {sides[0]}x{sides[1]}: larger images")
        windows = [min(side - 1, -(-5 * side // 8)) for side in sides]
        strides = [side - window for side, window in zip(sides, windows, strict=True)]
        x = F.avg_pool2d(F.relu(x), windows, strides)
        return self.linear(self.features(self.reduce(x)).flatten(1))


class Network(nn.Module):
    """The network of a genotype: stem, cells, global average pooling, a linear classifier.

    With `auxiliary`, there is a second classifier that only training mode uses.
    """

    def __init__(
        self, genotype: Genotype, size: Size, classes: int, image_channels: int = 3, auxiliary: bool = False
    ) -> None:
        super().__init__()
        layers = size.layers()
        self.stem = Stem(size, image_channels, nn.BatchNorm2d)
        self.cells = nn.ModuleList(
            Cell(genotype.reduce if layer.reduction else genotype.normal, layer, nn.BatchNorm2d) for layer in layers
        )
        self.linear = nn.Linear(NODES * layers[-1].channels, classes)
        self.auxiliary_after = 2 * size.cells // 3 if auxiliary else -1
        if auxiliary:
            width = NODES * layers[self.auxiliary_after].channels
            self.auxiliary = AuxiliaryHead(width, classes, size.stem)
        # A tensor, so that a compiled network does not have to be compiled again for each new rate.
        self._keep: Tensor
        self.register_buffer("_keep", torch.ones(()), persistent=False)
        self._drop_path, self._dropping = 0.0, False

    @property
    def drop_path(self) -> float:
        """The rate in [0, 1) at which training drops a path in a sample; a training loop sets it as it goes.

        Setting it to anything else raises UserError.
        """
        return self._drop_path

    @drop_path.setter
    def drop_path(self, rate: float) -> None:
        if not 0 <= rate < 1:
            raise UserError(f"drop_path={rate}: the rate at which paths are dropped lies in [0, 1)")
        self._drop_path, self._dropping = rate, rate > 0
        self._keep.fill_(1 - rate)

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Logits [N, classes] of normalised images [N, channels, S, S]; in training with the auxiliary head's.

        Raises UserError where the auxiliary head's maps would be smaller than 2x2.
        """
        before, last = self.stem(images)
        keep = self._keep if self.training and self._dropping else None
        auxiliary = None
        for index, cell in enumerate(self.cells):
            before, last = last, cell(before, last, keep)
            if self.training and index == self.auxiliary_after:
                auxiliary = self.auxiliary(last)
        logits = self.linear(last.mean((2, 3)))
        return logits if auxiliary is None else (logits, auxiliary)
