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
from dfnas.models import chain, resnet
from dfnas.models.chain import Layer, sequence, strided

RATIOS = tuple((10 + 3 * i) / 100 for i in range(31))  # MetaPruning's grid, 0.10 to 1.00
FULL = len(RATIOS) - 1
Encoding = tuple[int, ...]
Branch = tuple[tuple[Layer, ...], int]  # layers, one behind another, and the side of what enters them
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


class Block(NamedTuple):
    """A residual block: its main branch, the projection of its shortcut (or None), and three genes: inside, in, out."""

    main: tuple[Layer, ...]  # the last without its ReLU, which follows the addition
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
    return chain.check(f"pruned {space.network}", encoding, (FULL + 1,) * space.genes, "genes")


@functools.lru_cache(maxsize=4096)
def layers(space: Space, encoding: Encoding) -> tuple[Layer, tuple[Block, ...]]:
    """The stem, whose output is what the first block is given, and the blocks of an encoding."""
    encoding = check(space, encoding)
    outputs = [*encoding[: space.genes - sum(space.repeats)], FULL]
    inner = list(encoding[space.genes - sum(space.repeats) :])
    gene_in = outputs[0] if space.tied else outputs.pop(0)
    width_in = channels(space.stem, gene_in)
    stem, blocks = Layer(-1, width_in, space.stem_kernel, space.stem_stride), []
    for stage, (count, full, gene) in enumerate(zip(space.repeats, space.widths, outputs, strict=True)):
        width = channels(full, gene)
        for index in range(count):
            mid = inner.pop(0)
            stride = 2 if stage and not index else 1
            main = _main(space, width_in, channels(full // space.expansion, mid), width, stride)
            projected = not index and not (stage == 0 and space.tied)
            shortcut = Layer(width_in, width, 1, stride, relu=False) if projected else None
            blocks.append(Block(main, shortcut, (mid, gene_in, gene)))
            width_in, gene_in = width, gene
    return stem, tuple(blocks)


def _main(space: Space, width_in: int, inside: int, width: int, stride: int) -> tuple[Layer, ...]:
    if space.bottleneck:  # the stride is on the 3x3, as in torchvision's ResNet-50 and MetaPruning's
        return Layer(width_in, inside), Layer(inside, inside, 3, stride), Layer(inside, width, relu=False)
    return Layer(width_in, inside, 3, stride), Layer(inside, width, 3, relu=False)


class Residual(nn.Module):
    """A residual block with weights of its own."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.main = nn.Sequential(*(sequence([layer]) for layer in block.main))
        self.stride = 1 if block.shortcut is None else block.shortcut.stride
        self.shortcut: nn.Module = nn.Identity()
        if block.shortcut is not None:
            self.shortcut = sequence([block.shortcut._replace(stride=1)])

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.main(x) + self.shortcut(chain.every(x, self.stride)))


class Network(nn.Module):
    """The pruned network of an encoding, to be trained on its own. The full encoding is the network that was pruned.

    An encoding that the space lacks raises UserError.
    """

    def __init__(self, space: Space, encoding: Sequence[int], classes: int, image_channels: int = 3) -> None:
        super().__init__()
        stem, blocks = layers(space, check(space, encoding))
        self.space, self.encoding = space, check(space, encoding)
        self.stem = sequence([stem._replace(channels_in=image_channels)])
        self.blocks = nn.Sequential(*map(Residual, blocks))
        self.linear = nn.Linear(space.widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, classes] of normalised images [N, image_channels, S, S]."""
        x = self.stem(x)
        x = F.max_pool2d(x, 3, 2, 1) if self.space.pool else x
        return self.linear(self.blocks(x).mean((2, 3)))


def _branches(space: Space, encoding: Sequence[int], side: int, image_channels: int) -> list[Branch]:
    """The stem, then the projection and the main branch of each block, for images of side `side`."""
    stem, blocks = layers(space, check(space, encoding))
    branches: list[Branch] = [((stem._replace(channels_in=image_channels),), side)]
    side = strided(side, stem.stride)
    side = strided(side, 2) if space.pool else side
    for block in blocks:
        branches += [((block.shortcut,), side)] if block.shortcut else []
        branches.append((block.main, side))
        side = chain.sides(block.main, side)[-1]
    return branches


def macs(space: Space, encoding: Sequence[int], side: int, classes: int, image_channels: int = 3) -> int:
    """Multiply-adds of an encoding for one image of side `side`, by arithmetic: nothing is built."""
    branches = _branches(space, encoding, side, image_channels)
    return sum(chain.macs(branch, at) for branch, at in branches) + space.widths[-1] * classes


def parameters(space: Space, encoding: Sequence[int], classes: int, image_channels: int = 3) -> int:
    """Trainable values of the pruned network, batch norm's two a channel among them; nothing is built."""
    branches = _branches(space, encoding, 1, image_channels)
    return sum(chain.parameters(branch) for branch, _ in branches) + (space.widths[-1] + 1) * classes


def operations(space: Space, encoding: Sequence[int], side: int, classes: int, image_channels: int = 3) -> int:
    """What MetaPruning's counter counts: multiply-adds, and values through biases, batch norm, ReLU and max-pool."""
    total = macs(space, encoding, side, classes, image_channels) + classes
    (stem, _), (_, pooled), *_ = branches = _branches(space, encoding, side, image_channels)
    for branch, at in branches:
        values = sum(layer.channels_out * s**2 for layer, s in zip(branch, chain.sides(branch, at), strict=True))
        total += values * (2 if branch[0].relu else 1)  # a projection alone has no ReLU behind it
    return total + 9 * stem[0].channels_out * pooled**2 * space.pool


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
