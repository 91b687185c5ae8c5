"""Channel pruning as a search space (MetaPruning, Liu et al., 2019): a ResNet whose layers have widths of their own.

An encoding gives a ratio to each width. The pruned network of an encoding, its costs, and the PruningNet that makes
weights for all of them (`pruning_net`) read one description: the layers of each block.
"""

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dfnas.errors import UserError
from dfnas.models import resnet

RATIOS = tuple((10 + 3 * i) / 100 for i in range(31))  # MetaPruning's grid, 0.10 to 1.00
FULL = len(RATIOS) - 1
Encoding = tuple[int, ...]
_TEXT = re.compile(r"pruned:1;(?P<network>[a-z0-9]+);(?P<genes>[0-9]{1,3}(?:,[0-9]{1,3})*)")


@dataclass(frozen=True)
class Space:
    """A ResNet that is to be pruned, by its full widths: see `space`.

    An encoding has a gene for the stem (not where the first stage's identities tie it to that stage), one for the
    output of each stage but the last, which keeps its width, and one for the inner width of each block, in order.
    """

    network: str
    stem: int
    stem_kernel: int
    stem_stride: int
    pool: bool  # 3x3 max-pool of stride 2 behind the stem
    repeats: tuple[int, ...]
    widths: tuple[int, ...]  # of the stages' outputs
    bottleneck: bool  # else basic blocks

    @property
    def tied(self) -> bool:
        """Whether stem and first stage share a width, as identities add them."""
        return self.stem == self.widths[0]

    @property
    def genes(self) -> int:
        """The length of an encoding."""
        return (not self.tied) + len(self.widths) - 1 + sum(self.repeats)

    @property
    def names(self) -> tuple[str, ...]:
        """What each gene sets the width of."""
        outputs = [f"stage {number}" for number in range(1, len(self.widths))]
        inner = [f"{stage + 1}.{block + 1}" for stage, count in enumerate(self.repeats) for block in range(count)]
        return tuple(["stem"] * (not self.tied) + outputs + inner)

    @property
    def full_widths(self) -> tuple[int, ...]:
        """The width that each gene scales, in channels."""
        inner = [w // self.expansion for w, count in zip(self.widths, self.repeats, strict=True) for _ in range(count)]
        return (*[self.stem] * (not self.tied), *self.widths[:-1], *inner)

    @property
    def expansion(self) -> int:
        """How many times as wide as its inside a block's output is."""
        return 4 if self.bottleneck else 1


class Layer(NamedTuple):
    """A convolution without bias, and the gene of its output's width, by which its batch norm is chosen."""

    channels_in: int
    channels_out: int
    kernel: int
    stride: int
    gene: int

    @property
    def weights(self) -> int:
        """Values of its weight; times the pixels of its output, its multiply-adds."""
        return self.channels_in * self.channels_out * self.kernel**2


class Block(NamedTuple):
    """A residual block: its main branch, the projection of its shortcut (or None), and three genes: inside, in, out."""

    main: tuple[Layer, ...]
    shortcut: Layer | None
    genes: tuple[int, int, int]


def space(network: str) -> Space:
    """The space of a network by name: `resnet50` (the paper's, 20 genes) or a CIFAR ResNet as in `models.resnet`.

    Raises
    ------
    UserError
        A network that cannot be pruned.
    """
    if network == "resnet50":
        return Space(network, 64, 7, 2, True, (3, 4, 6, 3), (256, 512, 1024, 2048), bottleneck=True)
    if network not in resnet.ARCHITECTURES:
        raise UserError(f"cannot prune {network[:40]!r}; there are resnet50, {', '.join(resnet.ARCHITECTURES)}")
    repeats, widths = resnet.ARCHITECTURES[network]
    return Space(network, widths[0], 3, 1, False, repeats, widths, bottleneck=False)


def channels(full: int, gene: int) -> int:
    """The width that a gene leaves of a full one, rounded down: in whole numbers, so no fraction is lost."""
    return full * (10 + 3 * gene) // 100


def widths(space: Space, encoding: Sequence[int]) -> list[int]:
    """The width that each gene leaves, in channels."""
    return [channels(full, gene) for full, gene in zip(space.full_widths, check(space, encoding), strict=True)]


def check(space: Space, encoding: Sequence[int]) -> Encoding:
    """The encoding as a tuple of ints; UserError where the space does not have it."""
    encoding = tuple(int(gene) for gene in encoding)
    if len(encoding) != space.genes or not all(0 <= gene <= FULL for gene in encoding):
        raise UserError(f"pruned {space.network}: {space.genes} genes of 0 to {FULL} are needed, not {encoding}")
    return encoding


@functools.lru_cache(maxsize=4096)
def layers(space: Space, encoding: Encoding) -> tuple[Layer, tuple[Block, ...]]:
    """The stem and the blocks of an encoding."""
    encoding = check(space, encoding)
    outputs = [*encoding[: space.genes - sum(space.repeats)], FULL]
    inner = list(encoding[space.genes - sum(space.repeats) :])
    gene_in = outputs[0] if space.tied else outputs.pop(0)
    width_in = channels(space.stem, gene_in)
    stem, blocks = Layer(-1, width_in, space.stem_kernel, space.stem_stride, gene_in), []
    for stage, (count, full, gene) in enumerate(zip(space.repeats, space.widths, outputs, strict=True)):
        width = channels(full, gene)
        for index in range(count):
            mid = inner.pop(0)
            shape = (width_in, channels(full // space.expansion, mid), width, 2 if stage and not index else 1)
            projected = not index and not (stage == 0 and space.tied)
            blocks.append(_block(space, shape, (mid, gene_in, gene), projected))
            width_in, gene_in = width, gene
    return stem, tuple(blocks)


def _block(space: Space, shape: tuple[int, int, int, int], genes: tuple[int, int, int], projected: bool) -> Block:
    width_in, inside, width, stride = shape
    mid, _, out = genes
    main: tuple[Layer, ...]
    if space.bottleneck:  # the stride is on the 3x3, as in torchvision's ResNet-50 and MetaPruning's
        main = (
            Layer(width_in, inside, 1, 1, mid),
            Layer(inside, inside, 3, stride, mid),
            Layer(inside, width, 1, 1, out),
        )
    else:
        main = (Layer(width_in, inside, 3, stride, mid), Layer(inside, width, 3, 1, out))
    return Block(main, Layer(width_in, width, 1, stride, out) if projected else None, genes)


class Residual(nn.Module):
    """A residual block with weights of its own."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.main = nn.Sequential(*(_convolution(layer) for layer in block.main))
        self.stride = 1 if block.shortcut is None else block.shortcut.stride
        self.shortcut: nn.Module = nn.Identity()
        if block.shortcut is not None:
            self.shortcut = _convolution(block.shortcut._replace(stride=1))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for layer in self.main[:-1]:
            y = F.relu(layer(y))
        return F.relu(self.main[-1](y) + self.shortcut(every(x, self.stride)))


def every(x: Tensor, stride: int) -> Tensor:
    """Each `stride`-th row and column: what a 1x1 convolution of that stride reads.

    A projection gets its stride in this way, as torch's own strided 1x1 convolution (oneDNN 3.12 on AVX2, in
    channels_last) writes outside its memory where fewer than 8 channels come in.
    """
    return x[:, :, ::stride, ::stride] if stride > 1 else x


def _convolution(layer: Layer) -> nn.Sequential:
    shape = (layer.channels_in, layer.channels_out, layer.kernel, layer.stride, layer.kernel // 2)
    return nn.Sequential(nn.Conv2d(*shape, bias=False), nn.BatchNorm2d(layer.channels_out))


class Network(nn.Module):
    """The pruned network of an encoding, to be trained on its own. The full encoding is the network that was pruned.

    An encoding that the space lacks raises UserError.
    """

    def __init__(self, space: Space, encoding: Sequence[int], classes: int, image_channels: int = 3) -> None:
        super().__init__()
        stem, blocks = layers(space, check(space, encoding))
        self.space, self.encoding = space, check(space, encoding)
        self.stem = _convolution(stem._replace(channels_in=image_channels))
        self.blocks = nn.Sequential(*map(Residual, blocks))
        self.linear = nn.Linear(space.widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, classes] of normalised images [N, image_channels, S, S]."""
        x = F.relu(self.stem(x))
        x = F.max_pool2d(x, 3, 2, 1) if self.space.pool else x
        return self.linear(self.blocks(x).mean((2, 3)))


class _Place(NamedTuple):
    """A convolution with the side of its output, and whether ReLU follows it."""

    layer: Layer
    side: int
    relu: bool


def _places(space: Space, encoding: Sequence[int], side: int, image_channels: int) -> list[_Place]:
    """Every convolution of an encoding for images of side `side`."""
    stem, blocks = layers(space, check(space, encoding))
    side = _strided(side, stem.stride)
    places = [_Place(stem._replace(channels_in=image_channels), side, True)]
    side = _strided(side, 2) if space.pool else side
    for block in blocks:
        if block.shortcut is not None:
            places.append(_Place(block.shortcut, _strided(side, block.shortcut.stride), False))
        for layer in block.main:
            side = _strided(side, layer.stride)
            places.append(_Place(layer, side, True))  # behind the last one, after the addition
    return places


def _strided(side: int, stride: int) -> int:
    """The side behind a convolution or pooling of odd kernel k and padding (k - 1) / 2."""
    return (side - 1) // stride + 1


def macs(space: Space, encoding: Sequence[int], side: int, classes: int, image_channels: int = 3) -> int:
    """Multiply-adds of an encoding for one image of side `side`, by arithmetic: nothing is built."""
    places = _places(space, encoding, side, image_channels)
    return sum(place.layer.weights * place.side**2 for place in places) + space.widths[-1] * classes


def parameters(space: Space, encoding: Sequence[int], classes: int, image_channels: int = 3) -> int:
    """Trainable values of the pruned network, batch norm's two a channel among them; nothing is built."""
    found = [place.layer for place in _places(space, encoding, 1, image_channels)]
    return sum(layer.weights + 2 * layer.channels_out for layer in found) + (space.widths[-1] + 1) * classes


def operations(space: Space, encoding: Sequence[int], side: int, classes: int, image_channels: int = 3) -> int:
    """What MetaPruning's counter counts: multiply-adds, and values through biases, batch norm, ReLU and max-pool."""
    places = _places(space, encoding, side, image_channels)
    values = [place.layer.channels_out * place.side**2 for place in places]
    relu = sum(value for value, place in zip(values, places, strict=True) if place.relu)
    pooled = 9 * places[0].layer.channels_out * _strided(places[0].side, 2) ** 2 if space.pool else 0
    return macs(space, encoding, side, classes, image_channels) + classes + sum(values) + relu + pooled


def random_encoding(space: Space, generator: torch.Generator, low: int = 0, high: int = FULL) -> Encoding:
    """An encoding with each gene drawn uniformly from `low` to `high`, both included."""
    return tuple(torch.randint(low, high + 1, (space.genes,), generator=generator).tolist())


def redraw(encoding: Encoding, position: int, generator: torch.Generator) -> int:
    """Another value for a gene: 1 to 30 is added, and what exceeds the grid starts anew (MetaPruning's mutation)."""
    return (encoding[position] + 1 + int(torch.randint(FULL, (), generator=generator))) % (FULL + 1)


def uniform(space: Space, cost: Callable[[Encoding], float], target: float) -> Encoding:
    """The encoding of even width whose cost comes nearest to `target`.

    Even: all genes are i, but the first few are i + 1, as one step of all genes at once would be too coarse to meet a
    target.
    """
    even = (
        (gene + 1,) * raised + (gene,) * (space.genes - raised) for gene in range(FULL) for raised in range(space.genes)
    )
    return min([*even, (FULL,) * space.genes], key=lambda encoding: abs(cost(encoding) - target))


def to_text(encoding: Sequence[int], space: Space) -> str:
    """An encoding as one line: `pruned:1;resnet50;19,9,...`; the 1 is the version."""
    return f"pruned:1;{space.network};{','.join(map(str, check(space, encoding)))}"


def from_text(text: str) -> tuple[Encoding, Space]:
    """The encoding and the space of a line of `to_text`; UserError for any other line."""
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        raise UserError(f"no pruned network: {text[:100]!r} is not of the form 'pruned:1;resnet50;19,9,…'")
    chosen = space(match["network"])
    return check(chosen, [int(gene) for gene in match["genes"].split(",")]), chosen
