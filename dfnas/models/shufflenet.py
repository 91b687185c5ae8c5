"""The search space of SPOS (Guo et al., 2020): a chain of ShuffleNet v2 blocks with four choices each.

Networks, their costs by arithmetic, random architectures and the text form all read one description of a block:
the layers of its branches.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dfnas.errors import UserError
from dfnas.models import chain
from dfnas.models.chain import LIST, NUMBER, Choices, Form, Layer, depthwise
from dfnas.profiles import SpaceSettings

CHOICES = ("shuffle_3x3", "shuffle_5x5", "shuffle_7x7", "xception")
_FIELDS = {  # of the text form, in its order
    **{"stem": NUMBER, "stem_stride": NUMBER, "widths": LIST, "repeats": LIST, "strides": LIST, "tail": NUMBER}
}
_FORM = Form("spos", "SPOS", _FIELDS, len(CHOICES))


@dataclass(frozen=True)
class Space(SpaceSettings):
    """The fixed part of a chain, checked; by default the paper's for 224x224 images (20 blocks, 4^20 architectures).

    Stage i has `repeats[i]` blocks of `widths[i]` channels, the first with stride `strides[i]`. A block that strides or
    widens has two branches (the paper always does both; at stride 1, a stage keeps its resolution and may widen); all
    others pass half their channels on. A shape that no network can have raises UserError.
    """

    def __post_init__(self) -> None:
        chain.check_stages("SPOS", self, self.stem, self.tail)
        if any(width % 2 for width in self.widths):
            raise UserError("SPOS space: widths must be even, as blocks split their channels in halves")
        for channels_in, channels_out, stride in self.blocks:
            if channels_out < channels_in + (stride == 2):
                raise UserError(f"SPOS space: a first block from {channels_in} to {channels_out} channels must widen")

    @property
    def blocks(self) -> tuple[tuple[int, int, int], ...]:
        """(channels in, channels out, stride) of each block, in order."""
        return tuple(chain.shapes(self, self.stem))

    @property
    def options(self) -> tuple[int, ...]:
        """How many choices each block has."""
        return (len(CHOICES),) * sum(self.repeats)


def branches(choice: int, channels_in: int, channels_out: int, stride: int) -> tuple[list[Layer], list[Layer]]:
    """Layers of a block's projection (none where half the channels are passed on) and of its main branch."""
    kernel = (3, 5, 7, 3)[choice]
    projection = []
    if stride == 1 and channels_in == channels_out:
        inner, outer = channels_in // 2, channels_out // 2
    else:
        inner, outer = channels_in, channels_out - channels_in
        projection = [depthwise(inner, kernel, stride, relu=False), Layer(inner, inner)]
    middle = channels_out // 2
    if CHOICES[choice] != "xception":
        return projection, [Layer(inner, middle), depthwise(middle, kernel, stride, relu=False), Layer(middle, outer)]
    main = [depthwise(inner, kernel, stride, relu=False), Layer(inner, middle)]
    for width in (middle, outer):
        main += [depthwise(middle, kernel, relu=False), Layer(middle, width)]
    return projection, main


def _sequence(layers: Sequence[Layer], affine: bool) -> nn.Sequential:
    return chain.sequence(layers, functools.partial(nn.BatchNorm2d, affine=affine))


class Block(nn.Module):
    """A choice block. Even channels, or their projection, become the first channels of the output; odd ones the rest.

    Taking every second channel is the channel shuffle of ShuffleNet v2 and its split in one.
    """

    def __init__(self, choice: int, channels_in: int, channels_out: int, stride: int, affine: bool) -> None:
        super().__init__()
        projection, main = branches(choice, channels_in, channels_out, stride)
        self.projection = _sequence(projection, affine) if projection else None
        self.main = _sequence(main, affine)

    def forward(self, x: Tensor) -> Tensor:
        if self.projection is not None:
            return torch.cat([self.projection(x), self.main(x)], 1)
        return torch.cat([x[:, 0::2], self.main(x[:, 1::2])], 1)


class _Chain(nn.Module):
    """What stand-alone network and supernet share: the stem before the blocks and the classifier behind them."""

    def __init__(self, space: Space, classes: int, image_channels: int, affine: bool) -> None:
        super().__init__()
        self.space = space
        self.stem = _sequence([chain.stem(space, image_channels)], affine)
        self.tail = _sequence([chain.tail(space)], affine)
        self.dropout = nn.Dropout(space.dropout)
        self.linear = nn.Linear(space.tail, classes, bias=False)

    def classify(self, x: Tensor) -> Tensor:
        return self.linear(self.dropout(self.tail(x).mean((2, 3))))

    def initialise(self) -> None:
        """Normal weights, of standard deviation 0.01 outside the blocks' and tail's convolutions (SPOS's code)."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                # A depthwise weight has shape [C, 1, k, k]: its deviation is 1, and batch norm takes it back.
                nn.init.normal_(module.weight, 0, 0.01 if module is self.stem[0] else 1 / module.weight.shape[1])
            elif isinstance(module, nn.BatchNorm2d) and module.affine:
                nn.init.constant_(module.bias, 1e-4)
        nn.init.normal_(self.linear.weight, 0, 0.01)


class Network(_Chain):
    """One architecture of the space, to be trained on its own; batch norm has weights.

    Choices that the space lacks raise UserError.
    """

    def __init__(self, space: Space, choices: Sequence[int], classes: int, image_channels: int = 3) -> None:
        super().__init__(space, classes, image_channels, affine=True)
        pairs = zip(check(space, choices), space.blocks, strict=True)
        self.blocks = nn.Sequential(*(Block(choice, *shape, affine=True) for choice, shape in pairs))
        self.initialise()

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, classes] of normalised images [N, image_channels, S, S]."""
        return self.classify(self.blocks(self.stem(x)))


class Supernet(_Chain):
    """All architectures of the space in one network: every choice of every block has its own weights.

    A forward pass runs the path that `choose` set; only that path's weights get gradients, and with gradients set to
    None between steps the optimiser leaves the others, and their momentum, untouched. Batch norm has no weights, and
    its running statistics mix all paths: recompute them before a path is evaluated.
    The initial weights are a function of the seed alone.
    """

    def __init__(self, space: Space, classes: int, image_channels: int = 3, seed: int = 0) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            super().__init__(space, classes, image_channels, affine=False)
            rows = ([Block(k, *shape, affine=False) for k in range(len(CHOICES))] for shape in space.blocks)
            self.blocks = nn.ModuleList(nn.ModuleList(row) for row in rows)
            self.initialise()
        self.choices: Choices = ()

    def choose(self, choices: Sequence[int]) -> None:
        """Set the path of the following forward passes; UserError where the space does not have it."""
        self.choices = check(self.space, choices)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, classes] of normalised images [N, image_channels, S, S], by the chosen path."""
        if not self.choices:
            raise RuntimeError("choose a path before the supernet's first forward pass")
        x = self.stem(x)
        for block, choice in zip(self.blocks, self.choices, strict=True):
            x = block[choice](x)  # type: ignore[index]
        return self.classify(x)


def check(space: Space, choices: Sequence[int]) -> Choices:
    """The choices as a tuple of ints; UserError where the space does not have them."""
    return chain.check("SPOS", choices, space.options)


@functools.cache
def block_macs(space: Space, side: int) -> tuple[tuple[int, ...], ...]:
    """Multiply-adds of each block (rows) by its choice (columns), for images of side `side`."""
    entering = zip(space.blocks, chain.block_sides(space, side), strict=False)
    return tuple(
        tuple(sum(chain.macs(branch, at) for branch in branches(k, *shape)) for k in range(len(CHOICES)))
        for shape, at in entering
    )


def macs(space: Space, choices: Sequence[int], side: int, classes: int, image_channels: int = 3) -> int:
    """Multiply-adds of an architecture for one image of side `side`, by arithmetic: nothing is built."""
    blocks = sum(row[choice] for row, choice in zip(block_macs(space, side), check(space, choices), strict=True))
    return blocks + chain.fixed_macs(space, [chain.stem(space, image_channels)], side, classes)


def random_choices(space: Space, generator: torch.Generator) -> Choices:
    """An architecture, uniformly at random."""
    return chain.random_choices(space.options, generator)


def binned_choices(
    space: Space,
    cost: Callable[[Choices], float],
    bins: Sequence[tuple[float, float]],
    generator: torch.Generator,
    tries: int = 500,
) -> Choices:
    """An architecture whose cost lies in a bin [low, high) drawn uniformly, as SPOS's code trains its supernet.

    Where `tries` uniform architectures all miss the bin, the last of them. The paper's ImageNet bins are 10 million
    multiply-adds wide, from 290 to 360 million.
    """
    low, high = bins[int(torch.randint(len(bins), (), generator=generator))]
    for _ in range(tries):
        choices = random_choices(space, generator)
        if low <= cost(choices) < high:
            break
    return choices


def to_text(choices: Sequence[int], space: Space) -> str:
    """An architecture as one line: `spos:1;stem=16;...;choices=2101...`, a digit a block; the 1 is the version."""
    return _FORM.write(space, check(space, choices))


def from_text(text: str) -> tuple[Choices, Space]:
    """The choices and the space (with the default dropout) of a line of `to_text`; UserError for any other line."""
    choices, values = _FORM.read(text)
    space = Space(**values)
    return check(space, choices), space
