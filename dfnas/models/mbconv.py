"""The search space of ProxylessNAS (Cai et al., 2019): a chain of mobile inverted bottlenecks, MBConvs.

Networks, their costs by arithmetic, random architectures and the text form all read one description of an operation:
its layers. With other widths and repeats the same chain is MobileNetV2 (Sandler et al., 2018).
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dfnas.errors import UserError
from dfnas.kernels import separable
from dfnas.models import chain
from dfnas.models.chain import LIST, NUMBER, Choices, Form, Layer, depthwise
from dfnas.profiles import MobileSpaceSettings

SIZES = ((3, 3), (3, 6), (5, 3), (5, 6), (7, 3), (7, 6))  # kernel and expansion of the operations, in their order
ZERO = len(SIZES)  # the last operation: nothing, so that its block is an identity
OPERATIONS = (*(f"mbconv_{kernel}x{kernel}_e{expansion}" for kernel, expansion in SIZES), "zero")
LABELS = (*(f"{kernel}x{kernel} e{expansion}" for kernel, expansion in SIZES), "zero")  # in figures
SYMBOLS = (*(f"{kernel}\n{expansion}" for kernel, expansion in SIZES), "0")
_FIELDS = {  # of the text form, in its order
    **{"stem": NUMBER, "stem_stride": NUMBER, "first": NUMBER},
    **{"widths": LIST, "repeats": LIST, "strides": LIST, "tail": NUMBER},
}
_FORM = Form("proxyless", "ProxylessNAS", _FIELDS, ZERO + 1)


class Shape(NamedTuple):
    """What a block is given and gives."""

    channels_in: int
    channels_out: int
    stride: int

    @property
    def shortcut(self) -> bool:
        """Whether the block adds its input to its output; only such a block can be left out."""
        return self.stride == 1 and self.channels_in == self.channels_out

    @property
    def operations(self) -> int:
        """How many operations there are to choose from."""
        return len(SIZES) + self.shortcut


@dataclass(frozen=True)
class Space(MobileSpaceSettings):
    """The fixed part of a chain, checked; by default the paper's for 224x224 images (21 blocks, 6^6 * 7^15 networks).

    A stem, a fixed MBConv of `first` channels, then stages of choice blocks: stage i has `repeats[i]` of `widths[i]`
    channels, the first with stride `strides[i]`. A shape that no network can have raises UserError.
    """

    def __post_init__(self) -> None:
        chain.check_stages("ProxylessNAS", self, self.stem, self.first, self.tail)

    @property
    def blocks(self) -> tuple[Shape, ...]:
        """The shape of each choice block, in order."""
        return tuple(Shape(*shape) for shape in chain.shapes(self, self.first))

    def sides(self, side: int) -> tuple[int, ...]:
        """The side of what enters each choice block, and of what leaves the last, for images of side `side`."""
        return chain.block_sides(self, side)

    @property
    def options(self) -> tuple[int, ...]:
        """How many operations each choice block has."""
        return tuple(shape.operations for shape in self.blocks)

    @property
    def networks(self) -> int:
        """How many architectures there are."""
        return math.prod(self.options)


def mbconv(kernel: int, expansion: int, shape: Shape) -> list[Layer]:
    """Layers of an MBConv: widen by `expansion` (unless that is 1), depthwise convolution, narrow without ReLU."""
    middle = shape.channels_in * expansion
    widen = [Layer(shape.channels_in, middle)] if expansion > 1 else []
    return [*widen, depthwise(middle, kernel, shape.stride), Layer(middle, shape.channels_out, relu=False)]


def layers(operation: int, shape: Shape) -> list[Layer]:
    """Layers of an operation; none of the zero operation."""
    return [] if operation == ZERO else mbconv(*SIZES[operation], shape)


def body(operation: int, shape: Shape) -> nn.Sequential:
    """An operation, without the shortcut around it."""
    return _sequence(layers(operation, shape))


def head(space: Space, image_channels: int) -> nn.Sequential:
    """What every architecture begins with: a strided 3x3 convolution and an MBConv of kernel 3 that widens nothing."""
    return nn.Sequential(*_sequence([chain.stem(space, image_channels)]), _sequence(_fixed(space)))


def tail(space: Space, classes: int) -> nn.Sequential:
    """What every architecture ends with: a 1x1 convolution, the mean over the image and a linear layer."""
    widen, linear = _sequence([chain.tail(space)]), nn.Linear(space.tail, classes)
    return nn.Sequential(widen, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(space.dropout), linear)


def _fixed(space: Space) -> list[Layer]:
    return mbconv(3, 1, Shape(space.stem, space.first, 1))


def _sequence(parts: Sequence[Layer]) -> nn.Sequential:
    norm = functools.partial(nn.BatchNorm2d, eps=1e-3)
    return separable.quicken(chain.sequence(parts, norm, nn.ReLU6))  # type: ignore[return-value]


def initialise(network: nn.Module) -> None:
    """Normal weights by fan-out (He et al., 2015), as ProxylessNAS's code has them; biases zero."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
        elif isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)


class Block(nn.Module):
    """A block with its operation chosen: an MBConv, and its shortcut where the shape has one."""

    def __init__(self, operation: int, shape: Shape) -> None:
        super().__init__()
        self.body, self.shortcut = body(operation, shape), shape.shortcut

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.shortcut else self.body(x)


class Network(nn.Module):
    """One architecture of the space, to be trained on its own. Choices that the space lacks raise UserError."""

    def __init__(self, space: Space, choices: Sequence[int], classes: int, image_channels: int = 3) -> None:
        super().__init__()
        pairs = list(zip(check(space, choices), space.blocks, strict=True))
        self.head = head(space, image_channels)
        self.blocks = nn.Sequential(*(nn.Identity() if k == ZERO else Block(k, shape) for k, shape in pairs))
        self.tail = tail(space, classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, classes] of normalised images [N, image_channels, S, S]."""
        return self.tail(self.blocks(self.head(x)))


def check(space: Space, choices: Sequence[int]) -> Choices:
    """The choices as a tuple of ints; UserError where the space does not have them."""
    options = space.options
    choices = chain.check("ProxylessNAS", choices, [len(OPERATIONS)] * len(options))
    for number, (choice, count) in enumerate(zip(choices, options, strict=True)):
        if choice >= count:
            raise UserError(f"ProxylessNAS: block {number} changes the shape and cannot be left out (choice {ZERO})")
    return choices


@functools.cache
def block_macs(space: Space, side: int) -> tuple[tuple[int, ...], ...]:
    """Multiply-adds of each block (rows) by its operation (columns, six or seven), for images of side `side`."""
    entering = zip(space.blocks, space.sides(side), strict=False)
    return tuple(tuple(chain.macs(layers(k, shape), at) for k in range(shape.operations)) for shape, at in entering)


def fixed_macs(space: Space, side: int, classes: int, image_channels: int = 3) -> int:
    """Multiply-adds of what all architectures share."""
    return chain.fixed_macs(space, [chain.stem(space, image_channels), *_fixed(space)], side, classes)


def macs(space: Space, choices: Sequence[int], side: int, classes: int, image_channels: int = 3) -> int:
    """Multiply-adds of an architecture for one image of side `side`, by arithmetic: nothing is built."""
    blocks = sum(row[choice] for row, choice in zip(block_macs(space, side), check(space, choices), strict=True))
    return fixed_macs(space, side, classes, image_channels) + blocks


def to_text(choices: Sequence[int], space: Space) -> str:
    """An architecture as one line: `proxyless:1;stem=32;...;choices=2066...`, a digit a block; the 1 is the version."""
    return _FORM.write(space, check(space, choices))


def from_text(text: str) -> tuple[Choices, Space]:
    """The choices and the space (with the default dropout) of a line of `to_text`; UserError for any other line."""
    choices, values = _FORM.read(text)
    space = Space(**values)
    return check(space, choices), space


class Supernet(nn.Module):
    """All architectures of the space in one network: every operation of every block has its own weights.

    A forward pass runs the path that `choose` set; only that path's weights get gradients. After `open_gates` it runs
    a second operation of each block beside it, at weight zero (ProxylessNAS paper, section 3.2.1).
    The initial weights are a function of the seed alone.
    """

    def __init__(self, space: Space, classes: int, image_channels: int = 3, seed: int = 0) -> None:
        super().__init__()
        self.space = space
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.head = head(space, image_channels)
            rows = ([body(k, shape) for k in range(len(SIZES))] for shape in space.blocks)
            self.blocks = nn.ModuleList(nn.ModuleList(row) for row in rows)
            self.tail = tail(space, classes)
            initialise(self)
        self.choices: Choices = ()
        self.others: Choices = ()
        self.gates: list[Tensor] = []

    def choose(self, choices: Sequence[int]) -> None:
        """Set the path of the following forward passes; UserError where the space does not have it."""
        self.choices, self.others, self.gates = check(self.space, choices), (), []

    def open_gates(self, active: Sequence[int], inactive: Sequence[int]) -> list[Tensor]:
        """Set a path and a second operation of each block; the gates [2] of each block, (1, 0), to be derived by.

        A block whose active operation is zero is an identity, and no gradient reaches its gates (as in the authors'
        code). `choose` closes the gates.
        """
        self.choose(active)
        self.others = check(self.space, inactive)
        where = next(self.parameters()).device
        self.gates = [torch.tensor([1.0, 0.0], device=where, requires_grad=True) for _ in self.choices]
        return self.gates

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, classes] of normalised images [N, image_channels, S, S], by the chosen path."""
        if not self.choices:
            raise RuntimeError("choose a path before the supernet's first forward pass")
        x = self.head(x)
        for number, operation in enumerate(self.choices):
            if operation != ZERO:
                x = self._block(number, operation, x)
        return self.tail(x)

    def _block(self, number: int, operation: int, x: Tensor) -> Tensor:
        block, shape = self.blocks[number], self.space.blocks[number]
        y = block[operation](x)  # type: ignore[index]
        if self.gates:
            gate, other = self.gates[number], self.others[number]
            y = gate[0] * y
            if other != ZERO:
                with torch.no_grad():  # its own weights learn nothing here
                    compared = block[other](x)  # type: ignore[index]
                y = y + gate[1] * compared
        return x + y if shape.shortcut else y
