"""Genotypes of DARTS (Liu et al., 2019): the operations, what describes a network, its text form, discretisation.

A cell has two inputs (nodes 0 and 1, the outputs of the two cells before it), four intermediate nodes (2 to 5), each
a sum over its edges, and an output that stacks the channels of the four. In a reduction cell the edges from the two
inputs have stride 2.
"""

import re
from dataclasses import dataclass

import torch
from torch import Tensor

from dfnas.errors import UserError

PRIMITIVES = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
NODES = 4  # intermediate nodes of a cell
EDGES = 14  # 2 + 3 + 4 + 5: node i has an edge from each of the 2 + i nodes before it
STEMS = ("cifar", "imagenet")

Edge = tuple[str, int]  # an operation, and the node that it reads


@dataclass(frozen=True)
class Genotype:
    """A normal and a reduction cell, each as 8 edges: two for each intermediate node, in the order of the nodes.

    Raises UserError where a cell has another number of edges, an operation is unknown or "none", or a node reads one
    that does not come before it, or the same one twice.
    """

    normal: tuple[Edge, ...]
    reduce: tuple[Edge, ...]

    def __post_init__(self) -> None:
        for kind, cell in (("normal", self.normal), ("reduce", self.reduce)):
            if len(cell) != 2 * NODES:
                raise UserError(f"the {kind} cell has {len(cell)} edges; a genotype's cell has {2 * NODES}")
            for index, (operation, predecessor) in enumerate(cell):
                if operation not in PRIMITIVES[1:]:
                    raise UserError(f"{kind} cell: no operation {operation!r}; there are {', '.join(PRIMITIVES[1:])}")
                if not 0 <= predecessor < 2 + index // 2:
                    last = 1 + index // 2
                    raise UserError(f"{kind} cell: node {last + 1} reads node {predecessor}; it may read 0 to {last}")
            for node, (one, other) in enumerate(zip(cell[::2], cell[1::2], strict=True), 2):
                if one[1] == other[1]:
                    raise UserError(f"{kind} cell: node {node} reads node {one[1]} twice")


@dataclass(frozen=True)
class Size:
    """Channels of the first cells, number of cells, and stem: "cifar" (full side) or "imagenet" (an eighth of it).

    Raises UserError where a number is too small (a reduction needs an even number of channels) or the stem unknown.
    """

    channels: int
    cells: int
    stem: str = "cifar"

    def __post_init__(self) -> None:
        if self.channels < 2 or self.channels % 2 or self.cells < 1:
            raise UserError(
                f"channels={self.channels}, cells={self.cells}: channels must be even and at least 2, cells at least 1"
            )
        if self.stem not in STEMS:
            raise UserError(f"no stem {self.stem!r}; there are {', '.join(STEMS)}")

    @property
    def reductions(self) -> tuple[int, ...]:
        """Indices of the reduction cells: a third and two thirds of the way (DARTS, section 3.1)."""
        return tuple(sorted({self.cells // 3, 2 * self.cells // 3}))

    def layers(self) -> list["Layer"]:
        """The widths and strides of each cell, in order."""
        before, last = (self.channels, self.channels) if self.stem == "imagenet" else (3 * self.channels,) * 2
        width, reduced, layers = self.channels, self.stem == "imagenet", []
        for index in range(self.cells):
            reduction = index in self.reductions
            width *= 1 + reduction
            layers.append(Layer(before, last, width, reduction, reduced))
            before, last, reduced = last, NODES * width, reduction
        return layers


@dataclass(frozen=True)
class Layer:
    """A cell's place in a network: channels of its two inputs, its own, and whether it or the one before it reduces."""

    channels_before: int
    channels_last: int
    channels: int
    reduction: bool
    follows_reduction: bool


def _cell(text: str) -> tuple[Edge, ...]:
    """Edges from `sep_conv_3x3@1,sep_conv_3x3@0|...`: nodes between bars, an operation at the node that it reads."""
    nodes = text.split("|")
    if len(nodes) != NODES or any(node.count(",") != 1 for node in nodes):
        raise UserError(f"cell {text!r} is not {NODES} nodes between bars, each of two edges with a comma between")
    edges = [re.fullmatch(r"(\w+)@(\d)", edge) for node in nodes for edge in node.split(",")]
    if not all(edges):
        raise UserError(f"cell {text!r}: an edge is an operation and the node that it reads, as in skip_connect@0")
    return tuple((edge[1], int(edge[2])) for edge in edges if edge)


# What the authors' first-order (V1) and second-order (V2) searches on CIFAR-10 found.
DARTS_V1 = Genotype(
    normal=_cell(
        "sep_conv_3x3@1,sep_conv_3x3@0|skip_connect@0,sep_conv_3x3@1"
        "|skip_connect@0,sep_conv_3x3@1|sep_conv_3x3@0,skip_connect@2"
    ),
    reduce=_cell(
        "max_pool_3x3@0,max_pool_3x3@1|skip_connect@2,max_pool_3x3@0"
        "|max_pool_3x3@0,skip_connect@2|skip_connect@2,avg_pool_3x3@0"
    ),
)
DARTS_V2 = Genotype(
    normal=_cell(
        "sep_conv_3x3@0,sep_conv_3x3@1|sep_conv_3x3@0,sep_conv_3x3@1"
        "|sep_conv_3x3@1,skip_connect@0|skip_connect@0,dil_conv_3x3@2"
    ),
    reduce=_cell(
        "max_pool_3x3@0,max_pool_3x3@1|skip_connect@2,max_pool_3x3@1"
        "|max_pool_3x3@0,skip_connect@2|skip_connect@2,max_pool_3x3@1"
    ),
)


def to_text(genotype: Genotype, size: Size) -> str:
    """One line for a network: `darts:1;channels=36;cells=20;stem=cifar;normal=...;reduce=...`.

    Nodes are separated by bars, their two edges by a comma; `sep_conv_3x3@1` is that operation on node 1.
    """
    texts = []
    for cell in (genotype.normal, genotype.reduce):
        edges = [f"{operation}@{predecessor}" for operation, predecessor in cell]
        texts.append("|".join(map(",".join, zip(edges[::2], edges[1::2], strict=True))))
    sizes = f"channels={size.channels};cells={size.cells};stem={size.stem}"
    return f"darts:1;{sizes};normal={texts[0]};reduce={texts[1]}"


def from_text(text: str) -> tuple[Genotype, Size]:
    """The genotype and the size that `to_text` wrote.

    Raises
    ------
    UserError
        Anything else: one line that says what is wrong.
    """
    head, *fields = text.strip().split(";")
    if head != "darts:1":
        raise UserError(f"{head[:40]!r} is not the start of a DARTS network of version 1; that is darts:1")
    names = ["channels", "cells", "stem", "normal", "reduce"]
    if [field.partition("=")[0] for field in fields] != names:
        raise UserError(f"a DARTS network has the fields {', '.join(names)}, in this order, each as name=value")
    values = dict(field.split("=", 1) for field in fields)
    for name in ("channels", "cells"):
        if not re.fullmatch(r"[0-9]{1,6}", values[name]):
            raise UserError(f"{name}={values[name]!r} of a DARTS network is not a whole number")
    size = Size(int(values["channels"]), int(values["cells"]), values["stem"])
    return Genotype(_cell(values["normal"]), _cell(values["reduce"])), size


def discretise(normal: Tensor, reduce: Tensor) -> Genotype:
    """The genotype of architecture parameters, logits [14, 8] for each kind of cell (DARTS, section 2.4).

    An edge's strength is its largest softmax weight other than "none"'s. Each node keeps its two strongest edges, the
    strongest first, and on each the strongest operation other than "none". Of equals the first wins.
    """
    return Genotype(_strongest(normal), _strongest(reduce))


def _strongest(logits: Tensor) -> tuple[Edge, ...]:
    weights, cell = logits.detach().double().cpu().softmax(1)[:, 1:], []
    for incoming in weights.split([2 + node for node in range(NODES)]):
        strength, operation = incoming.max(1)  # of equals, max gives the first
        for edge in strength.argsort(descending=True, stable=True)[:2].tolist():
            cell.append((PRIMITIVES[1 + int(operation[edge])], edge))
    return tuple(cell)


def random_genotype(generator: torch.Generator) -> Genotype:
    """A uniform draw: for each node two different predecessors, and on each an operation other than "none"."""

    def cell() -> tuple[Edge, ...]:
        edges: list[Edge] = []
        for node in range(NODES):
            predecessors = torch.randperm(2 + node, generator=generator)[:2].tolist()
            operations = torch.randint(1, len(PRIMITIVES), (2,), generator=generator).tolist()
            edges += [(PRIMITIVES[k], predecessor) for k, predecessor in zip(operations, predecessors, strict=True)]
        return tuple(edges)

    return Genotype(cell(), cell())
