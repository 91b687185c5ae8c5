"""Two search spaces that published tables hold every architecture of, as single-path supernets.

The cell space of NAS-Bench-201 (Dong and Yang, 2020): one cell of four nodes, an operation on each of its six edges,
stacked in three stages. The chains of NAS-Bench-Macro (Su et al., 2021): eight blocks, each an identity or one of two
MBConvs. An architecture is its choices, a whole number a position.
"""

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dfnas.errors import UserError
from dfnas.kernels.mixed_sum import mixed_sum
from dfnas.models import chain
from dfnas.models.chain import Choices, Layer, Norm, sequence
from dfnas.models.mbconv import Shape, mbconv

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))  # (node read, node written), in the order of the text
BLOCKS = ((0, 0), (3, 3), (3, 6))  # choice -> kernel and expansion; the first is the identity
STAGES = (2, 3, 3)  # blocks of a chain, the first of each stage with stride 2 and twice the channels
KINDS = ("cell", "chain")


@dataclass(frozen=True)
class Space:
    """One of KINDS; `channels` are those of the first stage of cells (16 in the table), half those of a chain's stem.

    `cells` is how many each stage of the cell space has (5 in the table); a chain has none.
    """

    kind: str
    channels: int = 16
    cells: int = 5

    @property
    def options(self) -> tuple[int, ...]:
        """How many choices each position has."""
        return (len(OPERATIONS),) * len(EDGES) if self.kind == "cell" else (len(BLOCKS),) * sum(STAGES)


def kind_of(text: str) -> str:
    """Which space an architecture's text belongs to.

    `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|` is a cell: for each node its edges, an operation at the node that it reads.
    `01202110`, a digit a block, is a chain. Raises UserError for any other text.
    """
    if re.fullmatch(f"[0-{len(BLOCKS) - 1}]{{{sum(STAGES)}}}", text):
        return "chain"
    names = "|".join(OPERATIONS)
    nodes = [r"\|" + "".join(rf"(?:{names})~{read}\|" for read in range(node)) for node in (1, 2, 3)]
    if re.fullmatch(r"\+".join(nodes), text):
        return "cell"
    raise UserError(
        f"{text[:80]!r} is neither a cell, as |op~0|+|op~0|op~1|+|op~0|op~1|op~2|, nor a chain, as 01202110"
    )


def from_text(text: str) -> Choices:
    """The choices of an architecture's text; UserError where it is none."""
    if kind_of(text) == "chain":
        return tuple(map(int, text))
    return tuple(OPERATIONS.index(name) for name in re.findall(r"(\w+)~\d", text))


def to_text(space: Space, choices: Choices) -> str:
    """The text that `from_text` reads."""
    if space.kind == "chain":
        return "".join(map(str, choices))
    edges = [f"{OPERATIONS[choice]}~{source}|" for choice, (source, _) in zip(choices, EDGES, strict=True)]
    return f"|{edges[0]}+|{''.join(edges[1:3])}+|{''.join(edges[3:])}"


def network_text(space: Space, text: str) -> str:
    """What `models.build` makes the network of an architecture from: its text, behind the sizes of the space."""
    return f"nasbench:channels={space.channels};cells={space.cells};{text}"


def from_network_text(text: str) -> tuple[Space, Choices]:
    """The inverse of `network_text`; UserError where it is none."""
    sizes = re.fullmatch(r"nasbench:channels=(\d+);cells=(\d+);(.+)", text)
    if sizes is None:
        raise UserError(f"{text[:80]!r} is no network of a published space: nasbench:channels=16;cells=5;<its text>")
    return Space(kind_of(sizes[3]), int(sizes[1]), int(sizes[2])), from_text(sizes[3])


class Supernet(nn.Module):
    """All architectures of a space in one network; a forward pass runs the path that `choose` set.

    Batch norm has no weights, and its statistics mix all paths: recompute them before a path is judged. With `only`,
    the network of that one architecture, whose batch norm has weights. The initial weights are a function of the seed,
    or of what torch draws next (None).
    """

    def __init__(
        self, space: Space, classes: int, image_channels: int = 3, seed: int | None = 0, only: Choices | None = None
    ) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[], enabled=seed is not None):
            if seed is not None:
                torch.manual_seed(seed)
            self.space, self.choices = space, only or ()
            held = [[choice] for choice in only] if only else [list(range(count)) for count in space.options]
            build = _cells if space.kind == "cell" else _chain
            norm = functools.partial(nn.BatchNorm2d, affine=only is not None)
            self.stem, self.body, self.tail, width = build(space, image_channels, held, norm)
            self.linear = nn.Linear(width, classes)

    def choose(self, choices: Sequence[int]) -> None:
        """Set the path of the following forward passes; UserError where the space does not have it."""
        self.choices = chain.check(f"a {self.space.kind}", choices, self.space.options)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, classes] of normalised images [N, image_channels, S, S], by the chosen path."""
        x, position = self.stem(x), 0
        for layer in self.body:
            if isinstance(layer, _Cell):
                x = layer(x, self.apply_position)
            elif isinstance(layer, nn.ModuleDict):
                x = self.apply_position(position, layer, x)
                position += 1
            else:
                x = layer(x)
        return self.linear(self.tail(x).mean((2, 3)))

    def apply_position(self, position: int, operations: nn.ModuleDict, x: Tensor) -> Any:
        """What the chosen operation of a position makes of its input; None of "none", which brings nothing."""
        if not self.choices:
            raise RuntimeError("choose a path before the supernet's first forward pass")
        choice = str(self.choices[position])
        return operations[choice](x) if choice in operations else None


class Mixture(Supernet):
    """A supernet whose every position gives the sum of its operations, weighted by a softmax (DARTS, section 2.2).

    `alphas`, for each position float32 logits [choices], zero at first, are no parameters of the network: what trains,
    clips or decays its weights does not see them.
    """

    def __init__(self, space: Space, classes: int, image_channels: int = 3, seed: int = 0) -> None:
        super().__init__(space, classes, image_channels, seed)
        self.alphas = [torch.zeros(count, requires_grad=True) for count in space.options]

    def _apply(self, function: Any, recurse: bool = True) -> "Mixture":
        """Move the architecture parameters with the weights; the tensors stay the same, as an optimiser has them."""
        super()._apply(function, recurse)
        for alpha in self.alphas:
            alpha.data = alpha.data.to(self.linear.weight.device)
        return self

    def apply_position(self, position: int, operations: nn.ModuleDict, x: Tensor) -> Any:
        """The weighted sum at a position; "none" has a weight, and no operation."""
        weights = self.alphas[position].softmax(0)[-len(operations) :]
        return mixed_sum([operation(x) for operation in operations.values()], weights)


def connected(space: Space, choices: Choices) -> bool:
    """Whether anything of a cell's input reaches its output; a chain's always does."""
    reached = {0}
    if space.kind == "cell":
        for choice, (source, target) in zip(choices, EDGES, strict=True):
            reached |= {target} if choice and source in reached else set()
    return space.kind == "chain" or 3 in reached


Parts = tuple[nn.Module, nn.ModuleList, nn.Module, int]


def _cells(space: Space, image_channels: int, held: list[list[int]], norm: Norm) -> Parts:
    """Three stages of cells, between them residual blocks of stride 2 that double the channels."""
    width, layers = space.channels, nn.ModuleList()
    stem = sequence([Layer(image_channels, width, 3, relu=False)], norm)
    for stage in range(3):
        if stage:
            layers.append(_Reduction(width, norm))
            width *= 2
        layers.extend(_Cell(width, held, norm) for _ in range(space.cells))
    return stem, layers, nn.Sequential(norm(width), nn.ReLU()), width


class _Cell(nn.Module):
    """Four nodes, each the sum of what its edges bring; the last is the output."""

    def __init__(self, channels: int, held: list[list[int]], norm: Norm) -> None:
        super().__init__()
        self.edges = nn.ModuleList(
            nn.ModuleDict({str(choice): _operation(OPERATIONS[choice], channels, norm) for choice in row if choice})
            for row in held
        )

    def forward(self, x: Tensor, apply_position: Callable[[int, Any, Tensor], Tensor | None]) -> Tensor:
        nodes: list[Tensor | None] = [x, None, None, None]
        for position, (edge, (source, target)) in enumerate(zip(self.edges, EDGES, strict=True)):
            given, before = nodes[source], nodes[target]
            value = None if given is None else apply_position(position, edge, given)  # nothing comes of nothing
            nodes[target] = before if value is None else value if before is None else before + value
        return torch.zeros_like(x) if nodes[3] is None else nodes[3]


def _operation(name: str, channels: int, norm: Norm) -> nn.Module:
    if name == "skip_connect":
        return nn.Identity()
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, 1, 1, count_include_pad=False)
    return nn.Sequential(nn.ReLU(), *sequence([Layer(channels, channels, int(name[-1]), relu=False)], norm))


class _Reduction(nn.Module):
    """A residual block of two 3x3 convolutions that halves the side and doubles the channels."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        layers = [Layer(channels, 2 * channels, 3, 2), Layer(2 * channels, 2 * channels, 3, relu=False)]
        self.main = nn.Sequential(nn.ReLU(), *sequence(layers, norm))
        self.shortcut = nn.Conv2d(channels, 2 * channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x) + self.shortcut(F.avg_pool2d(x, 2, ceil_mode=True))


def _chain(space: Space, image_channels: int, held: list[list[int]], norm: Norm) -> Parts:
    """Eight blocks; a first block of a stage cannot be left out, so its identity is a 1x1 convolution of stride 2."""
    width, layers, rows = 2 * space.channels, nn.ModuleList(), iter(held)
    stem = sequence([Layer(image_channels, width, 3)], norm)
    for repeats in STAGES:
        for index in range(repeats):
            out, stride = (width, 1) if index else (2 * width, 2)
            layers.append(nn.ModuleDict({str(c): _block(*BLOCKS[c], width, out, stride, norm) for c in next(rows)}))
            width = out
    tail = 40 * 2 * space.channels  # 1280 in the table
    return stem, layers, sequence([Layer(width, tail)], norm), tail


def _block(kernel: int, expansion: int, channels: int, out: int, stride: int, norm: Norm) -> nn.Module:
    shape = Shape(channels, out, stride)
    if not kernel:
        return nn.Identity() if shape.shortcut else sequence([Layer(channels, out, 1, stride, relu=False)], norm)
    layers = nn.Sequential(*(sequence([layer], norm) for layer in mbconv(kernel, expansion, shape)))
    return _Residual(layers) if shape.shortcut else layers


class _Residual(nn.Module):
    """A block that adds its input to its output."""

    def __init__(self, main: nn.Module) -> None:
        super().__init__()
        self.main = main

    def forward(self, x: Tensor) -> Tensor:
        return x + self.main(x)
