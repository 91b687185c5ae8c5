"""What chains of blocks share: layers and what they cost, stages of blocks, choices and their text form.

Costs are arithmetic on layers, nothing is built; torch's own counter, in `cost`, finds the same in built networks.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dfnas.errors import UserError
from dfnas.profiles import MobileSpaceSettings, SpaceSettings

NUMBER = "[1-9][0-9]{0,4}"
LIST = f"{NUMBER}(?:,{NUMBER})*"
Choices = tuple[int, ...]
Norm = Callable[[int], nn.Module]  # channels -> batch normalisation
Stages = SpaceSettings | MobileSpaceSettings


class Layer(NamedTuple):
    """A convolution without bias, batch norm and perhaps a ReLU; at stride 1 it keeps the side."""

    channels_in: int
    channels_out: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    relu: bool = True

    @property
    def weights(self) -> int:
        """Values of the convolution's weight; times the pixels of the output, its multiply-adds."""
        return self.channels_in // self.groups * self.channels_out * self.kernel**2


def depthwise(channels: int, kernel: int, stride: int = 1, relu: bool = True) -> Layer:
    """A layer that convolves each channel by itself."""
    return Layer(channels, channels, kernel, stride, channels, relu)


def strided(side: int, stride: int) -> int:
    """The side behind a convolution or pooling of odd kernel k and padding (k - 1) / 2."""
    return (side - 1) // stride + 1


def sides(layers: Sequence[Layer], side: int) -> list[int]:
    """The side of each layer's output, one layer behind another, where `side` is the first one's input's."""
    return list(accumulate((layer.stride for layer in layers), strided, initial=side))[1:]


def macs(layers: Sequence[Layer], side: int) -> int:
    """Multiply-adds of layers, one behind another, for an image of side `side`."""
    return sum(layer.weights * at**2 for layer, at in zip(layers, sides(layers, side), strict=True))


def parameters(layers: Iterable[Layer]) -> int:
    """Trainable values of layers, batch norm's two a channel among them."""
    return sum(layer.weights + 2 * layer.channels_out for layer in layers)


def every(x: Tensor, stride: int) -> Tensor:
    """Each `stride`-th row and column: what a 1x1 convolution of that stride reads.

    A projection gets its stride in this way, as torch's own strided 1x1 convolution (oneDNN 3.12 on AVX2, in
    channels_last) writes outside its memory where fewer than 8 channels come in.
    """
    return x[:, :, ::stride, ::stride] if stride > 1 else x


def sequence(
    layers: Iterable[Layer], norm: Norm = nn.BatchNorm2d, relu: Callable[[], nn.Module] = nn.ReLU
) -> nn.Sequential:
    """The modules of layers, one behind another."""
    modules: list[nn.Module] = []
    for layer in layers:
        shape = (layer.channels_in, layer.channels_out, layer.kernel, layer.stride, layer.kernel // 2)
        modules += [nn.Conv2d(*shape, groups=layer.groups, bias=False), norm(layer.channels_out)]
        modules += [relu()] * layer.relu
    return nn.Sequential(*modules)


def check_stages(name: str, space: Stages, *widths: int) -> None:
    """UserError where no network has these stages; `widths` are those of what stands before and behind them."""
    if not len(space.widths) == len(space.repeats) == len(space.strides) > 0:
        raise UserError(f"{name} space: widths, repeats and strides need one value for each stage")
    if min(*widths, *space.widths, *space.repeats) < 1 or {space.stem_stride, *space.strides} - {1, 2}:
        raise UserError(f"{name} space: all widths and repeats must be positive, all strides 1 or 2")


def shapes(space: Stages, channels: int) -> list[tuple[int, int, int]]:
    """(channels in, channels out, stride) of each block, in order, where `channels` enter the first."""
    blocks = []
    for width, repeat, stride in zip(space.widths, space.repeats, space.strides, strict=True):
        blocks += [(channels, width, stride)] + [(width, width, 1)] * (repeat - 1)
        channels = width
    return blocks


def block_sides(space: Stages, side: int) -> tuple[int, ...]:
    """The side of what enters each block, and of what leaves the last, for images of side `side`."""
    strides = [stride for _, _, stride in shapes(space, space.stem)]
    return tuple(accumulate(strides, strided, initial=strided(side, space.stem_stride)))


def stem(space: Stages, image_channels: int) -> Layer:
    """The first layer of a chain."""
    return Layer(image_channels, space.stem, 3, space.stem_stride)


def tail(space: Stages) -> Layer:
    """The last layer of a chain, before the mean over the image and the classifier."""
    return Layer(space.widths[-1], space.tail)


def fixed_macs(space: Stages, head: Sequence[Layer], side: int, classes: int) -> int:
    """Multiply-adds of what all architectures share: the layers before the blocks, the tail and the classifier."""
    return macs(head, side) + macs([tail(space)], block_sides(space, side)[-1]) + space.tail * classes


def check(name: str, choices: Sequence[int], options: Sequence[int], noun: str = "choices") -> Choices:
    """The choices as a tuple of ints; UserError where there are not as many as options, each below its option."""
    choices = tuple(int(choice) for choice in choices)
    if len(choices) != len(options) or not all(0 <= c < n for c, n in zip(choices, options, strict=True)):
        raise UserError(f"{name}: {len(options)} {noun} of 0 to {max(options) - 1} are needed, not {choices}")
    return choices


def random_choices(options: Sequence[int], generator: torch.Generator) -> Choices:
    """A choice for each position, uniformly at random below its option."""
    return tuple(int(torch.randint(count, (), generator=generator)) for count in options)


class Form:
    """The text form of one kind of chain: its fields, each a number or a list of numbers, and its choices."""

    def __init__(self, kind: str, name: str, fields: dict[str, str], choices: int) -> None:
        """`name` is for messages; `fields` maps each field to NUMBER or LIST; there are `choices` a block."""
        self.kind, self.name, self.fields = kind, name, fields
        patterns = fields | {"choices": f"[0-{choices - 1}]+"}
        parts = (f"{field}=(?P<{field}>{pattern})" for field, pattern in patterns.items())
        self.pattern = re.compile(";".join([f"{kind}:1", *parts]))

    def write(self, space: Any, choices: Sequence[int]) -> str:
        """The line of an architecture: the fields are attributes of `space`."""
        values = {field: getattr(space, field) for field in self.fields}
        parts = [f"{field}={','.join(map(str, v)) if isinstance(v, tuple) else v}" for field, v in values.items()]
        return ";".join([f"{self.kind}:1", *parts, "choices=" + "".join(map(str, choices))])

    def read(self, text: str) -> tuple[tuple[int, ...], dict[str, Any]]:
        """The choices and the fields of a line; UserError for a line of another form."""
        match = self.pattern.fullmatch(text.strip())
        if match is None:
            form = ";".join(f"{field}=…" for field in [*self.fields, "choices"])
            raise UserError(f"no {self.name} architecture: {text[:100]!r} is not of the form '{self.kind}:1;{form}'")
        values = match.groupdict()
        choices = tuple(map(int, values.pop("choices")))
        numbers = {field: tuple(map(int, value.split(","))) for field, value in values.items()}
        return choices, {field: v if self.fields[field] == LIST else v[0] for field, v in numbers.items()}
